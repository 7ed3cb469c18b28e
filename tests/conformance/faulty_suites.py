"""The suite over each faulty store, and over one without a fault.

Not collected by itself: ``test_broken_stores.py`` runs the tests of it that must fail, in a process
of its own.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import StoreConformance, StoreHarness, VirtualClock
from cicd_core.testing.samples import COLLECTIONS
from tests.conformance.mistakes import FAULTY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection


class FaultyHarness(StoreHarness):
    """Opens one store a namespace."""

    #: What does not come within this was lost on purpose. The store without a fault takes its time.
    patience = 0.3

    def __init__(self, faulty: type[MemoryBackend]) -> None:
        self.clock = VirtualClock()
        self._faulty = faulty
        self._stores: dict[str, MemoryBackend] = {}
        if faulty is MemoryBackend:
            self.patience = StoreHarness.patience

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        if namespace not in self._stores:
            self._stores[namespace] = self._faulty(collections, clock=self.clock)
        yield self._stores[namespace]


def suite_over(faulty: type[MemoryBackend]) -> type[StoreConformance]:
    """Return the suite over a store."""

    def harness(_self: Any) -> StoreHarness:
        return FaultyHarness(faulty)

    return type(f"Test{faulty.__name__}", (StoreConformance,), {"harness": pytest.fixture(harness)})


STORES: list[type[MemoryBackend]] = [MemoryBackend, *FAULTY.values()]
globals().update({f"Test{store.__name__}": suite_over(store) for store in STORES})
