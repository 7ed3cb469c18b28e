"""The store: each verb of the contract, as a request to one of the two threads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CancelScope

from cicd_core.clock import calendar_of
from cicd_core.store.records import StoreTime
from cicd_core.store.sqlite.batcher import Turns
from cicd_core.store.sqlite.log import read_counters, read_entries
from cicd_core.store.sqlite.reads import Snapshot
from cicd_core.store.sqlite.waiting import Waiting
from cicd_core.store.sqlite.writing import CommitAll, RenewAll, weight

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.limits import Limits
    from cicd_core.store.records import (
        Claim,
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
    from cicd_core.store.sqlite.connection import Hops
    from cicd_core.store.sqlite.files import DatabaseFiles
    from cicd_core.store.sqlite.location import Location
    from cicd_core.store.sqlite.tables import Table
    from cicd_core.store.sqlite.writing import Request, Writer

Answer = TypeVar("Answer")


class SQLiteStore:
    """A store in one file; what its methods promise stands in the contract.

    Two connections, each with a thread of its own: one writes, one reads. What is asked in a turn
    of the event loop, or while a thread is busy, goes there together, as one transaction. Any
    number of processes on one host may use the file at once. It needs asyncio.

    Attributes:
        location: the file, and how it is kept.
        writes: the thread that writes.
        reads: the thread that reads.
    """

    def __init__(
        self,
        *,
        location: Location,
        limits: Limits,
        files: DatabaseFiles,
        tables: Mapping[str, Table],
        space: int,
        clock: Clock,
        writer: Writer,
        writes: Hops,
        reads: Hops,
        sibling: Callable[[], AbstractAsyncContextManager[Store]],
    ) -> None:
        """Take what :func:`cicd_core.store.sqlite.open_sqlite` has opened."""
        self.location = location
        self.writes = writes
        self.reads = reads
        self._limits = limits
        self._files = files
        self._tables = tables
        self._space = space
        self._clock = clock
        self._writer = writer
        self._sibling = sibling
        self._data_version: int | None = None
        turns = partial(Turns, path=location.path, busy_timeout=location.busy_timeout)
        self._write_turns: Turns[Request] = turns(
            writes, writer.run, weight=weight, afterwards=self._after_batch
        )
        self._read_turns: Turns[Callable[[Snapshot], Any]] = turns(reads, self._read)
        self._waiting = Waiting(
            self._true_watches, self._true_watches_if_changed, path=location.path, space=space
        )

    async def now(self) -> StoreTime:
        """Return the time that all processes on this host share, with no uncertainty."""
        self._limits.lifetime.check()
        return StoreTime(self._clock.micros(), calendar=calendar_of(self._clock))

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key, all from one snapshot."""
        self._limits.check_keys(collection, keys)
        return await self._ask(lambda snapshot: snapshot.get(collection, keys))

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit whole, or not at all; answer in the order given."""
        self._limits.check_commits(commits)
        answers: list[Committed | Conflict] = await self._write_turns.ask(CommitAll(commits))
        return answers

    async def claim(self, claim: Claim) -> list[Record]:
        """Take up to ``limit`` records with the smallest sort values over the partitions."""
        self._limits.check_claim(claim)
        records: list[Record] = await self._write_turns.ask(claim)
        return records

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` where the claim id matches."""
        self._limits.check_renewals(renewals)
        answers: list[Renewed | None] = await self._write_turns.ask(RenewAll(renewals))
        return answers

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition; it never lags."""
        self._limits.check_query(query)
        return await self._ask(lambda snapshot: snapshot.page(query))

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, always exactly, from one snapshot."""
        self._limits.check_partitions(partitions)
        return await self._ask(lambda snapshot: snapshot.count(partitions))

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``; they lack no event."""
        self._limits.check_prefix(prefix)
        return await self._ask(
            lambda snapshot: read_counters(snapshot.connection, snapshot.space, prefix)
        )

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None is the beginning of what is kept."""
        self._limits.check_log_limit(limit)
        return await self._ask(
            lambda snapshot: read_entries(
                snapshot.connection, snapshot.space, cursor, limit, now=self._clock.micros()
            )
        )

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches has come true, False after ``timeout`` seconds."""
        self._limits.check_watches(watches, timeout)
        return await self._waiting.wait(watches, timeout)

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same file, for another thread's event loop."""
        return self._sibling()

    async def close(self) -> None:
        """Finish what was asked, and close the file; again, or in a forked child: does nothing.

        Cancellation: it waits for the transaction that is under way all the same, so that nothing
        of it stays behind.
        """
        if not self._limits.lifetime.end():
            return
        with CancelScope(shield=True):
            await self._waiting.close()
            await self._write_turns.close()
            await self._read_turns.close()
            try:
                await self.reads.close()  # first: the connection that closes last checkpoints
                await self.writes.run(self._writer.close)
            finally:
                await self.writes.close()

    async def _ask(self, question: Callable[[Snapshot], Answer]) -> Answer:
        answer: Answer = await self._read_turns.ask(question)
        return answer

    def _read(
        self, connection: sqlite3.Connection, questions: Sequence[Callable[[Snapshot], Any]]
    ) -> list[Any]:
        """Answer all questions from one snapshot, on the reading thread."""
        with self._files.checked():
            connection.execute("BEGIN")
            try:
                snapshot = Snapshot(connection, self._tables, self._space, self._clock.micros())
                return [_answered(question, snapshot) for question in questions]
            finally:
                connection.execute("ROLLBACK")

    async def _after_batch(self) -> None:
        arrivals, self._writer.arrivals = self._writer.arrivals, []
        claims, self._writer.claims = self._writer.claims, []
        self._waiting.tell(arrivals)
        self._waiting.claimed(claims)
        if self._writer.has_chores():
            await self.writes.run(self._writer.do_chores)

    async def _true_watches(self, watches: set[Watch]) -> set[Watch]:
        return await self._ask(lambda snapshot: snapshot.true_watches(watches))

    async def _true_watches_if_changed(self, watches: set[Watch]) -> set[Watch]:
        return await self._ask(partial(self._look_if_changed, watches))

    def _look_if_changed(self, watches: set[Watch], snapshot: Snapshot) -> set[Watch]:
        (version,) = snapshot.connection.execute("PRAGMA data_version").fetchone()
        if version == self._data_version:
            return set()
        self._data_version = version
        return snapshot.true_watches(watches)


def _answered(question: Callable[[Snapshot], Any], snapshot: Snapshot) -> Any:
    try:
        return question(snapshot)
    except Exception as failure:  # noqa: BLE001 - it is the answer, and is raised to its caller
        return failure
