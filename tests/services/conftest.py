"""A control plane over each store, on a clock that stands still until a test moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.testing import VirtualClock
from tests.services.scenes import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cicd_core.store.contract import Store


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.asyncio_only)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is; the one in a file runs on asyncio alone, as its driver does."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ci.db?synchronous=normal"
    return "memory://"


@pytest.fixture
async def store(store_url: str, clock: VirtualClock) -> AsyncIterator[Store]:
    async with open_store(store_url, clock=clock, collections=COLLECTIONS) as opened:
        yield opened


@pytest.fixture
def plane(store: Store) -> ControlPlane:
    return ControlPlane(store, settings=SETTINGS)


@pytest.fixture
def other_plane(store: Store) -> ControlPlane:
    """Another process's control plane, say: the same store, and caches of its own."""
    return ControlPlane(store, settings=SETTINGS)
