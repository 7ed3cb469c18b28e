"""The page of the API, as a browser makes it of the description."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from cicd_core.http.server.app import ROUTES
from tests.patience import PATIENCE
from tests.required import is_every_engine_required

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.asyncio_only,
    pytest.mark.skipif(
        CHROMIUM is None and not is_every_engine_required(), reason="there is no chromium"
    ),
]


async def test_the_page_shows_every_route_also_one_whose_body_is_no_json(
    url: str, tmp_path: Path
) -> None:
    assert CHROMIUM is not None, "install chromium"
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--virtual-time-budget=60000",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
        f"{url}/api/docs",
    ]

    def shown() -> str:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return ended.stdout

    page = await to_thread.run_sync(shown)
    assert "can't be read" not in page
    found = re.findall(r"<summary><b>(\w+)</b><code>([^<]+)</code>", page)
    assert sorted(found) == sorted((route.method, route.path) for route in ROUTES)
    assert "application/octet-stream" in page
