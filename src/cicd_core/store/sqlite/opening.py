"""Opens a database: refuses a foreign file, creates a missing one, and migrates an old one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import CancelScope

from cicd_core.errors import StoreClosed, UnsupportedCapability
from cicd_core.forks import close_inherited
from cicd_core.model.instants import micros
from cicd_core.store.registry import require_asyncio
from cicd_core.store.sqlite.checkpoint import Checkpoints
from cicd_core.store.sqlite.connection import ConnectionThread
from cicd_core.store.sqlite.failures import translated
from cicd_core.store.sqlite.file_lock import WritersLock
from cicd_core.store.sqlite.files import DatabaseFiles, make
from cicd_core.store.sqlite.location import locate
from cicd_core.store.sqlite.retention import Retention
from cicd_core.store.sqlite.schema import (
    extend,
    load_tables,
    migrate,
    namespace_id,
    refuse_foreign,
)
from cicd_core.store.sqlite.shared_clock import host_clock
from cicd_core.store.sqlite.store import SQLiteBackend
from cicd_core.store.sqlite.writing import Writer
from cicd_core.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Mapping

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import StoreURL
    from cicd_core.store.sqlite.location import Location, Synchronous
    from cicd_core.store.sqlite.tables import Table


@asynccontextmanager
async def open_sqlite(
    url: StoreURL,
    *,
    collections: tuple[Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
    create: bool | None = None,
    synchronous: Synchronous | None = None,
    busy_timeout: float | None = None,
    log_retention: float | None = None,
) -> AsyncGenerator[Store, None]:
    """Open a store in a SQLite file; create the file if it does not exist.

    ``sqlite:///ci.db`` is a file in the current folder, ``sqlite:////var/lib/ci.db`` has an
    absolute path. The URL may also set the options below; an argument takes precedence.

    Args:
        url: the location of the file.
        collections: the collections of the store; missing tables and indexes are added.
        namespace: the set of records to open.
        clock: the store's own clock, for a test; by default the clock that all processes on the
            host share, which is independent of changes of the wall clock.
        create: whether to create a missing file; true by default.
        synchronous: ``full``, the default, or ``normal``. With ``normal``, a power cut may lose
            the last commits, but never a part of one.
        busy_timeout: how many seconds to wait for other processes, 5 by default.
        log_retention: how many seconds an event stays in the log, 30 days by default.

    Raises:
        InvalidInput: the URL or an option is wrong, or the folder does not exist, or there
            is no file and ``create`` is false.
        UnrecognizedDatabase: the file is not a database of this library; it stays unchanged.
        SchemaTooNew: a newer version of the library wrote it; it stays unchanged.
        SchemaTooOld: an older version wrote it, in a layout that is not supported any more.
        StoreReadOnly: the file or its folder cannot be written.
        StoreUnavailable: the file is locked for longer than ``busy_timeout``.
        UnsupportedCapability: the event loop is not asyncio's, or the file system cannot do WAL.
    """
    location = locate(
        url,
        namespace=namespace,
        create=create,
        synchronous=synchronous,
        busy_timeout=busy_timeout,
        log_retention=log_retention,
    )
    async with open_location(location, collections, clock) as store:
        yield store


@asynccontextmanager
async def open_location(
    location: Location, collections: tuple[Collection, ...], clock: Clock | None
) -> AsyncGenerator[SQLiteBackend, None]:
    """Open the store at a location that :func:`open_sqlite` derived from a URL."""
    require_asyncio("sqlite")
    # SQLite keeps the file locks of a process in its memory, for all connections. A forked child
    # inherits the parent's list, which is wrong there: the child would lock nothing, and lose its
    # writes when the parent closes the file.
    if not close_inherited():
        raise StoreClosed(
            f"this process was forked while its parent wrote to SQLite, and cannot open "
            f"{str(location.path)!r}: start a new process instead (multiprocessing: 'spawn'), or "
            f"fork before the first store is opened"
        )
    store = await _opened(location, collections, clock)
    try:
        yield store
    finally:
        await store.close()


@frozen
class _Prepared:
    """The state that the writing connection found in the file, or created there."""

    tables: Mapping[str, Table]
    namespace_id: int
    clock: Clock


async def _opened(
    location: Location, collections: tuple[Collection, ...], clock: Clock | None
) -> SQLiteBackend:
    lock = WritersLock(location.path, location.busy_timeout)
    writes = ConnectionThread(location.path, location.busy_timeout)
    reads = ConnectionThread(location.path, location.busy_timeout)
    try:
        files = _files(location)
        await writes.open()
        found = await writes.call(
            lambda connection: _prepare(connection, location, collections, clock, lock)
        )
        await reads.open()
        await reads.call(_configure_reader)
        files.watch_log()
        files.check()
    except BaseException as cause:
        with CancelScope(shield=True):
            await reads.close()
            await writes.close()
        lock.close()
        failure = translated(cause, location.path, location.busy_timeout)
        if failure is cause:
            raise
        raise failure from cause
    writer = Writer(
        collections=collections,
        namespace_id=found.namespace_id,
        clock=found.clock,
        files=files,
        lock=lock,
        checkpoints=Checkpoints(location.path, location.busy_timeout),
        retention=Retention(micros(location.log_retention)),
    )
    return SQLiteBackend(
        location=location,
        collections=collections,
        files=files,
        tables=found.tables,
        namespace_id=found.namespace_id,
        clock=found.clock,
        writer=writer,
        writes=writes,
        reads=reads,
        sibling=lambda: open_location(location, collections, clock),
    )


def _files(location: Location) -> DatabaseFiles:
    """Return the files to open, created if needed; from here on they must stay the same."""
    if location.create:
        make(location.path)
    return DatabaseFiles(location.path, location.name)


def _prepare(
    connection: sqlite3.Connection,
    location: Location,
    collections: tuple[Collection, ...],
    clock: Clock | None,
    lock: WritersLock,
) -> _Prepared:
    """Prepare the file under the writers' lock, so that only one process does it at a time."""
    refuse_foreign(location.path)
    with lock.held():
        try:
            _make_ready(connection, location, collections)
            return _Prepared(
                tables=load_tables(connection, collections),
                namespace_id=namespace_id(connection, location.namespace),
                clock=clock or host_clock(connection),
            )
        except BaseException:
            lock.remove()
            raise


def _make_ready(
    connection: sqlite3.Connection, location: Location, collections: tuple[Collection, ...]
) -> None:
    migrate(connection, location.path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise UnsupportedCapability(
            f"the file system of {str(location.path)!r} cannot have a write-ahead log (SQLite uses "
            f"{mode!r}): put the database on a local disk"
        )
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # see file_lock.py
    connection.execute(f"PRAGMA synchronous = {location.synchronous}")
    extend(connection, collections)


def _configure_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA query_only = 1")
