"""Jobs that live their lives against partitions that take only so much: how many a second.

What each step writes follows from the store's own code: a job is led through its life in memory,
and its attributes before and after a step say which rows of which indexes move. The steps are then
taken by many at once, each waiting until all partitions that it writes to have room.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field, frozen

from benchmarks.dynamodb_contention import virtual_time
from benchmarks.dynamodb_contention.partitions import Bucket, Physics
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.collections import JOBS
from cicd_core_dynamodb.location import SHARDS
from cicd_core_dynamodb.tables import hot_partitions, kept_indexes, projected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.store.records import Index, Record

#: What stands for the agent of the one job that is led through its life.
_AGENT: Final = "agent-1"
#: How many jobs each shard has under way: enough that it never waits for them.
_UNDER_WAY: Final = 60
#: What a whole table with its indexes takes, without a request to AWS for more.
TABLE_QUOTA: Final = 40_000.0


@frozen
class Place:
    """A partition of an index, before it is split into shards."""

    index: str
    attribute: str
    value: str


@frozen(kw_only=True)
class Step:
    """What a step of a job's life writes, in units."""

    name: str
    table: float
    places: Mapping[Place, float]
    #: Whether it tells something, for one unit in the journal.
    has_events: bool

    @property
    def units(self) -> float:
        """All that it writes in the table and its indexes."""
        return self.table + sum(self.places.values())


@frozen(kw_only=True)
class Lives:
    """How tables are used, and how long to look."""

    shards: int = SHARDS
    log_shards: int = SHARDS
    #: What the table of the jobs takes in a second, with its indexes.
    table_writes: float = TABLE_QUOTA
    seconds: float = 2.0
    settling_seconds: float = 2.0
    physics: Physics = field(factory=Physics)
    seed: int = 1


@frozen(kw_only=True)
class Lived:
    """What was seen."""

    jobs_a_second: float
    #: How long a job's steps took together, in seconds.
    median_seconds: float
    slowest_seconds: float
    #: What had no room: a partition of an index, one of the journal, or the table as a whole.
    full: str


def steps_of_a_life() -> tuple[Step, ...]:
    """Return the steps of a job that an agent runs: enqueue, claim and start, complete."""
    states = anyio.run(_states)
    before: list[Record | None] = [None, *states.values()]
    return tuple(
        _step(name, old, new) for (name, new), old in zip(states.items(), before, strict=False)
    )


async def _states() -> dict[str, Record]:
    """Lead a job through its life; return what stands there after each step."""
    states: dict[str, Record] = {}
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        job = await plane.queue.enqueue(JobSpec(job_type="build"))

        async def note(name: str) -> None:
            states[name] = (await plane.store.get(JOBS.name, [job.job_id]))[job.job_id]

        await note("enqueue")
        (claimed,) = await plane.queue.claim(agent_id=_AGENT, start=True)
        await note("claim and start")
        await plane.queue.complete(claimed, Outcome.success())
        await note("complete")
    return states


def _step(name: str, old: Record | None, new: Record) -> Step:
    places: dict[Place, float] = defaultdict(float)
    for index in kept_indexes(JOBS):
        left, entered = _row(index, old), _row(index, new)
        if left == entered:
            continue
        if left is not None and entered is not None and left[:2] == entered[:2]:
            places[_place(index, new)] += 1  # only what is projected changes
            continue
        if old is not None and left is not None:
            places[_place(index, old)] += 1
        if entered is not None:
            places[_place(index, new)] += 1
    has_events = old is None or new.commit_id != old.commit_id
    return Step(name=name, table=1, places=dict(places), has_events=has_events)


def _row(index: Index, record: Record | None) -> tuple[object, ...] | None:
    """Return what an index shows of a record; None: it is not in it."""
    if record is None or index.partition not in record.attributes:
        return None
    values = record.attributes[index.partition], record.attributes[index.sort]
    shown = (record.expires_at, record.lease_limit) if projected(JOBS, index) else ()
    return (*values, *shown)


def _place(index: Index, record: Record) -> Place:
    return Place(index.name, index.partition, record.attributes[index.partition])


# ------------------------------------------------------------------------------ many at once


@define
class _Seen:
    """What is noted while it is looked at."""

    since: float
    took: list[float] = field(factory=list[float])
    waited: defaultdict[str, float] = field(factory=lambda: defaultdict[str, float](float))


class _Partitions:
    """All partitions that jobs write to, each with what it has taken."""

    def __init__(self, setup: Lives) -> None:
        self._setup = setup
        self._hot = hot_partitions(JOBS)
        self._buckets: dict[tuple[object, ...], Bucket] = {}

    def take(self, step: Step, key: str, agent: str, now: float) -> dict[str, float]:
        """Take what a step of a job writes; return how long each kind lets it wait."""
        waits: dict[str, float] = {"the table": self._of("the table").take(step.units, now)}
        for place, units in step.places.items():
            hot = place.attribute in self._hot
            shard = _shard(key, self._setup.shards) if hot else 0
            value = agent if place.value == _AGENT else place.value
            wait = self._of(place, value, shard).take(units, now)
            waits["an index"] = max(wait, waits.get("an index", 0.0))
        if step.has_events:
            shard = _shard(f"{JOBS.name}|{key}", self._setup.log_shards)
            waits["the journal"] = self._of("the journal", shard).take(1, now)
        return waits

    def takes(self, random: Random) -> float:
        """Return how many seconds a write takes that need not wait."""
        return self._setup.physics.update_seconds * (0.5 + random.random())

    def _of(self, *name: object) -> Bucket:
        if name not in self._buckets:
            physics = self._setup.physics
            whole = name == ("the table",)
            rate = self._setup.table_writes if whole else physics.partition_writes
            self._buckets[name] = Bucket(rate, physics.burst_seconds)
        return self._buckets[name]


def lives(setup: Lives) -> Lived:
    """Let jobs live for a while, as many as there is room for, and return what was seen."""
    return virtual_time.run(_lives(setup, steps_of_a_life()))


async def _lives(setup: Lives, steps: tuple[Step, ...]) -> Lived:
    seen, partitions = _Seen(setup.settling_seconds), _Partitions(setup)
    async with anyio.create_task_group() as tasks:
        for number in range(_UNDER_WAY * max(setup.shards, setup.log_shards)):
            random = Random(f"{setup.seed}/{number}")
            tasks.start_soon(_live_on, steps, partitions, seen, random, number)
        await anyio.sleep(setup.settling_seconds + setup.seconds)
        tasks.cancel_scope.cancel()
    took = sorted(seen.took)
    return Lived(
        jobs_a_second=len(took) / setup.seconds,
        median_seconds=took[len(took) // 2],
        slowest_seconds=took[len(took) * 99 // 100],
        full=max(seen.waited, key=lambda kind: seen.waited[kind]),
    )


async def _live_on(
    steps: Iterable[Step], partitions: _Partitions, seen: _Seen, random: Random, number: int
) -> None:
    """Lead one job after the other through its life, as the agent of that number."""
    loop, lived = asyncio.get_running_loop(), 0
    await anyio.sleep(seen.since * random.random())
    while True:
        lived += 1
        began, key, agent = loop.time(), f"{number}.{lived}", f"agent-{number}"
        for step in steps:
            waits = partitions.take(step, key, agent, loop.time())
            kind, wait = max(waits.items(), key=lambda each: each[1])
            if loop.time() >= seen.since:
                seen.waited[kind] += wait
            await anyio.sleep(wait + partitions.takes(random))
        if loop.time() >= seen.since:
            seen.took.append(loop.time() - began)


def _shard(key: str, shards: int) -> int:
    return zlib.crc32(key.encode()) % shards
