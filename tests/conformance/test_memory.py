"""The memory store keeps the contract, on asyncio and on trio."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cicd_core.ids import IdSource
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.registry import open_store
from cicd_core.testing import (
    HistoryConformance,
    StoreConformance,
    StoreHarness,
    VirtualClock,
    store_machine,
)
from cicd_core.testing.harness import checked
from cicd_core.testing.samples import COLLECTIONS
from cicd_core.testing.tracing import untraced
from tests.conformance.lagging_store import LaggingStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.memory import open_memory
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import BackendFactory

    # What the type checker is told of every store and of what opens it.
    _store: type[Store] = MemoryBackend
    _factory: BackendFactory = open_memory

IDS = IdSource()


async def damage(harness: StoreHarness, namespace: str, collection: str, key: str) -> bool:
    """Damage a record of a store that is open by its name."""
    async with harness.open(namespace) as store:
        memory = checked(untraced(store)).backend
        return isinstance(memory, MemoryBackend) and memory.damage(collection, key)


class MemoryHarness(StoreHarness):
    """Stores that are shared by name while they are open."""

    clock: VirtualClock

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._name = IDS.commit_id()

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(
            f"memory://{self._name}",
            collections=collections,
            namespace=namespace,
            clock=self.clock,
        )

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        return await damage(self, namespace, collection, key)


class ServerClockHarness(StoreHarness):
    """The memory store as one whose clock is its own, like a server's: no test can move it."""

    def __init__(self) -> None:
        self._url = f"memory://{IDS.commit_id()}"

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, collections=collections, namespace=namespace)

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        return await damage(self, namespace, collection, key)

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(
            self._url, collections=COLLECTIONS, namespace=namespace, log_retention=self.brief
        )


class ClocksApartHarness(MemoryHarness):
    """A store whose steady clock counts from a boot, say: far behind the wall clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock.step_calendar(10 * 365 * 86400)


class LaggingHarness(StoreHarness):
    """A store that promises little: its indexes lag, and its clock is its own, and off."""

    capabilities = frozenset()

    def __init__(self, *, frozen: bool = False) -> None:
        self._frozen = frozen
        self._stores: dict[str, LaggingStore] = {}

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        store = LaggingStore(collections, frozen=self._frozen)
        async with self._stores.setdefault(namespace, store).sibling() as sibling:
            yield sibling

    @asynccontextmanager
    async def open_forgetful(self, namespace: str) -> AsyncGenerator[Store, None]:
        store = LaggingStore(COLLECTIONS, frozen=self._frozen, log_retention=self.brief)
        async with self._stores.setdefault(namespace, store).sibling() as sibling:
            yield sibling

    async def settle(self) -> None:
        for store in self._stores.values():
            store.catch_up()


class TestMemoryStore(StoreConformance):
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MemoryHarness()


TestMemoryInLockstepWithItself = store_machine(MemoryHarness).TestCase
TestMemoryInLockstepOnTrio = pytest.mark.thorough(
    store_machine(MemoryHarness, backend="trio").TestCase
)


@pytest.mark.thorough
class TestStoreWhoseClocksAreFarApart(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return ClocksApartHarness()


TestStoreWhoseClocksAreFarApartInLockstep = pytest.mark.thorough(
    store_machine(ClocksApartHarness).TestCase
)


@pytest.mark.thorough
class TestStoreWithAServersClock(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return ServerClockHarness()


TestStoreWithAServersClockInLockstep = pytest.mark.thorough(
    store_machine(ServerClockHarness).TestCase
)


class TestStoreThatLags(StoreConformance):
    @pytest.fixture(params=[False, True], ids=["behind", "frozen"])
    def harness(self, request: pytest.FixtureRequest) -> StoreHarness:
        return LaggingHarness(frozen=request.param)


class TestStoreThatLagsHistories(HistoryConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return LaggingHarness()


TestStoreThatLagsInLockstep = store_machine(LaggingHarness).TestCase
