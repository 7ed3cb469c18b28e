"""The write-ahead log is copied into the database in time, and its file stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.sqlite.checkpoint import FIRST, LONGEST, Checkpoints
from cicd_core.testing.samples import find, item, write
from tests.unit.store.sqlite.files import connect, execute, opened, query

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

#: In bytes.
PAGE = 4096


def wal_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE notes (body BLOB)")


def grow(connection: sqlite3.Connection, size: int) -> None:
    connection.execute("INSERT INTO notes VALUES (zeroblob(?))", (size,))


def test_a_checkpoint_is_due_when_the_log_has_grown(path: Path) -> None:
    checkpoints = Checkpoints(path, 5, first=50 * PAGE)
    assert not checkpoints.is_due()  # there is no log yet
    with connect(path) as connection:
        prepare(connection)
        assert not checkpoints.is_due()
        grow(connection, 60 * PAGE)
        assert checkpoints.is_due()
        checkpoints.run(connection)
        assert not checkpoints.is_due()


def test_after_a_complete_checkpoint_the_log_is_written_from_its_start_again(path: Path) -> None:
    checkpoints = Checkpoints(path, 5, first=50 * PAGE)
    with connect(path) as connection:
        prepare(connection)
        grow(connection, 60 * PAGE)
        checkpoints.run(connection)
        size = wal_size(path)
        grow(connection, 20 * PAGE)
        assert wal_size(path) == size


def test_what_a_reader_still_needs_stays_in_the_log_until_it_has_grown_much(path: Path) -> None:
    checkpoints = Checkpoints(path, 5, first=50 * PAGE)
    with connect(path) as connection, connect(path) as reader:
        prepare(connection)
        grow(connection, 60 * PAGE)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        grow(connection, 10 * PAGE)
        checkpoints.run(connection)
        grow(connection, 10 * PAGE)
        assert not checkpoints.is_due()
        grow(connection, 50 * PAGE)
        assert checkpoints.is_due()


def test_a_log_that_is_too_long_is_cut(path: Path) -> None:
    checkpoints = Checkpoints(path, 5, first=10 * PAGE, longest=50 * PAGE)
    with connect(path) as connection:
        prepare(connection)
        grow(connection, 60 * PAGE)
        checkpoints.run(connection)
        assert wal_size(path) == 0
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)
        grow(connection, 20 * PAGE)
        assert checkpoints.is_due()


def test_a_log_that_is_too_long_is_not_cut_under_a_reader(path: Path) -> None:
    checkpoints = Checkpoints(path, 5, first=10 * PAGE, longest=50 * PAGE)
    with connect(path) as connection, connect(path) as reader:
        prepare(connection)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        grow(connection, 60 * PAGE)
        checkpoints.run(connection)
        assert wal_size(path) > 50 * PAGE
        assert not checkpoints.is_due()
        reader.execute("COMMIT")
        grow(connection, 20 * PAGE)
        assert checkpoints.is_due()
        checkpoints.run(connection)
        assert wal_size(path) == 0


@pytest.mark.anyio
async def test_a_store_that_writes_much_keeps_its_log_short(path: Path) -> None:
    async with opened(path, synchronous="normal") as store:
        version = (await write(store, item("a")))["a"]
        written = 0
        while written < LONGEST:
            put = item("a", expected=version, body=b"x" * 300_000)
            version = (await write(store, put))["a"]
            written += len(put.body)
        assert wal_size(path) < 2 * FIRST
        assert await find(store, "a")


@pytest.mark.anyio
async def test_no_connection_checkpoints_by_itself(store: SQLiteBackend) -> None:
    pragma = "PRAGMA wal_autocheckpoint"
    assert await execute(store, pragma) == [(0,)]
    assert await store.reads.call(lambda each: each.execute(pragma).fetchone()) == (0,)


@pytest.mark.anyio
async def test_everything_is_in_the_database_when_the_store_has_closed(path: Path) -> None:
    async with opened(path) as store:
        await write(store, item("a"))
    assert not path.with_name(f"{path.name}-wal").exists()
    assert query(path, "SELECT key FROM c_items") == [("a",)]
