"""The time of a file on a host: shared, and never going back, whatever the wall clock says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.clock import boot_micros, wall_micros
from cicd_core.store.sqlite.host_clock import host_clock, note_time
from cicd_core.store.sqlite.schema import migrate
from cicd_core.testing.samples import item, write
from tests.unit.store.sqlite.files import connect, opened, query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator
    from pathlib import Path

SECOND = 1_000_000
DAY = 86_400 * SECOND


@pytest.fixture
def connection(path: Path) -> Generator[sqlite3.Connection, None, None]:
    with connect(path) as connection:
        migrate(connection, path)
        yield connection


def test_the_first_process_sets_the_clock_by_the_wall_clock(
    connection: sqlite3.Connection,
) -> None:
    before = wall_micros()
    now = host_clock(connection).micros()
    assert before <= now <= wall_micros() + SECOND


def test_all_processes_of_one_start_have_the_same_offset(connection: sqlite3.Connection) -> None:
    first = host_clock(connection, boot_id="this", boot=5 * SECOND)
    later = host_clock(connection, boot_id="this", boot=900 * SECOND)
    assert first == later


def test_a_wall_clock_that_jumped_moves_nothing_until_the_next_start(
    connection: sqlite3.Connection,
) -> None:
    clock = host_clock(connection, boot_id="this", boot=0)
    # As if the wall clock had been a day ahead when the clock was set, and is right again now.
    connection.execute("UPDATE clock SET boot_offset = boot_offset + ?", (DAY,))
    assert host_clock(connection, boot_id="this", boot=0).offset == clock.offset + DAY


def test_after_a_start_the_time_goes_on_where_the_file_knows_it_was(
    connection: sqlite3.Connection,
) -> None:
    host_clock(connection, boot_id="before", boot=0)
    ahead = wall_micros() + DAY  # the wall clock was ahead, and is right again now
    note_time(connection, ahead, high=0)
    clock = host_clock(connection, boot_id="after", boot=7)
    assert clock.offset + 7 > ahead


def test_after_a_start_the_wall_clock_sets_the_time_if_it_is_later(
    connection: sqlite3.Connection,
) -> None:
    host_clock(connection, boot_id="before", boot=0)
    note_time(connection, wall_micros() - DAY, high=0)
    before = wall_micros()
    clock = host_clock(connection, boot_id="after", boot=7)
    assert before <= clock.offset + 7 <= wall_micros() + SECOND


def test_without_a_boot_id_a_shorter_uptime_tells_of_a_start(
    connection: sqlite3.Connection,
) -> None:
    clock = host_clock(connection, boot_id="", boot=DAY)
    assert host_clock(connection, boot_id="", boot=DAY + SECOND) == clock
    anew = host_clock(connection, boot_id="", boot=60 * SECOND)
    assert anew != clock
    assert anew.offset + 60 * SECOND >= clock.offset + DAY


def test_without_a_boot_id_a_wall_clock_far_ahead_tells_of_a_start(
    connection: sqlite3.Connection,
) -> None:
    clock = host_clock(connection, boot_id="", boot=DAY)
    connection.execute("UPDATE clock SET boot_offset = boot_offset - ?, high = 0", (DAY,))
    anew = host_clock(connection, boot_id="", boot=DAY)
    assert anew.offset >= clock.offset


def test_the_time_is_noted_ahead_and_seldom(connection: sqlite3.Connection) -> None:
    host_clock(connection, boot_id="this", boot=0)
    now = wall_micros() + DAY
    high = note_time(connection, now, high=0)
    assert high > now
    assert connection.execute("SELECT high FROM clock").fetchone() == (high,)
    assert note_time(connection, now + 1, high) == high
    assert note_time(connection, now - DAY, high=0) < high  # by another process: it lowers nothing
    assert connection.execute("SELECT high FROM clock").fetchone() == (high,)


@pytest.mark.anyio
async def test_the_file_knows_an_instant_that_is_later_than_every_write(path: Path) -> None:
    async with opened(path) as store:
        version = (await write(store, item("a")))["a"]
        ((high,),) = query(path, "SELECT high FROM clock")
        assert version <= high


@pytest.mark.anyio
async def test_stores_on_one_file_tell_one_time(path: Path) -> None:
    async with opened(path) as one, opened(path, namespace="other") as two:
        first = (await one.now()).micros
        second = (await two.now()).micros
        third = (await one.now()).micros
    assert first <= second <= third
    assert third - first <= boot_micros()
