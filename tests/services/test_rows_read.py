"""What the reads cost, counted in rows: it does not grow with what is over, away or waiting."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import (
    AgentSpec,
    AgentStatus,
    ControlPlane,
    JobSpec,
    Outcome,
    PoolSpec,
)
from cicd_core.model.instants import from_micros
from cicd_core.persistence.listing import MAX_SCANNED
from tests.services.metering import Meter
from tests.services.scenes import SETTINGS, claim, enqueue, finish, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core import Job
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: The pages that a sweep of nothing reads: leases, heartbeats, delays, pauses, deadlines.
TIMERS = 5


@pytest.fixture
def meter(store: Store) -> Meter:
    return Meter(store)


@pytest.fixture
def metered(meter: Meter) -> ControlPlane:
    return ControlPlane(meter, settings=SETTINGS)


async def rows(meter: Meter, read: Callable[..., Awaitable[Any]], **arguments: Any) -> int:
    """Return the rows that one read takes."""
    meter.rows = 0
    await read(**arguments)
    return meter.rows


async def use_pools(plane: ControlPlane, number: int) -> None:
    """Let as many pools have had a job, that was cancelled."""
    for job in await plane.queue.enqueue_many(
        [JobSpec(job_type="build", pool_name=f"branch-{each}") for each in range(number)]
    ):
        await plane.jobs.cancel(job.job_id)


async def come_and_go(plane: ControlPlane, number: int) -> None:
    """Let as many agents register, and go."""
    for each in range(number):
        await plane.agents.register(AgentSpec(agent_id=f"gone-{each}"))
        await plane.agents.deregister(f"gone-{each}")


async def fall_silent(plane: ControlPlane, clock: VirtualClock, number: int) -> None:
    """Let as many agents register, and vanish; ``a-1``, if it is there, goes on."""
    for each in range(number):
        await plane.agents.register(AgentSpec(agent_id=f"silent-{each}"))
    clock.advance(SETTINGS.heartbeat_timeout_seconds + 1)
    for agent in (await plane.agents.list(limit=500)).items:
        if agent.agent_id == "a-1":
            await plane.agents.heartbeat("a-1", agent.incarnation)
    assert (await plane.maintenance.sweep()).silenced == number


async def end_jobs(plane: ControlPlane, number: int) -> None:
    for _ in range(number):
        await enqueue(plane)
        await finish(plane)


async def wait_in_line(plane: ControlPlane, number: int) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * number)


async def set_up(plane: ControlPlane) -> Job:
    """Make a pool with an agent, and a job of each kind; return one that waits."""
    await plane.pools.put(PoolSpec(pool_name="default"))
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation)
    await enqueue(plane)
    await finish(plane)
    await enqueue(plane)
    await plane.queue.start(await claim(plane, lease_seconds=600))
    await enqueue(plane)
    await claim(plane, lease_seconds=110)
    return await enqueue(plane)


async def test_an_idle_sweep_reads_nothing_however_many_pools_and_agents_there_were(
    metered: ControlPlane, meter: Meter, plane: ControlPlane, clock: VirtualClock
) -> None:
    await use_pools(plane, 40)
    await come_and_go(plane, 20)
    await fall_silent(plane, clock, 20)
    await metered.maintenance.sweep()  # it looks after the lanes too, each half a minute
    meter.calls = 0
    assert await rows(meter, metered.maintenance.sweep) == 0
    assert meter.calls == TIMERS


async def test_a_lost_lease_is_taken_back_before_what_else_is_due(
    metered: ControlPlane, meter: Meter, plane: ControlPlane, clock: VirtualClock
) -> None:
    later = from_micros(clock.micros()) + timedelta(seconds=60)
    spec = JobSpec(job_type="build", pool_name="a", run_at=later)
    await plane.queue.enqueue_many([spec] * 500)
    lost = await enqueue(plane, pool_name="b")
    await run(plane, pool_name="b")
    clock.advance(100)
    report = await metered.maintenance.sweep()
    assert (report.promoted, report.requeued) == (500, 1)
    assert meter.committed[0] == [lost.job_id]


async def test_a_lease_that_is_lost_during_a_long_sweep_waits_for_one_batch_alone(
    store: Store, plane: ControlPlane, clock: VirtualClock
) -> None:
    class Slow(Meter):
        async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
            answers = await super().commit(commits)
            clock.advance(40)
            return answers

    meter = Slow(store)
    later = from_micros(clock.micros()) + timedelta(seconds=60)
    spec = JobSpec(job_type="build", pool_name="a", run_at=later)
    await plane.queue.enqueue_many([spec] * 1_000)
    clock.advance(100)
    lost = await enqueue(plane, pool_name="b")
    await run(plane, pool_name="b")
    report = await ControlPlane(meter, settings=SETTINGS).maintenance.sweep()
    # The lost job was promoted too, once its pause was over.
    assert (report.promoted, report.requeued) == (1_001, 1)
    assert meter.committed[1] == [lost.job_id]
    assert len(meter.committed[0]) == len(meter.committed[2]) > 1


async def test_listing_one_job_of_a_rare_pool_reads_one_row(
    metered: ControlPlane, meter: Meter, plane: ControlPlane
) -> None:
    rare = await enqueue(plane, pool_name="rare")
    await wait_in_line(plane, 300)
    await end_jobs(plane, 20)
    read = metered.jobs.list
    assert await rows(meter, read, pool_name="rare") == 1
    assert await rows(meter, read, pool_name="rare", status="queued") == 1
    page = await read(pool_name="rare", limit=1)
    assert [job.job_id for job in page.items] == [rare.job_id]


async def test_a_page_of_a_pool_and_a_status_reads_what_it_shows(
    metered: ControlPlane, meter: Meter, plane: ControlPlane
) -> None:
    await end_jobs(plane, 60)
    await enqueue(plane)
    failed = await finish(plane, Outcome.failed("no"))
    await end_jobs(plane, 60)
    listed = await metered.jobs.list(pool_name="default", status="failed", limit=1)
    assert listed.items == (failed,)
    read = metered.jobs.list
    for limit in (1, 5):
        page = {"pool_name": "default", "status": "success", "limit": limit}
        assert await rows(meter, read, **page) == limit
    assert await rows(meter, read, pool_name="default", status="failed") == 1


async def test_a_filter_that_no_index_answers_looks_at_1000_records_a_call(
    metered: ControlPlane, meter: Meter, plane: ControlPlane
) -> None:
    for _ in range(5):
        await wait_in_line(plane, 256)
        await plane.queue.claim(agent_id="a-1", limit=256, start=True)
    for limit in (1, 50, 500):
        page = {"agent_id": "a-1", "status": "failed", "limit": limit}
        assert await rows(meter, metered.jobs.list, **page) == MAX_SCANNED
    first = await metered.jobs.list(agent_id="a-1", status="failed")
    assert first.incomplete
    assert first.cursor is not None
    last = await metered.jobs.list(agent_id="a-1", status="failed", cursor=first.cursor)
    assert (last.items, last.cursor, last.incomplete) == ((), None, False)


async def test_agents_of_a_pool_and_a_status_are_read_alone(
    metered: ControlPlane, meter: Meter, plane: ControlPlane
) -> None:
    await come_and_go(plane, 30)
    await plane.agents.register(AgentSpec(agent_id="a-1"))
    registering = {"pool_name": "default", "status": "registering"}
    assert await rows(meter, metered.agents.list, **registering) == 1
    assert await rows(meter, metered.agents.present, pool_name="default") == 2
    page = await metered.agents.list(pool_name="default", status=AgentStatus.REGISTERING)
    assert [agent.agent_id for agent in page.items] == ["a-1"]


@pytest.mark.parametrize("read", ["stats", "stats of a pool", "scaling", "status", "summary"])
async def test_an_aggregate_reads_the_same_rows_whatever_is_over_away_or_waiting(
    metered: ControlPlane, meter: Meter, plane: ControlPlane, clock: VirtualClock, read: str
) -> None:
    reads: dict[str, Callable[[], Awaitable[object]]] = {
        "stats": metered.queue.stats,
        "stats of a pool": lambda: metered.queue.stats("default"),
        "scaling": lambda: metered.pools.scaling("default"),
        "status": lambda: metered.pools.status("default"),
        "summary": metered.dashboard.summary,
    }
    await end_jobs(plane, 5)
    await set_up(plane)
    await wait_in_line(plane, 8)
    before = await rows(meter, reads[read])
    await end_jobs(plane, 20)
    await come_and_go(plane, 20)
    await fall_silent(plane, clock, 20)
    await wait_in_line(plane, 300)
    assert await rows(meter, reads[read]) == before


async def test_the_reasons_of_a_job_read_a_bounded_number_of_rows(
    metered: ControlPlane, meter: Meter, plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await set_up(plane)
    why = metered.jobs.why
    before = await rows(meter, why, job_id=job.job_id)
    await come_and_go(plane, 30)
    assert await rows(meter, why, job_id=job.job_id) == before
    await fall_silent(plane, clock, 120)
    await wait_in_line(plane, 1_200)
    for each in range(20):
        await plane.queue.enqueue_many([JobSpec(job_type=f"test-{each}")] * 60)
    last = await enqueue(plane)
    # 500 jobs ahead in its own lane, as many in all others together, 50 agents, and a few more.
    assert await rows(meter, why, job_id=last.job_id) < 500 + 500 + 50 + 20
