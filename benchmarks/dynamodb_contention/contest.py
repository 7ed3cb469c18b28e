"""Many claimers, one lane: how often they collide, how fast they are, how far out of order."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final, cast

from anyio import create_task_group, sleep
from attrs import define, field, frozen

from benchmarks.dynamodb_contention import virtual_time
from benchmarks.dynamodb_contention.partitions import JobsTable, Physics
from cicd_core.ids import IdSource
from cicd_core.model.job import Priority
from cicd_core.persistence.collections import JOBS, READY
from cicd_core.persistence.grants import Grant
from cicd_core.queueing.rank import rank
from cicd_core.store.records import Claim
from cicd_core_dynamodb.claim_intents import OwnMarks
from cicd_core_dynamodb.claims import Claimer
from cicd_core_dynamodb.items import layouts
from cicd_core_dynamodb.location import SHARDS
from cicd_core_dynamodb.reads import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core_dynamodb.calls import Calls

#: The pool and the lane that all are about.
_POOL: Final = "default"
_LANE: Final = "default|build"
_LEASE: Final = 30_000_000


@frozen(kw_only=True)
class Setup:
    """Who claims, and from what."""

    claimers: int = 1000
    shards: int = SHARDS
    #: How long each works on a job before it claims again; 0: they do nothing but claim.
    work_seconds: float = 0.0
    #: The most jobs that a claim takes.
    limit: int = 1
    #: How long to look, after a time in which it settles.
    seconds: float = 2.0
    settling_seconds: float = 1.0
    #: How many jobs wait from the beginning.
    backlog: int = 30_000
    physics: Physics = field(factory=Physics)
    seed: int = 1


@frozen(kw_only=True)
class Result:
    """What was seen."""

    claims: int
    #: Updates that came too late for a job, for each job that was claimed.
    conflicts_a_claim: float
    claims_a_second: float
    #: How long a claim took, in seconds.
    median_seconds: float
    slowest_seconds: float
    #: How many better jobs waited when one was taken: the median, and of the worst hundredth.
    displacement: int
    worst_displacement: int
    #: What a claimed job consumed; of writes, those of a claim without a mark.
    writes_a_claim: float
    reads_a_claim: float
    #: How many jobs were claimed twice: none, or something is broken.
    claimed_twice: int


@define
class _Seen:
    """What is noted while it is looked at."""

    since: float
    until: float
    claims: int = 0
    took: list[float] = field(factory=list[float])
    displaced: list[int] = field(factory=list[int])


def contest(setup: Setup) -> Result:
    """Let claimers claim for a while, and return what was seen."""
    return virtual_time.run(_contest(setup))


async def _contest(setup: Setup) -> Result:
    loop = asyncio.get_running_loop()
    random = Random(setup.seed)
    table = JobsTable(setup.physics, random, loop, setup.shards)
    table.fill(_jobs(setup), _LANE)
    seen = _Seen(since=setup.settling_seconds, until=setup.settling_seconds + setup.seconds)
    before: dict[str, float] = {}
    async with create_task_group() as tasks:
        for number in range(setup.claimers):
            tasks.start_soon(_claim_on, setup, table, seen, number)
        await sleep(seen.since)
        before = dict(table.consumed)
        await sleep(setup.seconds)
        tasks.cancel_scope.cancel()
    used = {name: each - before.get(name, 0.0) for name, each in table.consumed.items()}
    return _result(setup, table, seen, used)


async def _claim_on(setup: Setup, table: JobsTable, seen: _Seen, number: int) -> None:
    """Claim and work, for ever, as one process does."""
    loop = asyncio.get_running_loop()
    ids = IdSource(setup.seed * 100_003 + number)
    kept = layouts((JOBS,), "", setup.shards)
    calls = cast("Calls", table)  # it understands what a claim calls
    reader = Reader(calls, kept, 0.0)
    claimer = Claimer(calls, kept, reader, OwnMarks(), ids, elapsed=loop.time)
    grant = Grant(agent_id=f"agent-{number}", start=True)
    await sleep(ids.jitter() * max(0.05, setup.work_seconds))
    while True:
        claim = Claim(
            claim_id=ids.claim_id(),
            collection=JOBS.name,
            index=READY,
            partitions=(_LANE,),
            limit=setup.limit,
            grant=grant.encode(),
            duration=_LEASE,
            patch=grant.patch(_POOL),
        )
        began = loop.time()
        taken = await claimer.claim(claim)
        if seen.since <= loop.time() and taken:
            seen.claims += len(taken)
            seen.took.append(loop.time() - began)
            for record in taken:
                seen.displaced.append(table.waiting.bisect_left(record.attributes[READY.sort]))
        if taken:
            await sleep(setup.work_seconds * (0.5 + ids.jitter()))


def _jobs(setup: Setup) -> list[tuple[str, str]]:
    ids = IdSource(setup.seed)
    jobs: list[tuple[str, str]] = []
    for number in range(setup.backlog):
        micros = 1_000_000 + number * 500
        key = ids.sortable(micros)
        jobs.append((key, rank(Priority.NORMAL, micros, key)))
    return jobs


def _result(setup: Setup, table: JobsTable, seen: _Seen, used: dict[str, float]) -> Result:
    claims = max(1, seen.claims)
    return Result(
        claims=seen.claims,
        conflicts_a_claim=used.get("conflicts", 0.0) / claims,
        claims_a_second=seen.claims / setup.seconds,
        median_seconds=_quantile(seen.took, 0.5),
        slowest_seconds=_quantile(seen.took, 0.99),
        displacement=round(_quantile(seen.displaced, 0.5)),
        worst_displacement=round(_quantile(seen.displaced, 0.99)),
        writes_a_claim=used.get("writes", 0.0) / claims,
        reads_a_claim=used.get("reads", 0.0) / claims,
        claimed_twice=sum(number > 1 for number in table.taken.values()),
    )


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * part))]) if ordered else 0.0
