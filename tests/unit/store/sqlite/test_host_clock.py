"""The time of a file on a host: shared, steady, and a calendar beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.clock import boot_micros, plausible, wall_micros
from cicd_core.model.instants import from_micros
from cicd_core.store.sqlite import shared_clock as host_clock_module
from cicd_core.store.sqlite.schema import migrate
from cicd_core.store.sqlite.shared_clock import host_clock, note_time
from cicd_core.testing.samples import item, write
from tests.unit.store.sqlite.files import connect, opened, query

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator
    from pathlib import Path

SECOND = 1_000_000
DAY = 86_400 * SECOND
YEAR = 365 * DAY


def see_wall_clock(monkeypatch: pytest.MonkeyPatch, micros: int) -> None:
    monkeypatch.setattr(host_clock_module, "wall_micros", lambda: micros)


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


@pytest.mark.parametrize("ahead", [-40 * YEAR, -DAY, DAY, YEAR])
def test_no_wall_clock_moves_the_steady_one_within_a_start(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    clock = host_clock(connection, boot_id="this", boot=5 * SECOND)
    see_wall_clock(monkeypatch, wall_micros() + ahead)
    assert host_clock(connection, boot_id="this", boot=900 * SECOND) == clock


@pytest.mark.parametrize("ahead", [-40 * YEAR, -DAY, DAY, YEAR])
def test_no_wall_clock_at_a_start_moves_the_steady_one(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    before = host_clock(connection, boot_id="before", boot=0).offset
    high = note_time(connection, before + DAY, high=0)
    see_wall_clock(monkeypatch, wall_micros() + ahead)
    clock = host_clock(connection, boot_id="after", boot=7)
    assert clock.offset + 7 == high


@pytest.mark.parametrize("wall", [0, 10**16 - 1])
def test_a_file_that_is_made_while_the_wall_clock_is_not_set_begins_at_a_plausible_time(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, wall: int
) -> None:
    see_wall_clock(monkeypatch, wall)
    clock = host_clock(connection, boot_id="this", boot=0)
    assert clock.offset == plausible(wall)
    assert 2026 <= from_micros(clock.offset).year < 2200


def test_the_calendar_follows_the_wall_clock_at_once(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = host_clock(connection)
    right = wall_micros()
    for ahead in (YEAR, -30 * DAY, 0):
        see_wall_clock(monkeypatch, right + ahead)
        assert clock.calendar() == right + ahead


def test_while_the_wall_clock_is_not_set_the_calendar_is_what_the_file_knows(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = host_clock(connection)
    see_wall_clock(monkeypatch, 0)
    before = clock.micros()
    assert before <= clock.calendar() <= clock.micros()


def test_after_a_start_the_time_goes_on_where_the_file_knows_it_was(
    connection: sqlite3.Connection,
) -> None:
    host_clock(connection, boot_id="before", boot=0)
    ahead = wall_micros() + DAY  # the wall clock was ahead, and is right again now
    note_time(connection, ahead, high=0)
    clock = host_clock(connection, boot_id="after", boot=7)
    assert clock.offset + 7 > ahead


def test_without_a_boot_id_a_shorter_uptime_tells_of_a_start(
    connection: sqlite3.Connection,
) -> None:
    clock = host_clock(connection, boot_id="", boot=DAY)
    assert host_clock(connection, boot_id="", boot=DAY + SECOND) == clock
    anew = host_clock(connection, boot_id="", boot=60 * SECOND)
    assert anew != clock
    assert anew.offset + 60 * SECOND >= clock.offset + DAY


def test_without_a_boot_id_a_wall_clock_far_ahead_tells_of_no_start(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = host_clock(connection, boot_id="", boot=DAY)
    see_wall_clock(monkeypatch, wall_micros() + YEAR)
    assert host_clock(connection, boot_id="", boot=DAY) == clock


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


@pytest.mark.anyio
async def test_two_processes_that_opened_under_different_wall_clocks_have_one_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = wall_micros()
    async with opened(path) as one:
        see_wall_clock(monkeypatch, right + YEAR)
        async with opened(path, namespace="other") as two:
            first, second, third = [await each.now() for each in (one, two, one)]
            assert first.micros <= second.micros <= third.micros
            assert {each.calendar for each in (first, second, third)} == {right + YEAR}
            see_wall_clock(monkeypatch, right)
            assert {(await each.now()).calendar for each in (one, two)} == {right}


@pytest.mark.anyio
@pytest.mark.parametrize("ahead", [-40 * YEAR, YEAR])
async def test_a_wrong_clock_at_a_start_of_the_machine_drops_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    async with opened(path) as store:
        kept = (await store.now()).micros + DAY
        await write(store, item("a", expires_at=kept))
    monkeypatch.setattr(host_clock_module, "_boot_id", lambda: "the next start")
    see_wall_clock(monkeypatch, wall_micros() + ahead)
    async with opened(path) as store:
        version = (await write(store, item("b")))["b"]  # retention runs behind it, before the end
    async with opened(path) as store:
        assert await store.get("items", ["a"])
    ((high,),) = query(path, "SELECT high FROM clock")
    assert version <= high < kept
