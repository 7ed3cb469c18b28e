"""Cursors are positions, and counters are found by the prefix of their names."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import InvalidCursor
from cicd_core.store.records import Increment
from cicd_core.store.sqlite.log import LOG_BITS, read_counters
from cicd_core.store.sqlite.schema import migrate, namespace_id
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import event_of, item, write
from tests.unit.store.sqlite.files import connect, opened, query

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

#: Letters at the edges of what UTF-8 can hold.
EDGES = st.text("a|\0\x7f\ud7ff\ue000\U0010ffff", min_size=1, max_size=4)


@given(names=st.sets(EDGES), prefix=st.one_of(st.just(""), EDGES))
def test_a_prefix_finds_the_counters_whose_names_begin_with_it(
    names: set[str], prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("counters") / "store.db"
    with connect(path) as connection:
        migrate(connection, path)
        number = namespace_id(connection, "")
        rows = [(number, name, 1) for name in names]
        connection.executemany("INSERT INTO counters VALUES (?, ?, ?)", rows)
        found = read_counters(connection, number, prefix).values
    assert set(found) == {name for name in names if name.startswith(prefix)}


@pytest.mark.anyio
@pytest.mark.parametrize("cursor", ["", "-1", "1.5", "x", "٣", "9" * 30, "9" * 15, "1 OR 1"])
async def test_a_cursor_that_no_page_gave_is_refused(store: SQLiteBackend, cursor: str) -> None:
    await write(store, item("a"), events=[event_of("a")])
    with pytest.raises(InvalidCursor):
        await store.read_log(cursor, 10)


@pytest.mark.anyio
async def test_each_namespace_has_positions_of_its_own(path: Path) -> None:
    async with opened(path, namespace="one") as one, opened(path, namespace="two") as two:
        for store in (one, two, one, two, two):
            events = [event_of("a"), event_of("a", 1)]
            version = (await store.get("items", ["a"])).get("a")
            expected = version.version if version else 0
            await write(
                store, item("a", expected=expected), events=events, increments=[Increment("n")]
            )
        assert (await one.read_log(None, 4)).cursor == (await one.counters("")).cursor
        assert (await two.read_log(None, 6)).cursor == (await two.counters("")).cursor
        assert (await two.counters("")).values == {"n": 3}
    ids = [number for (number,) in query(path, "SELECT id FROM log ORDER BY id")]
    spaces = dict(query(path, "SELECT id, name FROM namespaces"))
    names = [spaces[number >> LOG_BITS] for number in ids]
    assert sorted(names) == ["one"] * 4 + ["two"] * 6


async def keys_after(store: SQLiteBackend, cursor: str) -> tuple[bool, list[str]]:
    """Return whether a reader learns of a gap, and the keys of the events that it gets."""
    page = await store.read_log(cursor, 100)
    return page.truncated, [entry.key for entry in page.entries]


@pytest.mark.anyio
@pytest.mark.parametrize("later", [1, 2, 3, 5])
async def test_reader_whose_events_were_lost_misses_none_that_come_later(
    path: Path, later: int
) -> None:
    """The end of the log is lost by a restore of a backup; a power cut does the same."""
    clock = VirtualClock()
    backup = path.with_name("backup")
    async with opened(path, clock=clock) as store:
        await write(store, item("old"), events=[event_of("old")])
    shutil.copy(path, backup)
    async with opened(path, clock=clock) as store:
        for key in ("lost 1", "lost 2", "lost 3"):
            clock.advance(0.001)
            await write(store, item(key), events=[event_of(key)])
        cursor = (await store.counters("")).cursor
    backup.replace(path)
    clock.advance(0.001)
    async with opened(path, clock=clock) as store:
        page = await store.read_log(cursor, 100)
        assert (page.truncated, page.entries) == (True, ())
        new = [f"new {number}" for number in range(later)]
        for key in new:
            await write(store, item(key), events=[event_of(key)])
        assert await keys_after(store, cursor) == (True, new)
        assert await keys_after(store, page.cursor) == (False, new)


@pytest.mark.anyio
async def test_positions_grow_while_the_clock_stands_still(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        cursor = "0"
        for key in ("a", "b", "c"):
            await write(store, item(key), events=[event_of(key), event_of(key, 1)])
            assert await keys_after(store, cursor) == (False, [key, key])
            cursor = (await store.counters("")).cursor
