"""The log: every event of every commit, once, for a reader that follows its cursor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from anyio import Event, fail_after

from cicd_core.errors import InvalidCursor, InvalidInput
from cicd_core.store.records import LogEntry, LogPage
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    commit,
    event_of,
    find,
    item,
    plain,
    read,
    remove,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.store.contract import Store
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness

#: In microseconds: longer than the retention of any log.
TEN_YEARS = 10 * 365 * 86400 * SECOND


class LogPromises(Suite):
    """Completeness and order (I3)."""

    @pytest.fixture
    async def forgetful(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> AsyncGenerator[Store, None]:
        """A store with a log retention that a test can let pass."""
        if harness.clock is not None:
            yield store
            return
        opening = harness.open_forgetful(f"{namespace}-forgetful")
        if opening is None:
            pytest.skip("this harness opens no store that keeps its log for a brief time")
        async with opening as other:
            yield other

    async def test_an_event_is_read_as_it_was_written(
        self, store: Store, harness: StoreHarness
    ) -> None:
        event = event_of("a", 7, body=b"\0\xff{")
        version = (await write(store, item("a"), events=[event]))["a"]
        await harness.settle()
        assert await whole_log(store) == [
            LogEntry(collection="items", key="a", version=version, ordinal=7, body=b"\0\xff{")
        ]

    async def test_an_event_may_have_a_version_before_the_commit(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("a")))["a"]
        events = [event_of("a", 0, version=version), event_of("a", 0), event_of("b", 3, version=12)]
        await write(store, item("a", expected=version), events=events)
        await harness.settle()
        subjects = [(entry.key, entry.version, entry.ordinal) for entry in await whole_log(store)]
        own = [subject for subject in subjects if subject[0] == "a"]
        assert own == [("a", version, 0), ("a", version + 1, 0)]
        assert ("b", 12, 3) in subjects

    async def test_the_log_keeps_each_subjects_versions_in_order(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = 0
        for _ in range(5):
            put = item("a", expected=version)
            version = (await write(store, put, events=[event_of("a", 0), event_of("a", 1)]))["a"]
        await harness.settle()
        logged = [(entry.version, entry.ordinal) for entry in await whole_log(store)]
        assert len(logged) == 10
        assert logged == sorted(logged)

    async def test_a_reader_that_follows_the_cursor_reads_each_event_once(
        self, store: Store, harness: StoreHarness
    ) -> None:
        cursor: str | None = None
        seen: list[LogEntry] = []
        for number in range(4):
            events = [event_of(f"k{number}", ordinal) for ordinal in range(3)]
            await write(store, item(f"k{number}"), events=events)
            await harness.settle()
            page = await store.read_log(cursor, 2)
            seen += page.entries
            cursor = page.cursor
        while (page := await store.read_log(cursor, 2)).entries:
            assert not page.truncated
            seen += page.entries
            cursor = page.cursor
        assert len(seen) == 12
        assert seen == await whole_log(store)

    async def test_a_page_of_the_log_has_no_more_than_its_limit(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), events=[event_of("a", ordinal) for ordinal in range(9)])
        await harness.settle()
        page = await store.read_log(None, 4)
        assert [entry.ordinal for entry in page.entries] == [0, 1, 2, 3]
        page = await store.read_log(page.cursor, 100)
        assert [entry.ordinal for entry in page.entries] == [4, 5, 6, 7, 8]

    async def test_the_cursor_stays_the_same_when_there_is_nothing_new(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), events=[event_of("a")])
        await harness.settle()
        cursor = (await store.read_log(None, 10)).cursor
        page = await store.read_log(cursor, 10)
        assert (page.entries, page.cursor, page.truncated) == ((), cursor, False)

    async def test_a_reader_may_begin_before_there_is_anything(
        self, store: Store, harness: StoreHarness
    ) -> None:
        page = await store.read_log(None, 10)
        assert (page.entries, page.truncated) == ((), False)
        await write(store, item("a"), events=[event_of("a")])
        await harness.settle()
        page = await store.read_log(page.cursor, 10)
        assert [entry.key for entry in page.entries] == ["a"]

    async def test_reading_again_from_a_cursor_gives_the_same(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), events=[event_of("a", ordinal) for ordinal in range(5)])
        await harness.settle()
        cursor = (await store.read_log(None, 2)).cursor
        assert await store.read_log(cursor, 2) == await store.read_log(cursor, 2)

    async def test_a_commit_without_events_leaves_no_trace_in_the_log(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        assert await whole_log(store) == []

    async def test_the_log_outlives_its_subjects(self, store: Store, harness: StoreHarness) -> None:
        version = (await write(store, item("a"), events=[event_of("a")]))["a"]
        await remove(store, "a", version)
        await harness.settle()
        assert [entry.key for entry in await whole_log(store)] == ["a"]

    async def test_no_event_of_many_writers_is_missed_while_the_log_is_read(
        self, harness: StoreHarness, crew: list[Store]
    ) -> None:
        seen: list[LogEntry] = []
        store = crew[-1]

        async def context(mine: Store, name: str) -> None:
            version = 0
            for _ in range(6):
                put = item(name, expected=version)
                version = (await write(mine, put, events=[event_of(name)]))[name]

        async def writers(done: Event) -> None:
            names = [f"k{number:02}" for number in range(16)]
            await at_once(*(partial(context, *pair) for pair in zip(crew * 4, names, strict=True)))
            done.set()

        async def reader(writers_are_done: Event) -> None:
            cursor: str | None = None
            last_look = False
            while True:
                page = await store.read_log(cursor, 5)
                assert not page.truncated
                seen.extend(page.entries)
                cursor = page.cursor
                if not page.entries:
                    if last_look:
                        return
                    if last_look := writers_are_done.is_set():
                        await harness.settle()

        done = Event()
        await at_once(partial(reader, done), partial(writers, done))
        assert len(seen) == len({(entry.key, entry.version) for entry in seen}) == 96
        for number in range(16):
            versions = [entry.version for entry in seen if entry.key == f"k{number:02}"]
            assert versions == sorted(versions)

    async def test_a_gap_after_retention_is_reported(
        self, harness: StoreHarness, forgetful: Store, clock: StoreClock
    ) -> None:
        page = LogPage((), "")
        while not page.entries:  # retention may be faster than the reader
            events = [event_of("a", ordinal) for ordinal in range(4)]
            await write(forgetful, item("a", expected=await version_of(forgetful)), events=events)
            await harness.settle()
            page = await forgetful.read_log(None, 1)
        (first,) = page.entries
        await clock.reach(await clock.now() + (TEN_YEARS if harness.clock else clock.brief))
        await write(forgetful, item("b"), events=[event_of("b")])
        await harness.settle()
        page = await forgetful.read_log(page.cursor, 100)
        told_of = [(entry.key, entry.ordinal) for entry in page.entries]
        whole = [*(("a", ordinal) for ordinal in range(first.ordinal + 1, 4)), ("b", 0)]
        assert told_of == whole[len(whole) - len(told_of) :]
        assert page.truncated == (told_of != whole)
        assert not (await forgetful.read_log(page.cursor, 100)).truncated
        assert not (await forgetful.read_log(None, 100)).truncated

    async def test_a_gap_at_the_end_of_the_log_is_reported(
        self, harness: StoreHarness, forgetful: Store, clock: StoreClock
    ) -> None:
        page = LogPage((), "")
        while not page.entries:  # as above
            events = [event_of("a", ordinal) for ordinal in range(4)]
            await write(forgetful, item("a", expected=await version_of(forgetful)), events=events)
            await harness.settle()
            page = await forgetful.read_log(None, 1)
        (first,) = page.entries
        await clock.reach(await clock.now() + (TEN_YEARS if harness.clock else clock.brief))
        begin = page.cursor
        for number in range(20):  # a write removes expired events, perhaps not all at once
            await write(forgetful, item(f"b{number}"))
            await harness.settle()
            page = await forgetful.read_log(begin, 100)
            if not page.entries:
                break
        whole = [("a", ordinal) for ordinal in range(first.ordinal + 1, 4)]
        told_of = [(entry.key, entry.ordinal) for entry in page.entries]
        assert told_of == whole[len(whole) - len(told_of) :]
        assert page.truncated == (told_of != whole)
        after = await forgetful.read_log(page.cursor, 100)
        assert (after.entries, after.truncated) == ((), False)
        assert not (await forgetful.read_log(None, 100)).truncated

    async def test_a_gap_is_reported_to_a_reader_that_began_before_the_first_event(
        self, harness: StoreHarness, forgetful: Store, clock: StoreClock
    ) -> None:
        begin = (await forgetful.read_log(None, 10)).cursor
        await write(forgetful, item("a"), events=[event_of("a")])
        await harness.settle()
        await clock.reach(await clock.now() + (TEN_YEARS if harness.clock else clock.brief))
        with fail_after(harness.patience):
            page, number = await forgetful.read_log(None, 10), 0
            while page.entries:  # a write may remove expired events
                await write(forgetful, item(f"b{number}"))
                await harness.settle()
                page = await forgetful.read_log(None, 10)
                number += 1
                await clock.reach(await clock.now() + clock.brief)
        page = await forgetful.read_log(begin, 10)
        assert (page.entries, page.truncated) == ((), True)
        assert not (await forgetful.read_log(page.cursor, 10)).truncated

    async def test_events_are_removed_after_their_retention_and_leave_a_gap(
        self, harness: StoreHarness, forgetful: Store, clock: StoreClock
    ) -> None:
        page = LogPage((), "")
        while not page.entries:  # as above
            events = [event_of("a", ordinal) for ordinal in range(2)]
            await write(forgetful, item("a", expected=await version_of(forgetful)), events=events)
            await harness.settle()
            page = await forgetful.read_log(None, 1)
        begin, number = page.cursor, 0
        await clock.reach(await clock.now() + (TEN_YEARS if harness.clock else clock.brief))
        with fail_after(harness.patience):
            while page.entries:  # a write may remove expired events
                await write(forgetful, item(f"b{number}"))
                await harness.settle()
                page = await forgetful.read_log(None, 10)
                number += 1
                await clock.reach(await clock.now() + clock.brief)
        assert not page.truncated
        page = await forgetful.read_log(begin, 10)
        assert (page.entries, page.truncated) == ((), True)
        assert not (await forgetful.read_log(page.cursor, 10)).truncated

    async def test_retention_drops_only_the_log_of_its_own_namespace(
        self, harness: StoreHarness, forgetful: Store, clock: StoreClock, namespace: str
    ) -> None:
        async with harness.open(f"{namespace}-young") as young:
            await write(forgetful, item("old"), events=[event_of("old")])
            await clock.reach(await clock.now() + (TEN_YEARS if harness.clock else clock.brief))
            await write(young, item("a"), events=[event_of("a")])
            for number in range(20):
                await write(forgetful, item(f"b{number}"))
                await harness.settle()
                await clock.reach(await clock.now() + clock.brief)
            page = await young.read_log(None, 9)
        assert [entry.key for entry in page.entries] == ["a"]

    @pytest.mark.parametrize(
        "cursor", ["", "nonsense", "-1", "1\0", "9" * 17, "9" * 30, "\u0661"], ids=ascii
    )
    async def test_a_foreign_cursor_is_refused(self, store: Store, cursor: str) -> None:
        await write(store, item("a"), events=[event_of("a")])
        with pytest.raises(InvalidCursor) as refused:
            await store.read_log(cursor, 10)
        assert (refused.value.field, refused.value.value) == ("cursor", cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    async def test_a_read_of_nothing_or_too_much_is_refused(self, store: Store, limit: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.read_log(None, limit)
        assert refused.value.field == "limit"

    async def test_a_conflict_writes_no_event(self, store: Store, harness: StoreHarness) -> None:
        await apply(store, commit(item("a", expected=5), plain("p"), events=[event_of("a")]))
        await write(store, item("a"), events=[event_of("a")])
        await harness.settle()
        versions = [entry.version for entry in await whole_log(store)]
        assert versions == [(await read(store, "a")).version]


async def version_of(store: Store) -> int:
    """Return the version of item "a"; 0: it does not exist."""
    record = await find(store, "a")
    return record.version if record else 0
