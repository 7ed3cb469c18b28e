"""A control plane, a server over it, and clients of both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from cicd_core import ControlPlane
from cicd_core.http.client import RemoteControlPlane
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://") as opened:
        yield opened


@pytest.fixture
async def url(plane: ControlPlane) -> AsyncIterator[str]:
    async with serving(plane) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Any program that speaks HTTP."""
    async with httpx2.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
        yield client


@pytest.fixture
async def remote(url: str) -> AsyncIterator[RemoteControlPlane]:
    async with RemoteControlPlane(url) as opened:
        yield opened
