"""What has run out is absent at once, and is dropped from the file little by little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import Increment
from cicd_core.store.sqlite.checkpoint import FIRST
from cicd_core.store.sqlite.files import beside
from cicd_core.store.sqlite.old_counters import MOST as MOST_COUNTERS
from cicd_core.store.sqlite.reads import EXPIRED_COUNTED
from cicd_core.store.sqlite.retention import KEPT_PAGES, MOST, MOST_BYTES, MOST_PAGES
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import (
    SECOND,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    in_state,
    item,
    numbers_in,
    remove,
    whole_log,
    write,
)
from tests.unit.store.sqlite.files import content, execute, opened, query

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

EVENTS = "SELECT count(*) FROM log"


def rows(path: Path, counted: str = "SELECT count(*) FROM c_items") -> int:
    ((number,),) = query(path, counted)
    return int(number)


async def settle(store: SQLiteBackend) -> None:
    """Return when the chores of the batches so far are over: they come before the next batch."""
    await write(store, item("beside", lane=None))
    await remove(store, "beside", (await store.get("items", ["beside"]))["beside"].version)


async def test_expired_records_are_dropped_after_a_later_batch(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await settle(store)
        await write(store, item("a", expires_at=clock.micros() + SECOND), item("b"))
        clock.advance(60)
        assert await find(store, "a") is None
        assert await numbers_in(store, in_lane()) == [1]
        assert rows(path) == 2
        await settle(store)
        assert rows(path) == 1
        assert await numbers_in(store, in_lane()) == [1]


async def test_one_run_drops_a_bounded_number_and_the_next_ones_the_rest(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await settle(store)
        soon = clock.micros() + SECOND
        await store.commit([commit(item(str(n), expires_at=soon)) for n in range(MOST + 10)])
        clock.advance(60)
        assert await numbers_in(store, in_lane()) == [0]
        await settle(store)
        assert rows(path) == 10
        assert await numbers_in(store, in_lane()) == [0]
        clock.advance(1)
        await settle(store)
        assert rows(path) == 0


async def test_it_looks_once_a_second_while_there_is_nothing_to_drop(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await settle(store)
        await write(store, item("a", expires_at=clock.micros() + 1))
        clock.advance(0.5)
        await settle(store)
        assert rows(path) == 1
        clock.advance(0.5)
        await settle(store)
        assert rows(path) == 0


async def test_it_looks_less_often_while_there_is_nothing_to_drop(path: Path) -> None:
    clock = VirtualClock()
    seen: list[str] = []
    async with opened(path, clock=clock) as store:
        await settle(store)
        await store.writes.call(lambda connection: connection.set_trace_callback(seen.append))

        async def looks(seconds: int) -> list[int]:
            """Return the seconds after which a batch was followed by a look."""
            found: list[int] = []
            for second in range(1, seconds + 1):
                clock.advance(1)
                seen.clear()
                await settle(store)
                if any("c_items" in each and "expires_at <=" in each for each in seen):
                    found.append(second)
            return found

        assert await looks(40) == [1, 3, 7, 15, 23, 31, 39]
        await write(store, item("a", expires_at=clock.micros() + 1))
        assert await looks(10) == [7, 8, 10]
        assert rows(path) == 0


async def test_a_partition_goes_with_its_last_record(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await write(store, item("a", lane="short-lived", expires_at=clock.micros() + SECOND))
        version = (await write(store, item("b", lane="deleted")))["b"]
        await remove(store, "b", version)
        clock.advance(60)
        await settle(store)
        assert await numbers_in(store, in_lane("short-lived"), in_state("new")) == [0, 0]
    values = {value for (value,) in query(path, "SELECT value FROM depths")}
    assert values.isdisjoint({"short-lived", "deleted"})


async def test_a_partition_goes_with_the_last_record_that_moves_out_of_it(path: Path) -> None:
    async with opened(path) as store:
        at = await write(store, item("a", lane="first"), item("b", lane="first"))
        for lane in ("second", "third"):
            at |= await write(store, item("a", expected=at["a"], lane=lane))
        (taken,) = await store.claim(claim(lanes=["third"]))
        await write(store, item("b", expected=at["b"], lane=None))
        assert await numbers_in(store, in_lane("first"), in_state("held")) == [0, 1]
    assert taken.key == "a"
    assert query(path, "SELECT value FROM depths WHERE number < 1") == []


async def test_a_count_with_many_expired_records_is_an_estimate_until_they_are_dropped(
    path: Path,
) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await settle(store)
        soon = clock.micros() + SECOND
        number = EXPIRED_COUNTED + 10
        await store.commit([commit(item(str(n), expires_at=soon)) for n in range(number)])
        await write(store, item("kept"))
        clock.advance(60)
        (estimate,) = await store.count([in_lane()])
        assert (estimate.number, estimate.exact) == (11, False)
        for _ in range(4):
            await settle(store)
            clock.advance(1)
        (count,) = await store.count([in_lane()])
        assert (count.number, count.exact) == (1, True)


async def test_counters_of_past_days_are_dropped_and_others_stay(path: Path) -> None:
    clock = VirtualClock()  # it begins on 2027-01-15
    names = ["wait/20260901|p|n", "wait/20261012|p|n", "wait/20261013|p|n", "plain|n", "z"]
    odd = ["ended/20261012|0915|p|failed", "wait/2026|p", "wait/2026090x|p|n", "a/b/20260901|n"]
    async with opened(path, clock=clock) as store:
        await write(store, item("a"), increments=[Increment(name) for name in names + odd])
        await settle(store)
        assert set((await store.counters("")).values) == {
            "wait/20261013|p|n",
            "plain|n",
            "z",
            "wait/2026|p",
            "wait/2026090x|p|n",
        }
        clock.advance(86_400)
        await settle(store)
        assert "wait/20261013|p|n" not in (await store.counters("")).values


async def test_more_counters_than_one_run_drops_go_in_the_next_ones(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        for kind in ("a", "b"):
            names = [f"{kind}/20200101|{each}" for each in range(MOST_COUNTERS + 10)]
            await write(store, item(kind), increments=[Increment(name) for name in names])
        for _ in range(6):
            clock.advance(1)
            await settle(store)
        assert (await store.counters("")).values == {}


async def test_counters_of_past_days_go_once_a_second_while_there_are_more(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        for _ in range(5):  # nothing to drop: it looks every eight seconds by now
            clock.advance(8)
            await settle(store)
        names = [f"a/20200101|{each}" for each in range(4 * MOST_COUNTERS)]
        for first in range(0, len(names), MOST_COUNTERS):
            some = names[first : first + MOST_COUNTERS]
            await write(store, item(str(first)), increments=[Increment(name) for name in some])
        clock.advance(86_400)  # counters are looked at once a day
        await settle(store)
        for _ in range(3):
            clock.advance(1)
            await settle(store)
        assert (await store.counters("")).values == {}


async def test_events_are_dropped_when_the_log_is_older_than_it_is_kept(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock, log_retention=60) as store:
        await write(store, item("a"), events=[event_of("a", number) for number in range(3)])
        cursor = (await store.read_log(None, 1)).cursor
        clock.advance(120)
        await write(store, item("b"), events=[event_of("b")])
        await settle(store)
        assert rows(path, EVENTS) == 1
        page = await store.read_log(cursor, 10)
        assert page.truncated
        assert [entry.key for entry in page.entries] == ["b"]
        assert [entry.key for entry in await whole_log(store)] == ["b"]
        assert not (await store.read_log(page.cursor, 10)).truncated


async def test_a_log_that_was_dropped_to_its_end_says_so_once(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock, log_retention=60) as store:
        await write(store, item("a"), events=[event_of("a", number) for number in range(3)])
        cursor = (await store.read_log(None, 1)).cursor
        clock.advance(120)
        await settle(store)
        assert rows(path, EVENTS) == 0
        page = await store.read_log(cursor, 10)
        assert (page.truncated, page.entries) == (True, ())
        assert not (await store.read_log(page.cursor, 10)).truncated
        assert (await store.counters("")).cursor == page.cursor


async def test_a_namespace_drops_nothing_of_another_one(path: Path) -> None:
    clock = VirtualClock()
    async with (
        opened(path, clock=clock, namespace="patient") as patient,
        opened(path, clock=clock, namespace="hasty", log_retention=1) as hasty,
    ):
        await write(patient, item("a"), events=[event_of("a")])
        await write(hasty, item("a"), events=[event_of("a")])
        clock.advance(60)
        await settle(hasty)
        assert len(await whole_log(patient)) == 1
        assert await whole_log(hasty) == []


async def test_chores_that_fail_are_told_to_the_log_and_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    refusal = """CREATE TRIGGER refuse BEFORE DELETE ON "c_items"
        BEGIN SELECT raise(ABORT, 'not now'); END"""
    async with opened(path, clock=clock) as store:
        await settle(store)
        await write(store, item("a", expires_at=clock.micros() + 1))
        await store.writes.call(lambda connection: connection.execute(refusal))
        clock.advance(60)
        await write(store, item("b"))
        await write(store, item("c"))
        assert "not now" in caplog.text
        assert rows(path) == 3
        await store.writes.call(lambda connection: connection.execute("DROP TRIGGER refuse"))
        clock.advance(60)
        await write(store, item("d"))
        await write(store, item("e"))
        assert await numbers_in(store, in_lane()) == [4]
        assert rows(path) == 4


async def test_chore_that_fails_keeps_no_other_from_its_work(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    refusal = """CREATE TRIGGER refuse BEFORE DELETE ON "c_items"
        BEGIN SELECT raise(ABORT, 'not now'); END"""
    async with opened(path, clock=clock, log_retention=60) as store:
        await settle(store)
        await write(store, item("a", expires_at=clock.micros() + 1), events=[event_of("a")])
        await store.writes.call(lambda connection: connection.execute(refusal))
        clock.advance(120)
        body = b"x" * 300_000
        for number in range(20):
            await write(store, item(f"b{number}", body=body))
        assert "not now" in caplog.text
        assert rows(path, EVENTS) == 0
        assert beside(path, "wal").stat().st_size < 2 * FIRST


async def test_run_drops_long_records_by_their_bytes(path: Path) -> None:
    clock = VirtualClock()
    size = MOST_BYTES // 16
    async with opened(path, clock=clock) as store:
        await settle(store)
        soon = clock.micros() + SECOND
        for number in range(20):
            await write(store, item(str(number), body=b"x" * size, expires_at=soon))
        clock.advance(60)
        await settle(store)
        assert rows(path) == 20 - 16
        clock.advance(1)
        await settle(store)
        assert rows(path) == 0


async def test_pages_that_are_free_go_back_to_the_disk_little_by_little(path: Path) -> None:
    clock = VirtualClock()
    body = b"x" * 300_000
    async with opened(path, clock=clock, log_retention=60) as store:
        soon = clock.micros() + SECOND
        for number in range(60):
            await write(store, item(str(number), body=body, expires_at=soon))
        ((before,),) = await execute(store, "PRAGMA page_count")
        clock.advance(60)
        await settle(store)
        ((after_one,),) = await execute(store, "PRAGMA page_count")
        assert before - MOST_PAGES <= after_one <= before
        for _ in range(40):
            clock.advance(1)
            await settle(store)
        ((after,),) = await execute(store, "PRAGMA page_count")
        ((free,),) = await execute(store, "PRAGMA freelist_count")
    assert before > 60 * 73
    assert free <= KEPT_PAGES
    assert after <= KEPT_PAGES + 200
    assert len(content(path)) < before * 4096 / 2
