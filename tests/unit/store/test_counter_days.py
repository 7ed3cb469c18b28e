"""Which counters are of a day, and when they are dropped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cicd_core.control_plane.statistics import MAX_SINCE
from cicd_core.model.instants import to_micros
from cicd_core.store.counter_days import COUNTER_DAYS, day_of, end_of, first_kept_day
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Increment, StoreTime
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import COLLECTIONS, item, write

pytestmark = pytest.mark.anyio

NOW = to_micros(datetime(2027, 1, 15, 8, tzinfo=UTC))
YEAR = 365 * 86_400_000_000


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("wait/20261121|default|b42", "20261121"),
        ("ended/20261121|0915|default|failed", "20261121"),
        ("wait/20261121", "20261121"),
        ("wait/2026112|default", None),
        ("wait/20261121x|default", None),
        ("jobs|20261121", None),
        ("jobs|a/20261121|b", None),
        ("20261121", None),
        ("", None),
    ],
)
def test_the_day_of_a_counter_stands_at_the_end_of_its_group(name: str, day: str | None) -> None:
    assert day_of(name) == day


def test_statistics_never_reach_back_to_a_day_that_is_dropped() -> None:
    assert MAX_SINCE.days + 1 < COUNTER_DAYS
    assert first_kept_day(StoreTime(NOW)) == "20261013"


def test_a_clock_that_is_ahead_drops_nothing() -> None:
    expected = first_kept_day(StoreTime(NOW))
    assert first_kept_day(StoreTime(NOW, calendar=NOW + 20 * YEAR)) == expected
    assert first_kept_day(StoreTime(NOW + 20 * YEAR, calendar=NOW)) == expected
    assert first_kept_day(StoreTime(0)) == "19700101"


def test_a_day_ends_to_be_kept_when_it_is_dropped() -> None:
    end = end_of("20261012") * 1_000_000
    assert first_kept_day(StoreTime(end - 1)) == "20261012"
    assert first_kept_day(StoreTime(end)) == "20261013"
    assert end_of("20261399") == 0


async def test_the_memory_store_drops_the_counters_of_past_days() -> None:
    clock = VirtualClock()
    store = MemoryBackend(COLLECTIONS, clock=clock)
    names = ["wait/20261013|p|n", "wait/20261014|p|n", "plain|n"]
    await write(store, item("a"), increments=[Increment(name) for name in names])
    assert set((await store.counters("")).values) == set(names)
    clock.advance(86_400)
    await write(store, item("b"), increments=[Increment("wait/20270116|p|n")])
    expected = {"wait/20261014|p|n", "plain|n", "wait/20270116|p|n"}
    assert set((await store.counters("")).values) == expected
    await write(store, item("c"), increments=[Increment("wait/20261013|p|n")])
    assert (await store.counters("wait/20261013|")).values == {"wait/20261013|p|n": 1}
    clock.advance(3_600)
    await write(store, item("d"))
    assert (await store.counters("wait/20261013|")).values == {}
