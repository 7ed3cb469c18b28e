"""A file for each test, and the event loop that the driver needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store.sqlite.files import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[SQLiteBackend, None]:
    async with opened(path) as store:
        yield store
