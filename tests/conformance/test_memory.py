"""The memory store keeps the contract, on asyncio and on trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.ids import IdSource
from cicd_core.store.registry import open_store
from cicd_core.testing import StoreConformance, StoreHarness, VirtualClock, store_machine
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.memory import MemoryStore, open_memory
    from cicd_core.store.registry import StoreFactory

    # What the type checker is told of every store and of what opens it.
    _store: type[Store] = MemoryStore
    _factory: StoreFactory = open_memory

IDS = IdSource()


class MemoryHarness(StoreHarness):
    """Stores that are shared by name while they are open."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._name = IDS.commit_id()

    def open(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(
            f"memory://{self._name}",
            collections=COLLECTIONS,
            namespace=namespace,
            clock=self.clock,
        )


class PlainHarness(StoreHarness):
    """The memory store as one that promises little: its clock is its own, like a server's."""

    capabilities = frozenset()

    def __init__(self) -> None:
        self._name = IDS.commit_id()

    def open(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(f"memory://{self._name}", collections=COLLECTIONS, namespace=namespace)


class TestMemoryStore(StoreConformance):
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MemoryHarness()


TestMemoryInLockstepWithItself = store_machine(MemoryHarness).TestCase
TestMemoryInLockstepOnTrio = store_machine(MemoryHarness, backend="trio").TestCase


class TestStoreWithAClockOfItsOwn(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return PlainHarness()


TestStoreWithAClockOfItsOwnInLockstep = store_machine(PlainHarness).TestCase
