"""A table of jobs as the store's code sees it: indexes that lag, partitions that take only so much.

It understands the calls of a claim, and no others. A write that a partition has no room for waits
its turn, as it would by being refused and sent again.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep
from attrs import define, frozen
from sortedcontainers import SortedKeyList, SortedList

from cicd_core.persistence.collections import JOBS, READY
from cicd_core.store.records import Record, StoreTime
from cicd_core_dynamodb import items
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.tables import RECORD_KEY, hot_partitions

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterable
    from random import Random

    from cicd_core_dynamodb.calls import Item

_PLACE: Final = re.compile(r"\|\d+\|")
#: About what a row of the ready index weighs, and how much one read unit reads twice over.
_ROW_BYTES: Final = 130
_READ_BYTES: Final = 4096


@frozen(kw_only=True)
class Physics:
    """How fast things are, in seconds, and how much a partition takes in one."""

    query_seconds: float = 0.006
    update_seconds: float = 0.007
    #: The mean of how long an index shows what is not so any more.
    lag_seconds: float = 0.02
    partition_writes: float = 1000.0
    partition_reads: float = 3000.0
    #: How much a partition that was idle takes at once, in seconds of its rate.
    burst_seconds: float = 0.25


@define
class Bucket:
    """What one partition has taken."""

    rate: float
    burst: float
    until: float = 0.0

    def take(self, units: float, now: float) -> float:
        """Take some units; return how many seconds to wait for them."""
        self.until = max(self.until, now - self.burst) + units / self.rate
        return max(0.0, self.until - now)


class JobsTable:
    """The jobs of one lane, as :class:`~cicd_core_dynamodb.calls.Calls` would bring them."""

    def __init__(
        self, physics: Physics, random: Random, loop: AbstractEventLoop, shards: int
    ) -> None:
        """Start without jobs."""
        self._physics = physics
        self._random = random
        self._loop = loop
        self._shards = shards
        self._layout = items.Layout(JOBS, "", shards)
        self._shown: dict[str, SortedKeyList[tuple[str, str], str]] = {}
        self._ranks: dict[str, str] = {}
        #: The ranks of the unclaimed jobs.
        self.waiting: SortedList[str] = SortedList()
        self._writes: dict[str, Bucket] = {}
        self._reads: dict[str, Bucket] = {}
        #: What was consumed: write and read units, conflicts, seconds of waiting for a partition.
        self.consumed: defaultdict[str, float] = defaultdict(float)
        self.taken: Counter[str] = Counter()

    def fill(self, jobs: Iterable[tuple[str, str]], lane: str) -> None:
        """Enqueue jobs: their keys and ranks; the index shows them at once."""
        for key, rank in jobs:
            self._ranks[key] = rank
            self.waiting.add(rank)
            place = self._place("lane", lane, key)
            rows = self._shown.setdefault(place, SortedKeyList(key=_rank_of))
            rows.add((rank, key))

    def table(self, name: str) -> str:
        """Return the name as it is."""
        return name

    async def now(self) -> StoreTime:
        """Return the time."""
        return StoreTime(round(self._loop.time() * 1_000_000), 0)

    async def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Do one of the calls that a claim makes."""
        if operation == "query":
            return await self._query(parameters)
        if operation == "update_item":
            return await self._update(parameters)
        raise NotImplementedError(f"no claim calls {operation}")

    async def _query(self, parameters: dict[str, Any]) -> dict[str, Any]:
        place = parameters["ExpressionAttributeValues"][":0"]["S"]
        limit: int = parameters["Limit"]
        units = max(1, -(-limit * _ROW_BYTES // _READ_BYTES)) * 0.5
        self.consumed["reads"] += units
        wait = self._bucket(self._reads, place, self._physics.partition_reads).take(
            units, self._loop.time()
        )
        await sleep(wait + self._takes(self._physics.query_seconds))
        shown = self._shown.get(place, ())
        rows = list(shown[:limit]) if shown else []
        return {"Items": [_row(place, rank, key) for rank, key in rows], "ScannedCount": len(rows)}

    async def _update(self, parameters: dict[str, Any]) -> dict[str, Any]:
        key = parameters["Key"][RECORD_KEY]["S"].split("|", 1)[1]
        seconds = self._takes(self._physics.update_seconds)
        await sleep(seconds / 2)
        rank = self._ranks.get(key)
        self.consumed["writes"] += 1
        if rank is None or self.taken[key]:
            self.consumed["conflicts"] += 1
            await sleep(seconds / 2)
            raise ConditionFailed(None)
        self.taken[key] += 1
        self.waiting.remove(rank)
        wait = self._index(parameters, key, rank)
        self.consumed["waited"] += wait
        await sleep(wait + seconds / 2)
        return {"Attributes": self._claimed(key, rank)}

    def _claimed(self, key: str, rank: str) -> Item:
        """Return a job's item after its claim: the version is one above that of its put."""
        put = Record(
            key=key, version=1, commit_id="enqueue", body=b"{}", attributes={READY.sort: rank}
        )
        return {
            **self._layout.written(put),
            RECORD_KEY: self._layout.key(key),
            items.VERSION: items.number(put.version + 1),
        }

    def _index(self, parameters: dict[str, Any], key: str, rank: str) -> float:
        """Change the indexes; return how long their partitions let the write wait."""
        values = (value.get("S", "") for value in parameters["ExpressionAttributeValues"].values())
        # What a claim leaves or enters: ``namespace|shard|value``, with a namespace that is empty.
        places = {text for text in values if _PLACE.match(text)}
        now, wait = self._loop.time(), 0.0
        for place in places:
            self.consumed["writes"] += 1
            bucket = self._bucket(self._writes, place, self._physics.partition_writes)
            wait = max(wait, bucket.take(1, now))
        shown = next(place for place in places if place in self._shown)
        lag = wait + self._random.expovariate(1 / self._physics.lag_seconds)
        self._loop.call_later(lag, self._shown[shown].remove, (rank, key))
        return wait

    def _bucket(self, buckets: dict[str, Bucket], place: str, rate: float) -> Bucket:
        if place not in buckets:
            buckets[place] = Bucket(rate, self._physics.burst_seconds)
        return buckets[place]

    def _takes(self, seconds: float) -> float:
        """Return how long a request takes: rarely much longer than it mostly does."""
        return seconds * (0.5 + self._random.expovariate(2.0))

    def _place(self, name: str, value: str, key: str) -> str:
        hot = name in hot_partitions(JOBS)
        shard = zlib.crc32(key.encode()) % self._shards if hot else 0
        return f"|{shard}|{value}"


def _rank_of(row: tuple[str, str]) -> str:
    return row[0]


def _row(place: str, rank: str, key: str) -> Item:
    return {
        RECORD_KEY: items.text(f"|{key}"),
        READY.partition: items.text(place),
        READY.sort: items.text(rank),
    }
