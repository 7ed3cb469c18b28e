"""Two engines that run chains, and a control plane over each way to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import codeuchain
import pytest

from cicd_core import ControlPlane
from cicd_core.chains import running
from cicd_core.http.client import RemoteControlPlane
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import ModuleType

    from cicd_core.chains.links import Plane

ENGINES = {"own": running, "codeuchain": codeuchain}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> ModuleType:
    """Who runs the chains: ours asks the conditions between links, codeuchain 1.1 does not."""
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop: links only await the services, whose tests run on both."""
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite", "http"])
async def plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Plane]:
    url = f"sqlite:///{tmp_path}/ci.db" if request.param == "sqlite" else "memory://"
    async with ControlPlane.open(url, maintenance=False) as near:
        if request.param != "http":
            yield near
            return
        async with serving(near) as address, RemoteControlPlane(address) as far:
            yield far
