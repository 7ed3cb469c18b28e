"""The store: each verb of the contract, in its simplest form."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from copy import copy
from itertools import islice
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from cicd_core.clock import SystemClock, calendar_reader
from cicd_core.errors import CorruptRecord
from cicd_core.model.checks import check_seconds
from cicd_core.model.instants import SECOND, micros
from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.memory.log import Log
from cicd_core.store.memory.rows import Row, Rows, key_of_partition
from cicd_core.store.records import (
    Committed,
    Conflict,
    Count,
    Put,
    Query,
    Record,
    RecordPage,
    Renewed,
    StoreTime,
)
from cicd_core.store.semantics import (
    answer_of,
    applied_before,
    conflicts,
    granted,
    renewed,
    replaced,
    subject_of,
)
from cicd_core.store.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.memory.rows import PartitionKey
    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Counters,
        LogPage,
        Partition,
        Renewal,
        Subject,
        Watch,
    )

#: How often to look for counters of past days, in microseconds.
_HOUR: Final = 3600 * SECOND
#: How long the log is kept by default, in seconds: 30 days.
LOG_RETENTION: Final = 30 * 86400.0
#: The store's name in errors.
_NAME: Final = "this memory store"


class MemoryBackend:
    """A store in this process's memory; the contract documents its methods.

    Any number of threads may use it, each from its own event loop, asyncio or trio. A lock is held
    around each verb, and nothing is awaited while it is held. So a call happens completely or, if
    it was cancelled before, not at all.
    """

    def __init__(
        self,
        collections: Iterable[Collection],
        *,
        clock: Clock | None = None,
        log_retention: float = LOG_RETENTION,
    ) -> None:
        """Start empty.

        Args:
            collections: the collections of the store.
            clock: the store's own clock; by default the system's. A clock without ``calendar`` is
                used for both clocks.
            log_retention: how many seconds an event stays in the log.

        Raises:
            InvalidInput: ``log_retention`` is not a duration, or longer than ten years.
        """
        #: The collections of the store.
        self.collections = tuple(collections)
        #: From its creation to :meth:`close`.
        self.lifetime = Lifetime(_NAME)
        self._lease_sorts = {item.name: item.lease_sort for item in self.collections}
        self._clock = clock or SystemClock()
        self._calendar = calendar_reader(self._clock)
        self._lock = threading.RLock()
        #: The clock's uncertainty; above 0 only if this is the model of another store.
        self._uncertainty = 0
        self._waiters: Waiters[PartitionKey] = Waiters(key_of_partition)
        self._rows = Rows(self.collections, entered=self._waiters.tell)
        self._log = Log(micros(check_seconds("log_retention", log_retention)))
        self._days_due = 0

    async def now(self) -> StoreTime:
        """Return the time on the store's clock, without uncertainty."""
        return StoreTime(self._clock.micros(), calendar=self._calendar())

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key."""
        await checkpoint()
        with self._lock:
            now = self._tick()
            rows = (self._readable((collection, key), now) for key in keys)
            return {row.record.key: row.record for row in rows if row is not None}

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given."""
        await checkpoint()
        with self._lock:
            now = self._tick()
            return [self._commit(commit, now) for commit in commits]

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions."""
        await checkpoint()
        with self._lock:
            now = self._tick()
            held = self._rows.held(claim.collection, claim.claim_id, now)
            if held:
                sort = claim.index.sort
                return sorted(
                    (row.record for row in held if row.is_readable),
                    key=lambda record: (record.attributes.get(sort, ""), record.key),
                )
            index = (claim.collection, claim.index.partition, claim.index.sort)
            partition_keys = [(*index, value) for value in claim.partitions]
            taken = list(islice(self._rows.smallest(partition_keys, now), claim.limit))
            records = [self._grant(claim, row, now) for row in taken]
            self._pass_on(partition_keys, now)
            return records

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` if the claim id matches."""
        await checkpoint()
        with self._lock:
            now = self._tick()
            return [self._renew(renewal, now) for renewal in renewals]

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition, always up to date."""
        await checkpoint()
        with self._lock:
            rows = list(islice(self._rows.between(query, self._tick()), query.limit + 1))
            records = tuple(row.record for row in rows[: query.limit])
            return RecordPage(records, more=len(rows) > query.limit)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds; the counts are always exact."""
        await checkpoint()
        with self._lock:
            now = self._tick()
            numbers = [
                self._rows.count(key_of_partition(partition), now) for partition in partitions
            ]
            return [Count(number, exact=True) for number in numbers]

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``."""
        await checkpoint()
        with self._lock:
            return self._log.counters(prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None reads from the oldest event that is kept."""
        await checkpoint()
        with self._lock:
            self._tick()
            return self._log.read(cursor, limit)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches has come true, False after ``timeout`` seconds."""
        await checkpoint()
        return await self._waiters.wait(
            watches,
            timeout,
            owner=self,
            look=lambda: self._look(watches),
            check=self.lifetime.check,
        )

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[Store, None]:
        """Open another store on the same data."""
        other = self.another()
        try:
            yield other
        finally:
            other.close()

    def another(self) -> MemoryBackend:
        """Return another store on the same data; close it separately."""
        other = copy(self)
        other.lifetime = Lifetime(_NAME)
        return other

    def damage(self, collection: str, key: str) -> bool:
        """Damage a record so that it does not decode any more; return whether it exists.

        It is for tests of damaged records, which otherwise cannot occur in memory.
        """
        with self._lock:
            return self._rows.damage((collection, key))

    def close(self) -> None:
        """Refuse all further calls, and end each wait with an error."""
        if self.lifetime.end():
            self._waiters.wake_all(self)

    def _tick(self) -> int:
        """Drop some of the expired data, and return the time."""
        now = self._clock.micros()
        self._rows.sweep(now)
        self._log.sweep(now)
        if now >= self._days_due:
            self._days_due = now + _HOUR
            time = StoreTime(now, calendar=self._calendar())
            self._log.drop_days(first_kept_day(time))
        return now

    def _pass_on(self, partition_keys: Iterable[PartitionKey], now: int) -> None:
        """Wake one more waiter in each partition in which a claim left a record."""
        for partition_key in filter(self._waiters.wait_in_turn, partition_keys):
            left = next(self._rows.smallest([partition_key], now), None)
            if left is not None:
                self._waiters.offer(partition_key, left.record.attributes[partition_key[2]])

    async def _look(self, watches: Sequence[Watch]) -> bool:
        with self._lock:
            now = self._tick()
            return any(self._is_true(watch, now) for watch in watches)

    def _readable(self, subject: Subject, now: int) -> Row | None:
        """Return the row of a record.

        Raises:
            CorruptRecord: it was damaged.
        """
        row = self._rows.live(subject, now)
        if row is not None and not row.is_readable:
            raise CorruptRecord(*subject, "it was damaged on purpose")
        return row

    def _is_true(self, watch: Watch, now: int) -> bool:
        query = Query(partition=watch.partition, limit=1, after=watch.after)
        return next(self._rows.between(query, now), None) is not None

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        records: dict[Subject, Record | None] = {}
        given: dict[Subject, int] = {}
        for write in commit.writes:
            subject = (write.collection, write.key)
            row = self._readable(subject, now)
            records[subject] = None if row is None else row.record
            if row is not None:
                given[subject] = row.given
        before = applied_before(commit, records, given)
        if before is not None:
            return Committed(before)
        wrong = conflicts(commit, records, now - self._uncertainty)
        if wrong:
            return Conflict(wrong)
        versions: dict[Subject, int] = {}
        for write in commit.writes:
            subject = subject_of(write)
            if isinstance(write, Put):
                versions[subject] = self._put(write, records[subject], commit, now)
            else:
                self._rows.drop(subject)
        for event in commit.events:
            version = event.version or versions[event.collection, event.key]
            self._log.append(event, version, now)
        for increment in commit.increments:
            self._log.increment(increment)
        return Committed(versions)

    def _put(self, put: Put, old: Record | None, commit: Commit, now: int) -> int:
        version = old.version + 1 if old else self._rows.first_version(now)
        record = replaced(put, old, commit.commit_id, version)
        self._rows.put(put.collection, Row(record, given=version))
        return version

    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        record = granted(claim, row.record, self._lease_sort(claim.collection), now)
        self._rows.put(claim.collection, Row(record, row.given))
        return record

    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        row = self._rows.live((renewal.collection, renewal.key), now)
        old = row.record if row and row.is_readable else None
        record = renewed(renewal, old, self._lease_sort(renewal.collection), now)
        if row is None or record is None or record.lease is None:
            return None
        self._rows.put(renewal.collection, Row(record, row.given))
        lease = record.lease
        return answer_of(record.version, lease)

    def _lease_sort(self, collection: str) -> str | None:
        return self._lease_sorts[collection]
