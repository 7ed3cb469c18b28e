"""Retention of counters: those of a day 94 days, all others forever."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core.model.instants import from_micros
from cicd_core.store.counter_days import COUNTER_DAYS
from cicd_core.store.records import Increment
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import plain, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import StoreTime
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.conformance.suite import SetWallClock
    from cicd_core.testing.harness import StoreHarness

#: In seconds: stores check for past days at intervals, such as an hour.
HOURS = 2 * 3600
#: Number of writes, a brief time apart, after which a store has removed old counters.
LOOKS = 30
DAY = 86400


class DayCounterPromises(Suite):
    """A counter of a day may be removed when the day is over 94 days ago on both clocks."""

    @pytest.mark.parametrize("wall_clock", [0, -200 * DAY, 200 * DAY])
    async def test_counters_stay_until_their_day_lies_94_days_back_on_both_clocks(
        self,
        store: Store,
        harness: StoreHarness,
        clock: StoreClock,
        set_wall_clock: SetWallClock,
        wall_clock: int,
    ) -> None:
        if wall_clock:
            await set_wall_clock(wall_clock)
        now = await store.now()
        days = [day_before(now, back) for back in (0, 93, 94, 95, 96, 200, 3000)]
        names = [
            f"{group}/{day}|{rest}"
            for group in ("wait", "runs/all")
            for day in days
            for rest in ("1", "2")
        ]
        oldest = days[-1]
        # None of these names a group of a day.
        names += [
            f"wait/{oldest[1:]}|1",
            f"wait/{oldest}0|1",
            f"{oldest}|1",
            f"wait|/{oldest}",
            "wait|1",
        ]
        for number in range(3):
            await write(store, plain(f"p{number}"), increments=[Increment(name) for name in names])
        if harness.clock is not None:
            harness.clock.advance(HOURS)
        for number in range(LOOKS):  # a write may remove old counters
            await write(store, plain(f"q{number}"), increments=[Increment("other")])
            await harness.settle()
            await clock.reach(await clock.now() + clock.brief)
        values = dict((await store.counters("")).values)
        now = await store.now()
        kept = [name for name in names if not may_be_gone(name, now)]
        assert len(kept) >= 2 * 2 * 2 + 5
        assert {name: values.get(name) for name in kept} == dict.fromkeys(kept, 3)
        # A removed counter starts again with later increments.
        assert all(0 <= values.get(name, 0) <= 3 for name in names)
        await write(store, plain("again"), increments=[Increment(name, 2) for name in kept])
        await harness.settle()
        values = dict((await store.counters("wait/")).values)
        expected = {name: 5 for name in kept if name.startswith("wait/")}
        assert {name: values.get(name) for name in expected} == expected


def day_before(now: StoreTime, days: int) -> str:
    """Return the day a number of days ago, on the clock that is behind."""
    return f"{from_micros(min(now.micros, now.calendar)) - timedelta(days=days):%Y%m%d}"


def may_be_gone(name: str, now: StoreTime) -> bool:
    """Whether a counter of this test is of a day that is too long ago."""
    group, _, day = name.partition("|")[0].rpartition("/")
    return bool(group) and len(day) == 8 and day < day_before(now, COUNTER_DAYS)
