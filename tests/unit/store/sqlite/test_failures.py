"""What the disk, the file and other processes do to a store, and that it is well afterwards."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.errors import (
    CicdError,
    CorruptRecord,
    InvalidInput,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from cicd_core.store.sqlite.failures import Locked, is_of_the_engine, translated
from cicd_core.store.sqlite.file_lock import WritersLock
from cicd_core.testing.samples import (
    claim,
    event_of,
    find,
    in_lane,
    item,
    numbers_in,
    whole_log,
    write,
)
from tests.unit.store.sqlite.files import connect, execute, names, opened, query, run_script

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

LARGE = b"x" * 300_000
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="limits and users as POSIX has them")


async def test_a_full_disk_fails_every_member_of_the_batch_and_keeps_nothing_of_it(
    path: Path,
) -> None:
    failures: list[StoreFull] = []

    async def put(store: SQLiteBackend, key: str) -> None:
        with pytest.raises(StoreFull, match="nothing was written") as full:
            await write(store, item(key, body=LARGE), events=[event_of(key)])
        failures.append(full.value)

    async with opened(path) as store:
        await write(store, item("before"))
        ((pages,),) = await execute(store, "PRAGMA page_count")
        await execute(store, f"PRAGMA max_page_count = {pages + 10}")
        async with anyio.create_task_group() as group:
            for key in "abc":
                group.start_soon(put, store, key)
        assert len(set(map(id, failures))) == 3
        assert all(isinstance(each.__cause__, sqlite3.OperationalError) for each in failures)
        assert await numbers_in(store, in_lane()) == [1]
        assert await whole_log(store) == []
        await execute(store, "PRAGMA max_page_count = 1000000")
        await write(store, item("after", body=LARGE))
        assert await numbers_in(store, in_lane()) == [2]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_SCHEMA])
def test_a_condition_of_the_engine_that_passes_is_unavailable(path: Path, code: int) -> None:
    cause = sqlite3.OperationalError("locking protocol")
    cause.sqlite_errorcode = code
    assert isinstance(translated(cause, path, 5.0), StoreUnavailable)
    assert is_of_the_engine(cause)


async def test_a_file_that_another_program_locks_is_unavailable_after_busy_timeout(
    path: Path,
) -> None:
    async with opened(path, busy_timeout=0.01) as store:
        await write(store, item("a"))
        with connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="busy_timeout") as locked:
                await write(store, item("b"))
            assert locked.value.retryable
            assert await find(store, "a")  # who only reads does not care
            other.execute("ROLLBACK")
        await write(store, item("b"))


async def test_a_file_on_which_another_process_writes_is_unavailable_after_busy_timeout(
    path: Path,
) -> None:
    async with opened(path, busy_timeout=0.01) as store:
        await write(store, item("a"))
        lock = WritersLock(path, 5)
        with lock.held(), pytest.raises(StoreUnavailable, match="busy_timeout"):
            await store.claim(claim())
        lock.close()
        assert await store.claim(claim())


async def test_a_file_that_is_locked_cannot_be_opened(path: Path) -> None:
    async with opened(path):
        pass
    with connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="busy_timeout"):
            async with opened(path, busy_timeout=0.01):
                pass
    assert names(path.parent) == [path.name]


async def test_a_store_closes_while_another_process_keeps_the_lock(path: Path) -> None:
    lock = WritersLock(path, 5)
    async with opened(path, busy_timeout=0.01) as store:
        await write(store, item("a"))
        with lock.held():
            await store.close()
    lock.close()
    assert query(path, "SELECT count(*) FROM c_items") == [(1,)]


async def test_a_damaged_page_is_said_to_be_corrupt(path: Path) -> None:
    async with opened(path) as store:
        await write(store, *(item(f"{number}", body=b"x" * 3000) for number in range(20)))
    damage(path)
    with pytest.raises(StoreError) as damaged:  # noqa: PT012 - it may be found in either place
        async with opened(path) as store:
            await write(store, item("new"))
            await numbers_in(store, in_lane())
            await store.claim(claim(20))
    assert isinstance(damaged.value, CorruptRecord)


def damage(path: Path) -> None:
    """Write over all pages but the first eight."""
    with path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(os.urandom(path.stat().st_size - file.tell()))


@ON_POSIX
async def test_a_write_that_the_system_refuses_is_unavailable_and_leaves_nothing(
    path: Path,
) -> None:
    printed = await run_script("put_too_much.py", path, "file-size")
    assert printed == ["StoreUnavailable", "a c"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@ON_POSIX
async def test_a_file_that_may_not_be_written_cannot_be_opened(path: Path) -> None:
    async with opened(path):
        pass
    make_readable_only(path)
    printed = await run_script("put_too_much.py", path, "user")
    assert printed == ["StoreReadOnly"]
    assert names(path.parent) == [path.name]


@ON_POSIX
async def test_a_file_in_a_folder_that_may_not_be_entered_is_refused(path: Path) -> None:
    path.parent.chmod(0o700)
    printed = await run_script("put_too_much.py", path, "user")
    assert printed == ["StoreReadOnly"]


def make_readable_only(path: Path) -> None:
    """Let everybody read the file, and nobody write it or make another one beside it."""
    path.chmod(0o444)
    path.parent.chmod(0o555)
    for folder in list(path.parents)[1:-1]:
        if folder.owner() == path.owner():  # pytest keeps its folders to their owner
            folder.chmod(folder.stat().st_mode | 0o011)


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (failure(sqlite3.SQLITE_BUSY), StoreUnavailable),
        (failure(sqlite3.SQLITE_BUSY_SNAPSHOT), StoreUnavailable),
        (failure(sqlite3.SQLITE_FULL), StoreFull),
        (failure(sqlite3.SQLITE_READONLY_DBMOVED), StoreReadOnly),
        (failure(sqlite3.SQLITE_IOERR_FSYNC), StoreUnavailable),
        (failure(sqlite3.SQLITE_CORRUPT_INDEX), CorruptRecord),
        (failure(sqlite3.SQLITE_CONSTRAINT_UNIQUE), StoreError),
        (sqlite3.OperationalError("Could not decode to UTF-8 column 'key'"), CorruptRecord),
        (PermissionError(13, "Permission denied"), StoreReadOnly),
        (OSError(30, "Read-only file system"), StoreReadOnly),
        (OSError(28, "No space left on device"), StoreFull),
        (OSError(5, "Input/output error"), StoreUnavailable),
        (Locked("store.db-lock"), StoreUnavailable),
    ],
    ids=str,
)
async def test_what_a_driver_raises_is_only_the_cause(
    cause: Exception, expected: type[CicdError], path: Path
) -> None:
    error = translated(cause, path, 5.0)
    assert type(error) is expected
    assert error.__cause__ is cause
    assert isinstance(error, CorruptRecord) or str(path) in str(error)


@pytest.mark.parametrize("ours", [InvalidInput("cursor", "x", "no"), KeyError("a bug")])
async def test_what_no_driver_raises_stays_as_it_is(ours: Exception, path: Path) -> None:
    assert translated(ours, path, 5.0) is ours


@pytest.mark.parametrize(
    ("cause", "answer"),
    [
        (failure(sqlite3.SQLITE_FULL), True),
        (OSError(28, "No space left on device"), True),
        (Locked("store.db-lock"), True),
        (failure(sqlite3.SQLITE_CONSTRAINT_TRIGGER), False),
        (OverflowError("Python int too large"), False),
    ],
    ids=str,
)
async def test_a_failure_of_the_engine_is_told_from_one_of_the_data(
    cause: Any, answer: bool
) -> None:
    assert is_of_the_engine(cause) is answer
