"""What each operation of a control plane consumes, as the engine answers it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import define, field

from cicd_core import ControlPlane, JobSpec, JobStatus, Outcome, Priority, RetryPolicy, Settings
from cicd_core.errors import UnsupportedCapability
from cicd_core.model.agent import AgentSpec
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import JOBS
from cicd_core.store.registry import StoreURL
from cicd_core_dynamodb.costs import OVERHEAD, Units, item_bytes
from cicd_core_dynamodb.tables import kept_indexes
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from cicd_core import SweepReport
    from cicd_core.model.agent import Agent
    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job

_WRITES: Final = frozenset(
    {"batch_write_item", "delete_item", "put_item", "transact_write_items", "update_item"}
)
AGENT: Final = "agent-1"
POOL: Final = "linux"
#: So many lifecycles are enough to tell what one of them costs the log.
MANY: Final = 40


@define
class Meter:
    """Adds up what the calls of a store consume."""

    writes: float = 0.0
    reads: float = 0.0

    def __call__(self, operation: str, consumed: Mapping[str, Any]) -> None:
        units = float(consumed["CapacityUnits"])
        if operation in _WRITES:
            self.writes += units
        else:
            self.reads += units

    async def of(self, work: Awaitable[Any]) -> Units:
        """Do some work, and return what it consumed."""
        writes, reads = self.writes, self.reads
        await work
        return Units(writes=self.writes - writes, reads=self.reads - reads)


@define
class Lab:
    """A control plane on one engine, an agent, and what its operations cost."""

    plane: ControlPlane
    meter: Meter
    agent: Agent
    found: dict[str, Units] = field(factory=dict[str, Units])

    async def note(self, name: str, work: Awaitable[Any]) -> Any:
        """Do some work, and note under a name what it consumed."""
        answers: list[Any] = []

        async def do() -> None:
            answers.append(await work)

        self.found[name] = await self.meter.of(do())
        return answers[0]

    async def enqueue(self, spec: JobSpec | None = None) -> Job:
        """Enqueue a small job."""
        return await self.plane.queue.enqueue(spec or small())

    async def claim(self, *, start: bool = False, limit: int = 1) -> list[ClaimedJob]:
        """Claim as the agent does."""
        return await self.plane.queue.claim(
            agent_id=AGENT, pool_name=POOL, limit=limit, start=start
        )

    async def swept(self) -> bool:
        """Sweep once; whether anything was due."""
        report: SweepReport = await self.note("sweep", self.plane.maintenance.sweep())
        return report.total > 0

    async def later(self) -> Callable[[], Awaitable[bool]]:
        """Return what tells whether the store's time has gone on since."""
        before = (await self.plane.store.now()).micros

        async def is_later() -> bool:
            return (await self.plane.store.now()).micros > before

        return is_later

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Wait for what the engine's clock brings."""
        with anyio.fail_after(PATIENCE):
            while not await done():  # noqa: ASYNC110 - nobody tells when the engine's time has come
                await anyio.sleep(0.05)


def small(**changes: Any) -> JobSpec:
    """A job whose record stays below 1 KB."""
    payload = {"script": "make test", "timeout": 600, "env": {"CI": "1"}}
    return JobSpec(job_type="build", pool_name=POOL, payload=payload, **changes)


@asynccontextmanager
async def lab(url: str) -> AsyncGenerator[Lab, None]:
    """Open a control plane by its URL, with an agent; what is read once has been read."""
    meter = Meter()
    settings = Settings(
        lane_refresh_seconds=3600, lease_seconds=1.0, heartbeat_timeout_seconds=3600
    )
    async with ControlPlane.open(url, settings=settings, maintenance=False, meter=meter) as plane:
        agent = await plane.agents.register(AgentSpec(agent_id=AGENT, pool_name=POOL))
        made = Lab(plane, meter, agent)
        await plane.agents.heartbeat(AGENT, agent.incarnation)
        await made.enqueue()
        (claimed,) = await made.claim()
        await plane.queue.complete(await plane.queue.start(claimed), Outcome.success())
        yield made


async def measure(made: Lab) -> dict[str, Units]:
    """Do every operation once, or as often as a mean needs, and return what each consumed."""
    for part in (_stats, _lifecycle, _batches, _returns, _agents, _reads, _sweeps):
        await part(made)
    return made.found


async def measure_log(made: Lab) -> dict[str, Units]:
    """Return what the log and its counters consume besides the transitions."""
    events = made.plane.events
    cursor = await events.end()
    await made.note("look at the log", events.read(cursor))
    lifecycles = [await _whole(made) for _ in range(MANY)]
    copying = await made.meter.of(events.read(cursor, limit=1000))
    made.found["copying"] = copying.times(1 / MANY)
    made.found["lifecycle"] = sum(lifecycles, Units()).times(1 / MANY)
    await made.note("tending", made.plane.store.counters("none|"))
    return made.found


async def _whole(made: Lab) -> Units:
    async def do() -> None:
        await made.enqueue()
        (claimed,) = await made.claim()
        await made.plane.queue.complete(await made.plane.queue.start(claimed), Outcome.success())

    return await made.meter.of(do())


async def _stats(made: Lab) -> None:
    try:
        await made.plane.store.counters("none|")  # what it copies to the log is not its own cost
    except UnsupportedCapability:
        return
    await made.note("stats", made.plane.queue.stats())


async def _lifecycle(made: Lab) -> None:
    queue = made.plane.queue
    job = await made.note("enqueue", made.enqueue())
    (claimed,) = await made.note("claim", made.claim())
    claimed = await made.note("start", queue.start(claimed))
    await made.until(await made.later())  # a renewal to the same moment is none
    await made.note("renew", queue.renew([claimed]))
    # The first one moves the timer to where the start has moved the lease, if that took a while.
    claimed = await queue.progress(claimed, percent=10)
    claimed = await made.note("progress", queue.progress(claimed, percent=50))
    await made.note("complete", queue.complete(claimed, Outcome.success()))
    await made.note("get a job", made.plane.jobs.get(job.job_id))
    await made.enqueue()
    (claimed,) = await made.note("claim and start", made.claim(start=True))
    await queue.complete(claimed, Outcome.success())
    await made.note("claim, nothing there", made.claim())


async def _batches(made: Lab) -> None:
    queue = made.plane.queue
    await made.note("enqueue 10 at once", queue.enqueue_many([small() for _ in range(10)]))
    claims = await made.note("claim 10 at once", made.claim(limit=10, start=True))
    assert len(claims) == 10
    for claimed in claims:
        await queue.complete(claimed, Outcome.success())
    late = await made.plane.store.now()
    deadline = from_micros(late.micros + 3_600_000_000)
    await made.note("enqueue with a deadline", made.enqueue(small(deadline_at=deadline)))
    (claimed,) = await made.claim(start=True)
    await queue.complete(claimed, Outcome.success())


async def _returns(made: Lab) -> None:
    """Do what ends otherwise: tried again, released, cancelled, a dead letter, replayed."""
    queue, jobs = made.plane.queue, made.plane.jobs
    at_once = RetryPolicy(max_attempts=2, backoff_base=0.0)
    job = await made.enqueue(small(retry=at_once))
    (claimed,) = await made.claim(start=True)
    await made.note("retry", queue.complete(claimed, Outcome.error("the disk is full")))
    await made.until(made.swept)
    (claimed,) = await made.claim(start=True)
    await made.note("dead-letter", queue.complete(claimed, Outcome.error("the disk is full")))
    await made.note("replay", jobs.replay(job.job_id))
    await made.note("cancel a queued job", jobs.cancel(job.job_id))
    job = await made.enqueue()
    await made.note("reprioritise", jobs.reprioritise(job.job_id, Priority.HIGH))
    (claimed,) = await made.claim(start=True)
    await made.note("release", queue.release(claimed))
    await jobs.cancel(job.job_id)


async def _agents(made: Lab) -> None:
    agents = made.plane.agents
    incarnation = made.agent.incarnation
    await made.note("heartbeat", agents.heartbeat(AGENT, incarnation))
    await made.note("register", agents.register(AgentSpec(agent_id="agent-2", pool_name=POOL)))


async def _reads(made: Lab) -> None:
    await made.plane.queue.enqueue_many([small() for _ in range(50)])
    await made.note("list 50 jobs", made.plane.jobs.list(status=JobStatus.QUEUED, limit=50))
    await made.note("list an agent's jobs", made.plane.jobs.list(agent_id=AGENT, limit=10))
    while claims := await made.claim(limit=50, start=True):
        for claimed in claims:
            await made.plane.queue.complete(claimed, Outcome.success())


async def _sweeps(made: Lab) -> None:
    """Take jobs back from who lost them, and let those go on that waited."""
    while await made.swept():
        pass
    made.found["sweep, nothing due"] = made.found.pop("sweep")
    await _taken_back(made, backoff=0.5)
    made.found["sweep that takes a job back"] = made.found.pop("sweep")
    await made.until(made.swept)
    made.found["sweep that makes a job ready"] = made.found.pop("sweep")


async def _taken_back(made: Lab, *, backoff: float) -> None:
    """Take a job back from who lost it, by a sweep that does not make it ready too."""
    job = await made.enqueue(small(retry=RetryPolicy(backoff_base=backoff, jitter=0)))
    await made.claim(start=True)
    await made.until(made.swept)
    if (await made.plane.jobs.get(job.job_id)).ready_at is not None:  # the sweep took longer
        await made.plane.jobs.cancel(job.job_id)
        await _taken_back(made, backoff=2 * backoff)


async def measure_storage(made: Lab, url: str) -> dict[str, float]:
    """Return what a job that has ended takes, in bytes: its record, its indexes, the log.

    And how much of it a look at the log reads again while it is new.
    """
    options = StoreURL.parse(url).options
    for _ in range(MANY):
        await _whole(made)
    await made.plane.events.end()
    session = import_module("aioboto3").Session()
    async with session.client(
        "dynamodb", region_name=options["region"], endpoint_url=options["endpoint"]
    ) as client:

        async def scanned(table: str, **words: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            async for page in client.get_paginator("scan").paginate(
                TableName=options["prefix"] + table, **words
            ):
                found += page["Items"]
            return found

        jobs = await scanned("jobs")
        rows = [
            row
            for index in kept_indexes(JOBS)
            for row in await scanned("jobs", IndexName=index.name)
        ]
        kinds: dict[str, list[dict[str, Any]]] = {"w": [], "d": []}
        for item in await scanned("journal"):
            kinds.setdefault(item["P"]["S"].split("|")[1], []).append(item)
    number = len(jobs)
    log = [*kinds["w"], *kinds["d"]]
    return {
        "read again": sum(map(item_bytes, kinds["w"])) / number,
        **{
            name: sum(item_bytes(item) + OVERHEAD for item in those) / number
            for name, those in (("job", jobs), ("indexes", rows), ("log", log))
        },
    }
