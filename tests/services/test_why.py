"""Why a job is not being picked up, as the services see its surroundings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import AgentSpec, JobSpec, Outcome, PoolSpec, Priority, RetryPolicy
from cicd_core.model.instants import from_micros
from cicd_core.queueing.why import ReasonCode
from cicd_core.store.records import Commit, Delete, Put
from tests.services.scenes import claim, enqueue, finish, run

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

C = ReasonCode


async def why(plane: ControlPlane, job_id: str) -> list[ReasonCode]:
    return [reason.code for reason in await plane.jobs.why(job_id)]


async def staff(plane: ControlPlane, agent_id: str = "a-1", **fields: Any) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id=agent_id, **fields))
    await plane.agents.heartbeat(agent_id, agent.incarnation)


async def test_a_pool_that_nobody_has_put_and_nobody_serves(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    assert await why(plane, job.job_id) == [C.NO_POOL]
    await plane.pools.put(PoolSpec(pool_name="default"))
    assert await why(plane, job.job_id) == [C.NO_AGENTS]


async def test_a_job_that_an_idle_agent_can_run_is_about_to_be_claimed(
    plane: ControlPlane,
) -> None:
    job = await enqueue(plane)
    await staff(plane)
    assert await why(plane, job.job_id) == [C.ABOUT_TO_BE_CLAIMED]


async def test_labels_and_types_that_no_agent_has(plane: ControlPlane) -> None:
    await staff(plane, labels=("linux",), job_types=("build",))
    picky = await enqueue(plane, labels=("gpu",))
    odd = await enqueue(plane, "deploy")
    assert await why(plane, picky.job_id) == [C.NO_AGENT_WITH_LABELS]
    assert await why(plane, odd.job_id) == [C.NO_AGENT_FOR_TYPE]


async def test_agents_that_take_no_work(plane: ControlPlane, clock: VirtualClock) -> None:
    await plane.pools.put(PoolSpec(pool_name="default"))
    job = await enqueue(plane)
    await staff(plane)
    await plane.agents.drain("a-1", reason="maintenance")
    assert await why(plane, job.job_id) == [C.NO_AGENT_TAKES_WORK]
    clock.advance(31)
    await plane.maintenance.sweep()
    assert await why(plane, job.job_id) == [C.NO_AGENTS]


async def test_agents_whose_slots_are_all_in_use(plane: ControlPlane) -> None:
    await staff(plane, slots=2)
    for _ in range(2):
        await enqueue(plane)
        await run(plane)
    job = await enqueue(plane)
    assert await why(plane, job.job_id) == [C.ALL_BUSY]
    (reason,) = await plane.jobs.why(job.job_id)
    assert "2" in reason.message


async def test_jobs_that_are_ahead_in_any_lane_of_the_same_agents(plane: ControlPlane) -> None:
    await staff(plane, labels=("linux",))
    await enqueue(plane)
    await enqueue(plane, "test", labels=("linux",))
    await enqueue(plane, labels=("gpu",))  # no agent of this job's takes it
    job = await enqueue(plane)
    urgent = await enqueue(plane, priority=Priority.CRITICAL)
    (reason,) = await plane.jobs.why(job.job_id)
    assert reason.code is C.JOBS_AHEAD
    assert reason.message.startswith("3 jobs ahead of it")
    assert await why(plane, urgent.job_id) == [C.ABOUT_TO_BE_CLAIMED]


async def test_more_jobs_ahead_than_anybody_counts(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await staff(plane)
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 501)
    clock.advance(1)
    job = await enqueue(plane)
    (reason,) = await plane.jobs.why(job.job_id)
    assert reason.code is C.JOBS_AHEAD
    assert "500" in reason.message


async def test_a_delay_and_a_deadline(plane: ControlPlane, clock: VirtualClock) -> None:
    await staff(plane)
    now = from_micros(clock.micros())
    job = await enqueue(
        plane, run_at=now + timedelta(seconds=60), deadline_at=now + timedelta(seconds=90)
    )
    assert await why(plane, job.job_id) == [C.DELAYED]
    clock.advance(60)
    assert await why(plane, job.job_id) == [C.DUE]
    clock.advance(30)
    assert (await why(plane, job.job_id))[0] is C.DEADLINE_PASSED


async def test_what_is_not_in_the_queue_says_where_it_is(plane: ControlPlane) -> None:
    pending = await plane.jobs.create(JobSpec(job_type="build"))
    assert await why(plane, pending.job_id) == [C.NOT_ENQUEUED]
    await enqueue(plane)
    held = await run(plane)
    assert await why(plane, held.job.job_id) == [C.HELD]
    await plane.jobs.cancel(held.job.job_id)
    assert await why(plane, held.job.job_id) == [C.CANCEL_REQUESTED, C.HELD]
    ended = await plane.queue.complete(held, Outcome.cancelled("stopped"))
    assert await why(plane, ended.job_id) == [C.ENDED]
    await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    assert await why(plane, dead.job_id) == [C.DEAD_LETTERED]


async def test_a_lane_that_is_not_listed_is_said_to_be_missing(
    plane: ControlPlane, store: Store
) -> None:
    job = await enqueue(plane)
    await staff(plane)
    record = (await store.get("lanes", ["default"]))["default"]
    other = Put(collection="sessions", key="k", expected=0, body=b"{}")
    forget = Delete(collection="lanes", key="default", expected=record.version)
    await store.commit([Commit(commit_id="c-1", writes=(forget, other))])
    assert C.LANE_NOT_LISTED in await why(plane, job.job_id)


async def test_a_claim_that_nobody_told_of_yet_counts_as_held(plane: ControlPlane) -> None:
    await staff(plane)
    await enqueue(plane)
    await claim(plane)
    job = await enqueue(plane)
    assert await why(plane, job.job_id) == [C.ALL_BUSY]
