"""The suite, the machine and the histories over the copies of the stores.

Not collected by itself: ``judging.py`` runs it once a mutant.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import Phase, settings
from mutated_stores import waiters
from mutated_stores.memory import open_memory
from mutated_stores.sqlite import open_sqlite, waiting

from cicd_core.ids import IdSource
from cicd_core.store.registry import StoreURL
from cicd_core.testing import (
    HistoryConformance,
    StoreConformance,
    StoreHarness,
    VirtualClock,
    store_machine,
)
from cicd_core.testing.conformance.turns import TurnPromises
from cicd_core.testing.conformance.waiting import WaitPromises
from cicd_core.testing.samples import COLLECTIONS
from tests.conformance.test_sqlite import damage_row

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection

#: Which store, and where its files may be.
STORE: Final = os.environ["CICD_MUTATED_STORE"]
FOLDER: Final = Path(os.environ["CICD_MUTATED_FOLDER"])
IDS: Final = IdSource()

#: A waiter whose wake-up was lost looks again after this time, in case that a process has died.
#: That would hide the loss, so it comes after the end of each test.
vars(waiters)["LOOK_PERIOD"] = 3600.0


class MutatedHarness(StoreHarness):
    """Opens a copy; each process has a file of its own."""

    patience = 10.0

    def __init__(self, clock: VirtualClock | None, *, apart: bool = False) -> None:
        """``apart``: handles do not share their waiters, like those of several processes."""
        self.clock = clock
        self._apart = apart

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        factory, text = (open_memory, f"memory://{os.getpid()}")
        if STORE == "sqlite":
            factory, text = open_sqlite, f"sqlite:///{self._file()}?synchronous=normal"
        if self._apart:
            vars(waiting)["_shared"].clear()
        clock: Clock | None = self.clock
        opening: Any = factory
        opened: AbstractAsyncContextManager[Store] = opening(
            StoreURL.parse(text), collections=collections, namespace=namespace, clock=clock
        )
        return opened

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        if STORE == "sqlite":
            return damage_row(self._file(), namespace, collection, key)
        async with self.open(namespace) as store:
            damage: Callable[[str, str], bool] | None = getattr(store, "damage", None)
            return damage is not None and damage(collection, key)

    def _file(self) -> Path:
        # A file on the clock of the host has times that a virtual clock has not.
        folder = FOLDER / f"{os.getpid()}-{'own' if self.clock is None else 'moved'}"
        folder.mkdir(exist_ok=True)
        return folder / "store.db"


MOVED: Final = MutatedHarness(VirtualClock())


class TestSuite(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MOVED


class TestSuiteApart(WaitPromises, TurnPromises):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MutatedHarness(MOVED.clock, apart=True)


class TestHistories(HistoryConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MutatedHarness(None)


#: Hypothesis's own effort, which an author of a store has who sets nothing; a failure is enough,
#: a small example is not wanted. The same examples each time: the same score.
TestMachine = store_machine(lambda: MOVED).TestCase
TestMachine.settings = settings(
    TestMachine.settings,
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
