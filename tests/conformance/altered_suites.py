"""The suite over stores that pass calls on and alter some, over memory and over SQLite.

Not collected by itself: ``test_subtle_mistakes.py`` runs the tests of it that must fail, in a
process of its own.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import StoreConformance, StoreHarness, VirtualClock
from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.samples import COLLECTIONS
from tests.conformance.faulty_suites import FaultyHarness
from tests.conformance.subtle_mistakes import ALTERED, ENGINES
from tests.conformance.test_sqlite import SQLiteHarness, shared_harness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from cicd_core.store import Collection, Store


class HandlesHarness(StoreHarness):
    """Opens a handle of its own each time, on one store in memory a namespace."""

    patience = FaultyHarness.patience

    def __init__(self, faulty: type[PassingStore | MemoryBackend]) -> None:
        self.clock = VirtualClock()
        self._faulty = faulty
        self._stores: dict[str, MemoryBackend] = {}
        if faulty in {PassingStore, MemoryBackend}:
            self.patience = StoreHarness.patience

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        if namespace not in self._stores:
            kind = self._faulty if issubclass(self._faulty, MemoryBackend) else MemoryBackend
            self._stores[namespace] = kind(collections, clock=self.clock)
        handle = self._stores[namespace].another()
        try:
            yield self._faulty(handle) if issubclass(self._faulty, PassingStore) else handle
        finally:
            handle.close()


class AlteredSQLiteHarness(StoreHarness):
    """Opens a handle on the one file of this process, and alters its calls."""

    patience = 3.0

    def __init__(self, faulty: type[PassingStore]) -> None:
        self._file: SQLiteHarness = shared_harness()
        self.clock = self._file.clock
        self._faulty = faulty
        if faulty is PassingStore:
            self.patience = StoreHarness.patience

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        async with self._file.open(namespace, collections) as store:
            yield self._faulty(store)


def suite_over(name: str, harness: StoreHarness, tests: Iterable[str]) -> type[StoreConformance]:
    """Return the suite over the stores that a harness opens, with these of its tests alone.

    A hundred whole suites would take longer to collect than all that is asked of them to run.
    """

    def fixture(_self: Any) -> StoreHarness:
        return harness

    others = {each for each in dir(StoreConformance) if each.startswith("test_")} - {*tests}
    members: dict[str, Any] = dict.fromkeys(others)
    return type(name, (StoreConformance,), members | {"harness": pytest.fixture(fixture)})


_FOUND_BY: list[tuple[type[PassingStore | MemoryBackend], str]] = [
    *ENGINES.items(),
    *ALTERED.items(),
]
_ALL: list[str] = [test for _, test in _FOUND_BY]
_CHOSEN: list[tuple[type[PassingStore | MemoryBackend], list[str]]] = [
    (MemoryBackend, _ALL),
    (PassingStore, _ALL),
    *((store, [test]) for store, test in _FOUND_BY),
]
for _store, _tests in _CHOSEN:
    _name = f"Test{_store.__name__}"
    globals()[_name] = suite_over(_name, HandlesHarness(_store), _tests)
    if issubclass(_store, PassingStore):
        _name = f"TestSQLite{_store.__name__}"
        globals()[_name] = suite_over(_name, AlteredSQLiteHarness(_store), _tests)
