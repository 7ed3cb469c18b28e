"""A test lets the store's time pass: it moves the clock, or waits for one that moves by itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Lease
from cicd_core.testing import StoreHarness, VirtualClock
from cicd_core.testing.conformance.store_clock import StoreClock
from cicd_core.testing.samples import COLLECTIONS, SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection

pytestmark = pytest.mark.anyio


class Harness(StoreHarness):
    brief = 0.01
    patience = 0.05

    def __init__(self, clock: VirtualClock | None) -> None:
        self.clock = clock

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        yield MemoryBackend(collections, clock=self.clock)


def clock_of(virtual: VirtualClock | None) -> StoreClock:
    return StoreClock(MemoryBackend(COLLECTIONS, clock=virtual), Harness(virtual))


async def test_a_clock_that_can_be_moved_stops_at_the_instant() -> None:
    virtual = VirtualClock()
    clock = clock_of(virtual)
    assert clock.brief == SECOND
    instant = virtual.micros() + clock.brief
    assert not await clock.has_come(instant)
    await clock.reach(instant)
    assert virtual.micros() == await clock.now() == instant
    await clock.reach(instant - 5)
    assert virtual.micros() == instant


async def test_a_clock_that_cannot_be_moved_is_waited_for() -> None:
    clock = clock_of(None)
    assert clock.brief == 10_000
    instant = await clock.now() + clock.brief
    await clock.reach(instant)
    assert await clock.has_come(instant)


async def test_a_lease_is_outlasted_by_a_microsecond() -> None:
    virtual = VirtualClock()
    now = virtual.micros()
    await clock_of(virtual).outlast(
        Lease(claim_id="c", granted=now, renewed=now, expires=now + 7, limit=now + 9)
    )
    assert virtual.micros() == now + 8


async def test_where_time_stands_still_there_is_one_try() -> None:
    assert list(clock_of(VirtualClock()).durations()) == [SECOND]
    longer = list(clock_of(None).durations())
    assert longer == sorted(set(longer))
    assert len(longer) > 2


async def test_a_store_that_does_not_go_by_its_clock_is_found_out() -> None:
    clock = StoreClock(MemoryBackend(COLLECTIONS, clock=VirtualClock()), Harness(VirtualClock()))
    with pytest.raises(AssertionError, match="does not use the given clock"):
        await clock.reach(await clock.now() + 1)


async def test_a_clock_that_stands_still_is_not_waited_for_without_end() -> None:
    clock = StoreClock(MemoryBackend(COLLECTIONS, clock=VirtualClock()), Harness(None))
    with pytest.raises(TimeoutError):
        await clock.reach(await clock.now() + SECOND)
