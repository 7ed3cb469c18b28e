"""All writes, on the writing connection's thread: batches, chores, and the close.

A batch is one transaction. Each request is decided by itself. Only if SQLite itself fails, the
whole batch fails and is rolled back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cicd_core.clock import calendar_of
from cicd_core.store.records import Claim, StoreTime
from cicd_core.store.sqlite.batch import Batch
from cicd_core.store.sqlite.decisions import decide
from cicd_core.store.sqlite.failures import Locked, is_of_the_engine
from cicd_core.store.sqlite.old_counters import OldCounters
from cicd_core.store.sqlite.schema import layout_version, load_tables, transaction
from cicd_core.store.sqlite.shared_clock import note_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from cicd_core.clock import Clock
    from cicd_core.store.records import Collection
    from cicd_core.store.sqlite.checkpoint import Checkpoints
    from cicd_core.store.sqlite.decisions import Request
    from cicd_core.store.sqlite.file_lock import WritersLock
    from cicd_core.store.sqlite.files import DatabaseFiles
    from cicd_core.store.sqlite.retention import Retention
    from cicd_core.store.sqlite.tables import PartitionKey, Table


class Writer:
    """The work of one writing connection. Its methods run on the connection's thread."""

    def __init__(
        self,
        *,
        collections: Sequence[Collection],
        namespace_id: int,
        clock: Clock,
        files: DatabaseFiles,
        lock: WritersLock,
        checkpoints: Checkpoints,
        retention: Retention,
    ) -> None:
        """Set the parts that the connection uses; ``namespace_id`` is the namespace's number."""
        self._collections = collections
        self._namespace_id = namespace_id
        self._clock = clock
        self._files = files
        self._lock = lock
        self._checkpoints = checkpoints
        self._retention = retention
        self._old_counters = OldCounters()
        self._tables: dict[str, Table] = {}
        self._layout = -1
        self._high = 0
        #: The arrivals in partitions in the batches since this list was last emptied.
        self.arrivals: list[tuple[PartitionKey, str]] = []
        #: The claims of the same batches.
        self.claims: list[Claim] = []

    def run(self, connection: sqlite3.Connection, requests: Sequence[Request]) -> list[Any]:
        """Run all requests in one transaction, and return the answers in order.

        If SQLite fails on the data of one request, each request runs in its own transaction, and
        the answer of the failed one is the exception.
        """
        try:
            return self._run(connection, requests)
        except Exception as failure:
            if len(requests) == 1 or is_of_the_engine(failure):
                raise
        return [self._run_alone(connection, request) for request in requests]

    def has_chores(self) -> bool:
        """Whether :meth:`do_chores` has something to do. Safe to call from the event loop."""
        return self._retention.is_due(self._clock.micros()) or self._checkpoints.is_due()

    def do_chores(self, connection: sqlite3.Connection) -> None:
        """Delete expired records and old events, give free pages back, and checkpoint.

        Raises:
            ExceptionGroup: some chores failed; the others were still done.
        """
        failures: list[Exception] = []
        with self._files.checked(), self._lock.held():
            self._files.check()  # otherwise a checkpoint could write into other processes' files
            for chore in self._chores():
                try:
                    chore(connection)
                except Exception as failure:  # noqa: BLE001 - it is raised when all are done
                    failures.append(failure)
        if failures:
            raise ExceptionGroup("database cleanup failed", failures)

    def _chores(self) -> Iterator[Callable[[sqlite3.Connection], None]]:
        now = self._clock.micros()
        if self._retention.is_due(now):
            self._retention.begin(now)
            yield partial(self._drop_records, now)
            yield partial(self._drop_events, now)
            yield partial(self._drop_counters, now)
            yield partial(self._retention.shrink, now=now)
        if self._checkpoints.is_due():
            yield self._checkpoints.run

    def _drop_records(self, now: int, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            self._refresh(connection)
            self._retention.drop_records(connection, self._tables, self._namespace_id, now)

    def _drop_events(self, now: int, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            self._retention.drop_events(connection, self._namespace_id, now)

    def _drop_counters(self, now: int, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            time = StoreTime(now, calendar=calendar_of(self._clock))
            if self._old_counters.run(connection, self._namespace_id, time):
                self._retention.look_soon(now)

    def close(self, connection: sqlite3.Connection) -> None:
        """Close the connection; the last one to close leaves only the database file behind."""
        try:
            with self._lock.held():
                connection.close()  # SQLite checkpoints here, if this is the last connection
                self._lock.remove()
        except (Locked, OSError):
            connection.close()  # other processes hold the lock: one of them closes last
        finally:
            self._lock.close()

    def _run_alone(self, connection: sqlite3.Connection, request: Request) -> Any:
        try:
            return self._run(connection, [request])[0]
        except Exception as failure:  # noqa: BLE001 - it is the answer, and is raised to its caller
            return failure

    def _run(self, connection: sqlite3.Connection, requests: Sequence[Request]) -> list[Any]:
        with self._files.checked(), self._lock.held(), transaction(connection):
            self._refresh(connection)
            batch = Batch(connection, self._tables, self._namespace_id, self._clock.micros())
            answers = decide(batch, requests)
            batch.finish()
            self._high = note_time(connection, batch.now, self._high)
        self.arrivals += batch.arrivals
        self.claims += (request for request in requests if isinstance(request, Claim))
        return answers

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Load the columns and indexes that other processes added."""
        version = layout_version(connection)
        if version != self._layout:
            self._tables = load_tables(connection, self._collections)
            self._layout = version
