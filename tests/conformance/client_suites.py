"""Suites over stores that poll, or that trust the clock of the process that they run in.

Not collected by itself: ``test_client_suites.py`` runs them in a process of its own.
"""

from __future__ import annotations

import threading
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.clock import SystemClock
from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import StoreConformance, StoreHarness
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection, Watch


class Steady(MemoryBackend):
    """It makes no mistake."""

    #: What tells it the time.
    clock_of: Callable[[], Clock] = SystemClock

    def __init__(self, collections: tuple[Collection, ...]) -> None:
        super().__init__(collections, clock=type(self).clock_of())


class Polling(Steady):
    """Its waits look again every few milliseconds."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        with anyio.move_on_after(timeout):
            while not await super().wait(watches, 0):  # noqa: ASYNC110 - that is the mistake
                await anyio.sleep(0.005)
            return True
        return False


class PollingInAThread(Steady):
    """Its waits look again whenever a thread that sleeps says so."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        with anyio.move_on_after(timeout):
            while not await super().wait(watches, 0):
                await anyio.to_thread.run_sync(time.sleep, 0.005)
            return True
        return False


class PollingByAnEvent(Steady):
    """Its waits look again whenever a thread has waited in vain."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        never = threading.Event()
        with anyio.move_on_after(timeout):
            while not await super().wait(watches, 0):
                await anyio.to_thread.run_sync(never.wait, 0.005)
            return True
        return False


class WallClock:
    """Elapsed time by the wall clock."""

    def micros(self) -> int:
        return time.time_ns() // 1000


class DateClock:
    """Elapsed time by the date."""

    def micros(self) -> int:
        return round(datetime.now(UTC).timestamp() * 1_000_000)


class TrustsTheWallClock(Steady):
    clock_of = WallClock


class TrustsTheDate(Steady):
    clock_of = DateClock


class Harness(StoreHarness):
    """Opens one store a namespace, whose time passes by itself."""

    patience = 5.0

    def __init__(self, kind: type[Steady]) -> None:
        self._kind = kind
        self._stores: dict[str, MemoryBackend] = {}

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        if namespace not in self._stores:
            self._stores[namespace] = self._kind(collections)
        async with self._stores[namespace].sibling() as sibling:
            yield sibling


def suite_over(kind: type[Steady]) -> type[StoreConformance]:
    """Return the suite over a store."""

    def harness(_self: Any) -> StoreHarness:
        return Harness(kind)

    return type(f"Test{kind.__name__}", (StoreConformance,), {"harness": pytest.fixture(harness)})


STORES = (Steady, Polling, PollingInAThread, PollingByAnEvent, TrustsTheWallClock, TrustsTheDate)
globals().update({f"Test{kind.__name__}": suite_over(kind) for kind in STORES})
