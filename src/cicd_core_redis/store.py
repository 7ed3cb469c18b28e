"""The store: each verb of the contract as a call of a script."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CorruptRecord, InvalidCursor, StoreError
from cicd_core.model.instants import SECOND, micros
from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.records import Count, Counters, LogPage, RecordPage
from cicd_core_redis.codec import claimed, outcome, renewal_arguments, renewed, verbs_of
from cicd_core_redis.keys import lower_bound, upper_bound, zset_of
from cicd_core_redis.log import LogPosition, log_page
from cicd_core_redis.scripts import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.lifetime import Lifetime
    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Committed,
        Conflict,
        Partition,
        Query,
        Record,
        Renewal,
        Renewed,
        StoreTime,
        Watch,
    )
    from cicd_core_redis.codec import Answer, Argument, Codec
    from cicd_core_redis.pipeline import Pipeline
    from cicd_core_redis.server_clock import ServerClock
    from cicd_core_redis.waiting import Look, Waiting

_log = logging.getLogger("cicd_core_redis")

#: How often to delete expired data, in seconds, and how much of it at a time.
_SWEEP_PERIOD: Final = 1.0
_SWEEP: Final = 200
#: The most keys that one script reads: it blocks all other clients of the server while it runs.
_KEYS: Final = 256
#: How far the time of an event may be ahead of the clock later, in microseconds: after a failover,
#: the new server's clock may be behind by the time that was not stored.
_AHEAD: Final = 60 * SECOND
#: The length of a script's answer for a record whose header does not decode: key and error.
_UNREADABLE: Final = 2
#: The length if a claim left out the body, since it had read as many bytes as a script may.
_WITHOUT_BODY: Final = 4


class RedisBackend:
    """A store on a Redis or Valkey server; the contract documents its methods.

    Atomicity: the server runs a script completely, and runs nothing else at the same time.
    Clock: the server's TIME, within bounds (``lua/clock.lua``); :meth:`now` computes it from the
        last answers.
    Cost: one round trip for each verb; calls of one turn of the event loop share it. A page or a
        count needs one more for each thousand expired records that are not deleted yet, and a
        :meth:`get` one for each 256 keys. A page and a :meth:`get` also need one for each MiB of
        bodies.
    """

    def __init__(
        self,
        *,
        collections: tuple[Collection, ...],
        lifetime: Lifetime,
        codec: Codec,
        pipeline: Pipeline,
        clock: ServerClock,
        waiting: Callable[[RedisBackend], Waiting],
        log_retention: float,
        sibling: Callable[[], AbstractAsyncContextManager[Store]],
    ) -> None:
        #: The collections of the store.
        self.collections = collections
        #: From the opening to :meth:`close`.
        self.lifetime = lifetime
        self._codec = codec
        self._pipeline = pipeline
        self._clock = clock
        self._waiting = waiting(self)
        self._log_retention = micros(log_retention)
        self._sibling = sibling
        self._swept = monotonic_seconds()
        self._sweeping: asyncio.Task[None] | None = None
        #: The first day whose counters are kept, as of the last sweep of counters.
        self._first_kept = ""

    async def now(self) -> StoreTime:
        """Return the server's two clocks by its last answers; ask the server if they are too old.

        Uncertainty: half of the round trip of the answer used, and the drift since then.
        """
        known = self._clock.read()
        while known is None:
            await self._pipeline.run(Verb.LOOK, [0])  # no watches: every answer has the time
            known = self._clock.read()
        return known

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key."""
        answers = await self._looked_up(collection, tuple(dict.fromkeys(keys)))
        records = (self._record(collection, answer) for answer in answers)
        return {record.key: record for record in records}

    async def _looked_up(self, collection: str, distinct: Sequence[str]) -> list[Answer]:
        """Return the answers for the keys whose records exist."""
        found: list[Answer] = []
        first = 0
        while first < len(distinct):  # other clients have their turn in between
            some = distinct[first : first + _KEYS]
            number = len(some)
            looked, *answer = await self._pipeline.run(
                Verb.GET, [collection, number, *some], records=number
            )
            found += answer
            first += looked
        return found

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given."""
        self._sweep_soon()  # before the commits: a full server needs it most
        calls = [
            (verb, self._codec.commit(item), len(item.writes))
            for verb, item in zip(verbs_of(commits), commits, strict=True)
        ]
        answers = await self._each(calls)
        return [outcome(commit, answer) for commit, answer in zip(commits, answers, strict=True)]

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions."""
        arguments = self._codec.claim(claim)
        size = claim.limit + len(claim.partitions)  # it looks at the first record of each
        answer = await self._pipeline.run(Verb.CLAIM, arguments, records=size)
        repeated, found = claimed(answer)
        answers = await self._with_bodies(claim.collection, found)
        taken = self._readable(claim.collection, answers)
        # A record that was read separately may have another claim now: it is left out, as in a
        # repetition.
        records = [item for item in taken if item.lease and item.lease.claim_id == claim.claim_id]
        if repeated:
            sort = claim.index.sort
            records.sort(key=lambda record: (record.attributes.get(sort, ""), record.key))
        return records

    async def _with_bodies(self, collection: str, found: Sequence[Answer]) -> list[Answer]:
        """Return the answers of a claim; read each record whose body was left out."""
        missing = [answer[0].decode() for answer in found if len(answer) == _WITHOUT_BODY]
        if not missing:
            return [*found]
        later = {answer[0]: answer for answer in await self._looked_up(collection, missing)}
        whole = [
            answer if len(answer) != _WITHOUT_BODY else later.get(answer[0]) for answer in found
        ]
        return [answer for answer in whole if answer is not None]

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` if the claim id matches."""
        calls = [(Verb.RENEW, renewal_arguments(renewal), 1) for renewal in renewals]
        answers = await self._each(calls)
        for renewal, answer in zip(renewals, answers, strict=True):
            if len(answer) == 1:  # damaged: it must not block the other renewals
                broken = _corrupt(renewal.collection, renewal.key.encode(), answer[0])
                _log.error("skipped: %s", broken)
        return [renewed(answer) for answer in answers]

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition, always up to date."""
        partition, descending = query.partition, query.descending
        bounds = [lower_bound(query.after), upper_bound(query.before)]
        found: list[Answer] = []
        broken: list[Answer] = []
        more = True
        while more:  # a script skips a limited number of expired records, and returns its position
            arguments: list[Argument] = [partition.collection, zset_of(partition)]
            arguments += [query.limit + 1 - len(found), int(descending), *bounds]
            records, passed, bounds[descending] = await self._pipeline.run(Verb.PAGE, arguments)
            found += records
            broken += passed
            more = bool(bounds[descending])
        self._readable(partition.collection, [wrong[:2] for wrong in broken])  # this logs them
        kept = self._readable(partition.collection, found[: query.limit])
        unreadable = [(name.decode(), key.decode()) for key, _, name in broken]
        more = len(found) > query.limit
        if more and kept:  # records after the end belong to the next page
            end = kept[-1].attributes[partition.index.sort]
            unreadable = [named for named in unreadable if (named[0] < end) is not descending]
        return RecordPage(tuple(kept), more=more, unreadable=tuple(unreadable))

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds; the counts are always exact."""
        arguments: list[Argument] = [len(partitions), *map(zset_of, partitions)]
        more = True
        numbers: list[int] = []
        while more:  # expired records are deleted first, each of them once, so this ends
            more, *numbers = await self._pipeline.run(Verb.COUNT, arguments)
        return [Count(number, exact=True) for number in numbers]

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``."""
        group, bar, _ = prefix.partition("|")
        cursor, *pairs = await self._pipeline.run(Verb.COUNTERS, [prefix, group if bar else ""])
        values = zip(pairs[::2], pairs[1::2], strict=True)
        return Counters({name.decode(): int(value) for name, value in values}, cursor.decode())

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None reads from the oldest event that is kept."""
        position = None if cursor is None else LogPosition.parse(cursor)
        first = "-" if position is None else position.first
        last, dropped, found = await self._pipeline.run(Verb.READ_LOG, [first, limit])
        if position is not None and position.is_ahead_of(last):
            if position.millis * 1000 > (await self.now()).micros + _AHEAD:
                raise InvalidCursor(cursor or "", "it is ahead of this store's log")
            # The server lost the last events, which the reader has seen: continue from here.
            return LogPage((), cursor=last.decode(), truncated=True)
        truncated = position is not None and position.is_truncated_by(dropped)
        if position is None or truncated:  # even if no events follow, report the gap only once
            position = LogPosition.parse((dropped if truncated else last).decode())
        return log_page(position, found, limit, truncated=truncated)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when a watch may have come true, False after ``timeout`` seconds."""
        return await self._waiting.wait(watches, timeout)

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same data, for another thread's event loop."""
        return self._sibling()

    async def close(self) -> None:
        """Disconnect; calls under way fail. In a forked child, do nothing."""
        if not self.lifetime.end():
            return
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self._waiting.close()
        await self._pipeline.close()

    async def look(self, looks: Sequence[Look], given_back: Sequence[str] = ()) -> bool:
        """Return whether any of the watches is true; if none is, add their tickets to the line.

        Args:
            looks: the watches, with their tickets.
            given_back: tickets of waiters that have left.
        """
        arguments: list[Argument] = [len(looks)]
        for watch, ticket in looks:
            partition = watch.partition
            arguments += [
                partition.collection,
                zset_of(partition),
                lower_bound(watch.after),
                ticket,
            ]
        (is_true,) = await self._pipeline.run(Verb.LOOK, [*arguments, *given_back])
        return bool(is_true)

    async def _each(self, calls: Sequence[tuple[Verb, list[Argument], int]]) -> list[Answer]:
        """Run scripts; the pipeline sends them together, those of one kind in the order given.

        Each call has its script, its arguments, and the number of records that it concerns.
        """
        if len(calls) == 1:
            ((verb, arguments, records),) = calls
            return [await self._pipeline.run(verb, arguments, records=records)]
        sent = [
            self._pipeline.submit(verb, arguments, records=records)
            for verb, arguments, records in calls
        ]
        return await asyncio.gather(*sent)

    def _record(self, collection: str, answer: Answer) -> Record:
        """Return the record in a script's answer.

        Raises:
            CorruptRecord: it does not decode.
        """
        if len(answer) == _UNREADABLE:
            raise _corrupt(collection, *answer)
        try:
            return self._codec.record(collection, answer)
        except (AttributeError, TypeError, ValueError) as broken:
            raise _corrupt(collection, answer[0], str(broken).encode()) from broken

    def _readable(self, collection: str, answers: Sequence[Answer]) -> list[Record]:
        """Return the records that decode; log the others.

        A damaged record must not block the others of a page, a sweep or a claim. Only :meth:`get`
        raises an error for it.
        """
        records: list[Record] = []
        for answer in answers:
            try:
                records.append(self._record(collection, answer))
            except CorruptRecord as broken:
                _log.error("skipped: %s", broken)
        return records

    def _sweep_soon(self) -> None:
        """Delete expired data in the background, a little at a time."""
        now = monotonic_seconds()
        if self._sweeping is None and now - self._swept >= _SWEEP_PERIOD:
            self._swept = now
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            first_kept = first_kept_day(await self.now())
            day = "" if first_kept == self._first_kept else first_kept
            gone: Sequence[int] = (_SWEEP,)
            while _SWEEP in gone:
                gone = await self._pipeline.run(Verb.SWEEP, [_SWEEP, self._log_retention, day])
                self._first_kept, day = first_kept, ""
        except StoreError:
            return  # the next sweep does it: expired data is hidden in any case
        finally:
            self._sweeping = None


def _corrupt(collection: str, key: bytes, reason: bytes) -> CorruptRecord:
    return CorruptRecord(collection, key.decode(errors="replace"), reason.decode(errors="replace"))
