"""The store: each verb of the contract as a request to one of two threads."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope

from cicd_core.clock import calendar_reader
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.records import StoreTime
from cicd_core.store.sqlite.batcher import Batcher
from cicd_core.store.sqlite.decisions import CommitAll, RenewAll, weight
from cicd_core.store.sqlite.log import read_counters, read_entries
from cicd_core.store.sqlite.reads import Snapshot
from cicd_core.store.sqlite.waiting import Waiting
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        LogPage,
        Partition,
        Query,
        Record,
        RecordPage,
        Renewal,
        Renewed,
        Watch,
    )
    from cicd_core.store.sqlite.connection import ConnectionThread
    from cicd_core.store.sqlite.decisions import Request
    from cicd_core.store.sqlite.files import DatabaseFiles
    from cicd_core.store.sqlite.location import Location
    from cicd_core.store.sqlite.tables import Table
    from cicd_core.store.sqlite.writing import Writer

Answer = TypeVar("Answer")


@frozen
class _PageOf:
    """The question for a page."""

    query: Query

    def __call__(self, snapshot: Snapshot) -> RecordPage:
        """Answer it."""
        return snapshot.page(self.query)


class SQLiteBackend:
    """A store in one file; the contract documents its methods.

    It has two connections, each with its own thread: one writes, one reads. The requests of one
    turn of the event loop, or those made while a thread is busy, go to it together, as one
    transaction. Any number of processes on one host may use the file at once. It needs asyncio.

    Attributes:
        collections: the collections of the store.
        lifetime: from the opening to :meth:`close`.
        location: the file and its options.
        writes: the thread that writes.
        reads: the thread that reads.
    """

    def __init__(
        self,
        *,
        location: Location,
        collections: tuple[Collection, ...],
        files: DatabaseFiles,
        tables: Mapping[str, Table],
        namespace_id: int,
        clock: Clock,
        writer: Writer,
        writes: ConnectionThread,
        reads: ConnectionThread,
        sibling: Callable[[], AbstractAsyncContextManager[Store]],
    ) -> None:
        """Wrap the parts that :func:`cicd_core.store.sqlite.open_sqlite` has opened."""
        self.collections = collections
        self.lifetime = Lifetime(f"the store on {str(location.path)!r}")
        self.location = location
        self.writes = writes
        self.reads = reads
        self._files = files
        self._tables = tables
        self._namespace_id = namespace_id
        self._clock = clock
        self._calendar = calendar_reader(clock)
        self._writer = writer
        self._sibling = sibling
        self._data_version: int | None = None
        batcher = partial(Batcher, path=location.path, busy_timeout=location.busy_timeout)
        self._write_batches: Batcher[Request] = batcher(
            writes, writer.run, weight=weight, afterwards=self._after_batch
        )
        self._read_batches: Batcher[Callable[[Snapshot], Any]] = batcher(reads, self._read)
        self._waiting = Waiting(
            self._true_watches,
            self._true_watches_if_changed,
            path=location.path,
            namespace_id=namespace_id,
        )

    async def now(self) -> StoreTime:
        """Return the time that all processes on this host share, without uncertainty."""
        return StoreTime(self._clock.micros(), calendar=self._calendar())

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key, all from one snapshot."""
        return await self._ask(lambda snapshot: snapshot.get(collection, keys))

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given."""
        answers: list[Committed | Conflict] = await self._write_batches.ask(CommitAll(commits))
        return answers

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions."""
        records: list[Record] = await self._write_batches.ask(claim)
        return records

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` if the claim id matches."""
        answers: list[Renewed | None] = await self._write_batches.ask(RenewAll(renewals))
        return answers

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition, always up to date."""
        return await self._ask(_PageOf(query))

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, from one snapshot.

        The counts are exact unless more than 1,000 expired records await their deletion.
        """
        return await self._ask(lambda snapshot: snapshot.count(partitions))

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``; they include every event."""
        return await self._ask(
            lambda snapshot: read_counters(snapshot.connection, snapshot.namespace_id, prefix)
        )

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None reads from the oldest event that is kept."""
        return await self._ask(
            lambda snapshot: read_entries(
                snapshot.connection, snapshot.namespace_id, cursor, limit, now=self._clock.micros()
            )
        )

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches has come true, False after ``timeout`` seconds."""
        return await self._waiting.wait(watches, timeout)

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same file, for another thread's event loop."""
        return self._sibling()

    async def close(self) -> None:
        """Finish the requests and close the file.

        A second call, or a call in a forked child, does nothing.

        Cancellation: shielded; it waits for the transaction under way, so that none is left open.
        """
        if not self.lifetime.end():
            return
        with CancelScope(shield=True):
            await self._waiting.close()
            await self._write_batches.close()
            await self._read_batches.close()
            try:
                await self.reads.close()  # first: the last connection to close checkpoints
                await self.writes.call(self._writer.close)
            finally:
                await self.writes.close()

    async def _ask(self, question: Callable[[Snapshot], Answer]) -> Answer:
        answer: Answer = await self._read_batches.ask(question)
        return answer

    def _read(
        self, connection: sqlite3.Connection, questions: Sequence[Callable[[Snapshot], Any]]
    ) -> list[Any]:
        """Answer all questions from one snapshot, on the reading thread."""
        with self._files.checked():
            snapshot = Snapshot(connection, self._tables, self._namespace_id, self._clock.micros())
            try:
                with suppress(sqlite3.Error):  # each question gets the error itself
                    snapshot.look_for(each.query for each in questions if isinstance(each, _PageOf))
                return [_answered(question, snapshot) for question in questions]
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    async def _after_batch(self) -> None:
        arrivals, self._writer.arrivals = self._writer.arrivals, []
        claims, self._writer.claims = self._writer.claims, []
        self._waiting.tell(arrivals)
        self._waiting.claimed(claims)
        if self._writer.has_chores():
            await self.writes.call(self._writer.do_chores)

    async def _true_watches(self, watches: set[Watch]) -> set[Watch]:
        return await self._ask(lambda snapshot: snapshot.true_watches(watches))

    async def _true_watches_if_changed(self, watches: set[Watch]) -> set[Watch] | None:
        return await self._ask(partial(self._look_if_changed, watches))

    def _look_if_changed(self, watches: set[Watch], snapshot: Snapshot) -> set[Watch] | None:
        version = snapshot.data_version()
        if version == self._data_version:
            return None
        self._data_version = version
        return snapshot.true_watches(watches)


def _answered(question: Callable[[Snapshot], Any], snapshot: Snapshot) -> Any:
    try:
        return question(snapshot)
    except Exception as failure:  # noqa: BLE001 - it is the answer, and is raised to its caller
        return failure
