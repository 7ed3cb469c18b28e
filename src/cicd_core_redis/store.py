"""The store: each verb of the contract, as one call of a script."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CorruptRecord, InvalidCursor, StoreError
from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.records import Count, Counters, LogPage, RecordPage
from cicd_core_redis.codec import claimed, outcome, renewal_words, renewed, verbs_of
from cicd_core_redis.keys import lower_bound, upper_bound, zset_of
from cicd_core_redis.log import LogPlace, log_page
from cicd_core_redis.scripts import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.limits import Limits
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
    from cicd_core_redis.codec import Answer, Argument, Words
    from cicd_core_redis.pipeline import Pipe
    from cicd_core_redis.server_clock import ServerClock
    from cicd_core_redis.waiting import Look, Waiting

_log = logging.getLogger("cicd_core_redis")

#: How often to drop what ran out, in seconds, and how much of it at once.
_SWEEP_PERIOD: Final = 1.0
_SWEEP: Final = 200
#: The most keys that one script reads: it holds up every other client of the server meanwhile.
_KEYS: Final = 256
#: How far the time of an event may be ahead of the clock that is asked later, in microseconds: a
#: server that takes over may have fallen behind by what it had not noted.
_AHEAD: Final = 60_000_000
#: The length of what a script answers of a record whose header does not decode: key and error.
_UNREADABLE: Final = 2


class RedisStore:
    """A store on a Redis or Valkey server; what its methods promise stands in the contract.

    Atomicity: a script runs whole on the server, and nothing else runs beside it.
    Clock: the server's TIME, between bounds (``lua/clock.lua``); :meth:`now` knows it from the last
        answers.
    Cost: one round trip for each verb; calls of one turn of the event loop share it. A page or a
        count that meets records which ran out and were not dropped takes one more a thousand, and
        a :meth:`get` one for each 256 keys; both take one for each MiB of bodies, too.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        words: Words,
        pipe: Pipe,
        clock: ServerClock,
        waiting: Callable[[RedisStore], Waiting],
        log_retention: float,
        sibling: Callable[[], AbstractAsyncContextManager[Store]],
    ) -> None:
        """Put together what :func:`cicd_core_redis.open_redis` made."""
        self._limits = limits
        self._words = words
        self._pipe = pipe
        self._clock = clock
        self._waiting = waiting(self)
        self._log_retention = round(log_retention * 1_000_000)
        self._sibling = sibling
        self._swept = monotonic_seconds()
        self._sweeping: asyncio.Task[None] | None = None
        #: The first day whose counters are kept, when they were looked at last.
        self._first_kept = ""

    @property
    def collections(self) -> tuple[Collection, ...]:
        """What the store keeps."""
        return self._limits.collections

    async def now(self) -> StoreTime:
        """Return the server's two clocks, as the last answers tell them; asked for if they are old.

        Uncertainty: half of the round trip that told it, and the drift since then.
        """
        self._limits.lifetime.check()
        known = self._clock.read()
        while known is None:
            await self._pipe.run(Verb.LOOK, [0])  # at nothing: every answer tells the time
            known = self._clock.read()
        return known

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key."""
        self._limits.check_keys(collection, keys)
        distinct = tuple(dict.fromkeys(keys))
        found: dict[str, Record] = {}
        first = 0
        while first < len(distinct):  # others have their turn in between
            some = distinct[first : first + _KEYS]
            number = len(some)
            looked, *answer = await self._pipe.run(
                Verb.GET, [collection, number, *some], records=number
            )
            found |= {each.key: each for each in (self._record(collection, one) for one in answer)}
            first += looked
        return found

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit whole, or not at all; answer in the order given."""
        self._limits.check_commits(commits)
        self._sweep_soon()  # before: a server that is full needs it most
        calls = [
            (verb, self._words.commit(each), len(each.writes))
            for verb, each in zip(verbs_of(commits), commits, strict=True)
        ]
        answers = await self._each(calls)
        return [outcome(commit, each) for commit, each in zip(commits, answers, strict=True)]

    async def claim(self, claim: Claim) -> list[Record]:
        """Take up to ``limit`` records with the smallest sort values over the partitions."""
        self._limits.check_claim(claim)
        words = self._words.claim(claim)
        size = claim.limit + len(claim.partitions)  # it looks at the first of each
        answer = await self._pipe.run(Verb.CLAIM, words, records=size)
        repeated, found = claimed(answer)
        records = self._readable(claim.collection, found)
        if repeated:
            sort = claim.index.sort
            records.sort(key=lambda record: (record.attributes.get(sort, ""), record.key))
        return records

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` where the claim id matches."""
        self._limits.check_renewals(renewals)
        calls = [(Verb.RENEW, renewal_words(renewal), 1) for renewal in renewals]
        answers = await self._each(calls)
        for renewal, answer in zip(renewals, answers, strict=True):
            if len(answer) == 1:  # as good as lost: it must not hold up the other renewals
                broken = _corrupt(renewal.collection, renewal.key.encode(), answer[0])
                _log.error("left alone: %s", broken)
        return [renewed(answer) for answer in answers]

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition; it never lags."""
        self._limits.check_query(query)
        partition, descending = query.partition, query.descending
        bounds = [lower_bound(query.after), upper_bound(query.before)]
        found: list[Answer] = []
        broken: list[Answer] = []
        more = True
        while more:  # a script looks at some of what ran out, and says where to go on
            words: list[Argument] = [partition.collection, zset_of(partition)]
            words += [query.limit + 1 - len(found), int(descending), *bounds]
            records, passed, bounds[descending] = await self._pipe.run(Verb.PAGE, words)
            found += records
            broken += passed
            more = bool(bounds[descending])
        kept = self._readable(partition.collection, [*broken, *found[: query.limit]])
        return RecordPage(tuple(kept), more=len(found) > query.limit)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, always exactly."""
        self._limits.check_partitions(partitions)
        words: list[Argument] = [len(partitions), *map(zset_of, partitions)]
        more = True
        numbers: list[int] = []
        while more:  # what ran out is dropped first: each record once, so this ends
            more, *numbers = await self._pipe.run(Verb.COUNT, words)
        return [Count(number, exact=True) for number in numbers]

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``."""
        self._limits.check_prefix(prefix)
        group, bar, _ = prefix.partition("|")
        cursor, *pairs = await self._pipe.run(Verb.COUNTERS, [prefix, group if bar else ""])
        values = zip(pairs[::2], pairs[1::2], strict=True)
        return Counters({name.decode(): int(value) for name, value in values}, cursor.decode())

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None is the beginning of what is kept."""
        self._limits.check_log_limit(limit)
        place = None if cursor is None else LogPlace.parse(cursor)
        first = "-" if place is None else place.first
        last, dropped, found = await self._pipe.run(Verb.READ_LOG, [first, limit])
        if place is not None and place.is_ahead_of(last):
            if place.millis * 1000 > (await self.now()).micros + _AHEAD:
                raise InvalidCursor(cursor or "", "it is ahead of this store's log")
            # The server lost its last moment, of which the reader knows: it goes on from here.
            return LogPage((), cursor=last.decode(), torn=True)
        torn = place is not None and place.is_torn_by(dropped)
        if place is None or torn:  # where there is nothing, the gap is told once
            place = LogPlace.parse((dropped if torn else last).decode())
        return log_page(place, found, limit, torn=torn)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches may have come true, False after the timeout."""
        self._limits.check_watches(watches, timeout)
        return await self._waiting.wait(watches, timeout)

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        """Open another store on the same data, for another thread's event loop."""
        return self._sibling()

    async def close(self) -> None:
        """Disconnect; what is under way fails. In a forked child: does nothing."""
        if not self._limits.lifetime.end():
            return
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self._waiting.close()
        await self._pipe.close()

    async def look(self, looks: Sequence[Look], given_back: Sequence[str] = ()) -> bool:
        """Return whether any of the watches is true; else those wait that have a ticket.

        Args:
            looks: the watches.
            given_back: tickets of those who wait no more.
        """
        words: list[Argument] = [len(looks)]
        for watch, ticket in looks:
            partition = watch.partition
            words += [partition.collection, zset_of(partition), lower_bound(watch.after), ticket]
        (is_true,) = await self._pipe.run(Verb.LOOK, [*words, *given_back])
        return bool(is_true)

    async def _each(self, calls: Sequence[tuple[Verb, list[Argument], int]]) -> list[Answer]:
        """Run scripts, which the pipe sends together, those of one kind in the order given.

        Each is its script, its words, and how many records it speaks of.
        """
        if len(calls) == 1:
            ((verb, words, records),) = calls
            return [await self._pipe.run(verb, words, records=records)]
        sent = [self._pipe.submit(verb, words, records=records) for verb, words, records in calls]
        return await asyncio.gather(*sent)

    def _record(self, collection: str, answer: Answer) -> Record:
        """Return the record that a script answered.

        Raises:
            CorruptRecord: it does not decode.
        """
        if len(answer) == _UNREADABLE:
            raise _corrupt(collection, *answer)
        try:
            return self._words.record(collection, answer)
        except (AttributeError, TypeError, ValueError) as broken:
            raise _corrupt(collection, answer[0], str(broken).encode()) from broken

    def _readable(self, collection: str, answers: Sequence[Answer]) -> list[Record]:
        """Return those that decode; a :meth:`get` tells of one that does not.

        It must not hold up the others that a list, a sweep or a claim found.
        """
        records: list[Record] = []
        for answer in answers:
            try:
                records.append(self._record(collection, answer))
            except CorruptRecord as broken:
                _log.error("left alone: %s", broken)
        return records

    def _sweep_soon(self) -> None:
        """Drop what ran out, beside the traffic, and no more than a little at once."""
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
                gone = await self._pipe.run(Verb.SWEEP, [_SWEEP, self._log_retention, day])
                self._first_kept, day = first_kept, ""
        except StoreError:
            return  # the next one does it: what ran out is hidden all the same
        finally:
            self._sweeping = None


def _corrupt(collection: str, key: bytes, reason: bytes) -> CorruptRecord:
    return CorruptRecord(collection, key.decode(errors="replace"), reason.decode(errors="replace"))
