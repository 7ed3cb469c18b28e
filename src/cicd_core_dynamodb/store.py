"""The store: each verb of the contract, delegated to its implementation."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import current_time, sleep

from cicd_core.errors import UnsupportedCapability
from cicd_core.ids import IdSource
from cicd_core.model.instants import micros
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.semantics import subject_of
from cicd_core_dynamodb.claim_intents import OwnMarks, SharedMarks
from cicd_core_dynamodb.claims import Claimer
from cicd_core_dynamodb.commits import Committer
from cicd_core_dynamodb.counters import CounterBook
from cicd_core_dynamodb.items import layout_of, layouts
from cicd_core_dynamodb.journal import Journal
from cicd_core_dynamodb.journal_reader import JournalReader
from cicd_core_dynamodb.log import Log
from cicd_core_dynamodb.log_leader import LogLeader, Tender
from cicd_core_dynamodb.log_stream import LogStream
from cicd_core_dynamodb.reads import Reader
from cicd_core_dynamodb.renewals import Renewer
from cicd_core_dynamodb.sequencer import Sequencer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

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
        StoreTime,
        Watch,
    )
    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.location import Location

_log = logging.getLogger(__name__)

#: Seconds between the first two polls of a wait, and the factor by which each pause grows.
_FIRST_PAUSE: Final = 0.05
_LONGER: Final = 1.6
#: The number of sets of watches whose last pause is remembered.
_REMEMBERED: Final = 1000


class DynamoDBBackend:
    """A store in DynamoDB; the contract documents its methods.

    Order: a claim takes the smallest sort values that the index shows, and the index may lag; the
    ownership of a record is exact. Counts are estimates and pages may lag; the log and its counters
    never do.
    """

    def __init__(
        self,
        calls: Calls,
        collections: tuple[Collection, ...],
        location: Location,
        *,
        shards: int,
        log_shards: int,
        sibling: Callable[[], AbstractAsyncContextManager[Store]],
    ) -> None:
        self._calls = calls
        #: The collections of the store.
        self.collections = collections
        #: Until the block that opened the store ends.
        self.lifetime = Lifetime(f"the store in the tables {location.prefix!r}")
        self._location = location
        self._sibling = sibling
        ids = IdSource()
        self._ids = ids
        kept = layouts(collections, location.namespace, shards)
        self._layouts = kept
        retention = micros(location.log_retention)
        self._reader = Reader(calls, kept, location.count_seconds)
        self._renewer = Renewer(calls, kept)
        marks = SharedMarks(calls, location.namespace) if location.claim_marks else OwnMarks()
        self._claimer = Claimer(calls, kept, self._reader, marks, ids)
        journal = Journal(
            calls,
            ids,
            namespace=location.namespace,
            shards=log_shards,
            retention=retention,
        )
        sequencers = [
            Sequencer(
                shard,
                calls,
                self._reader,
                partial(layout_of, kept, location.namespace),
                journal=JournalReader(calls, journal.stream("w", shard)),
                log=LogStream(calls, journal.stream("d", shard), retention),
                retention=retention,
                jitter=ids.jitter,
            )
            for shard in range(log_shards)
        ]
        self._log = Log(calls, sequencers, retention)
        self._counters = CounterBook(calls, journal, self._log, sequencers)
        self._committer = Committer(
            calls, kept, self._reader, journal if location.log else None, ids
        )
        #: The leader that updates the log while there are no readers.
        self.tender = Tender(LogLeader(calls, ids, location.namespace), self._counters.fold)
        #: The last pause of each wait that ended without a record, by its partitions.
        self._pauses: dict[frozenset[Partition], float] = {}

    async def now(self) -> StoreTime:
        """Return the time at the server, computed from the Dates of its answers."""
        return await self._calls.now()

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the existing records by key. Cost: a read unit per started 4 KiB of a record."""
        return await self._reader.get(self._layouts[collection], keys)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given.

        Cost: a write unit per started KiB of a record (two in a commit of several writes), one or
        two for each index in which it moves, and one for the journal if there are events.
        """
        if not commits:
            return []
        answers = await self._committer.commit(commits)
        for commit in commits:
            for collection, key in map(subject_of, commit.writes):
                self._claimer.forget(collection, (key,))
        if self._location.log and any(item.events or item.increments for item in commits):
            self.tender.soon()
        return answers

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values that the index shows.

        Cost: half a read unit per partition and shard, a write unit for the mark of the claim, and
        for each record a write unit and the cost of its indexes.
        """
        return await self._claimer.claim(claim)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry. Cost: a write unit per started KiB of a record."""
        return await self._renewer.renew(renewals)

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition, as the index shows it; the records may lag too."""
        return await self._reader.page(query)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return approximately how many records each partition holds."""
        return await self._reader.count(partitions)

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``; they never lag."""
        self._require_log()
        return await self._counters.read(prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; the log never lags."""
        self._require_log()
        return await self._log.read(cursor, limit)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches has come true, False after ``timeout`` seconds.

        It polls with growing pauses. A repeated wait for the same partitions, without success so
        far, continues with the long pauses. Cost of a poll: half a read unit per shard.
        """
        until = current_time() + timeout
        watched = frozenset(watch.partition for watch in watches)
        pause = self._pauses.pop(watched, _FIRST_PAUSE)
        while True:
            if await self._is_any(watches):
                return True
            left = until - current_time()
            if left <= 0:
                break
            await sleep(min(left, pause * (0.75 + self._ids.jitter() / 2)))
            pause = min(pause * _LONGER, self._location.poll_seconds)
        if len(self._pauses) >= _REMEMBERED:
            self._pauses.clear()
        self._pauses[watched] = pause
        return False

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same data, for another thread's event loop."""
        return self._sibling()

    def close(self) -> None:
        """Refuse all further calls; a call under way fails with its next request."""
        self.lifetime.end()
        self._calls.close()

    async def _is_any(self, watches: Sequence[Watch]) -> bool:
        for watch in watches:
            if await self._reader.is_any(watch.partition, watch.after):
                return True
        return False

    def _require_log(self) -> None:
        if not self._location.log:
            raise UnsupportedCapability(
                "this store was opened with log=off: it has no events and no counters"
            )
