"""A job that has not started by its deadline does not start: who tries learns that it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core import ClaimRef, InvalidInput, JobState, LeaseLost, Verdict
from cicd_core.model.instants import from_micros
from tests.services.scenes import claim, enqueue, nothing_to_claim, run, story

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


def after(clock: VirtualClock, seconds: float) -> datetime:
    return from_micros(clock.micros()) + timedelta(seconds=seconds)


async def test_a_job_that_was_claimed_in_time_is_not_started_after_its_deadline(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, deadline_at=after(clock, 10))
    held = await claim(plane)
    clock.advance(10)
    with pytest.raises(LeaseLost, match=r"timeout .*not started by its deadline"):
        await plane.queue.start(held)
    ended = await plane.jobs.get(job.job_id)
    assert (ended.state, ended.verdict) == (JobState.TIMEOUT, Verdict.TIMEOUT)
    assert (ended.started_at, ended.attempts[-1].verdict) == (None, Verdict.TIMEOUT)
    assert [event.type for event in await story(plane, job.job_id)][-2:] == [
        "job.claimed",
        "job.timed_out",
    ]
    with pytest.raises(LeaseLost, match="the job is timeout now"):
        await plane.queue.start(ClaimRef(job_id=job.job_id, token=held.token))
    (status,) = await plane.queue.renew([held])
    assert not status.held


async def test_a_job_that_is_started_just_before_its_deadline_runs(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, deadline_at=after(clock, 10))
    held = await claim(plane)
    clock.advance(10 - 0.000001)
    running = await plane.queue.start(held)
    clock.advance(10)
    assert (await plane.queue.start(running)).job.state is JobState.RUNNING


@pytest.mark.parametrize("start", [False, True])
async def test_a_claim_that_comes_after_the_deadline_gets_the_jobs_behind_it(
    plane: ControlPlane, clock: VirtualClock, start: bool
) -> None:
    late = [await enqueue(plane, deadline_at=after(clock, 10)) for _ in range(2)]
    fine = await enqueue(plane)
    clock.advance(10)
    held = await claim(plane, start=start)
    assert held.job.job_id == fine.job_id
    for job in late:
        ended = await plane.jobs.get(job.job_id)
        assert (ended.state, ended.error_message) == (
            JobState.TIMEOUT,
            "claimed after its deadline",
        )
    assert await nothing_to_claim(plane)
    assert (await plane.maintenance.sweep()).total == 0


async def test_one_claim_keeps_the_jobs_that_it_took_in_time(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    late = await enqueue(plane, deadline_at=after(clock, 10))
    fine = await enqueue(plane)
    clock.advance(10)
    claims = await plane.queue.claim(agent_id="a-1", limit=5, request_id="r-1")
    assert [each.job.job_id for each in claims] == [fine.job_id]
    assert (await plane.jobs.get(late.job_id)).state is JobState.TIMEOUT
    again = await plane.queue.claim(agent_id="a-1", limit=5, request_id="r-1")
    assert [each.token for each in again] == [each.token for each in claims]


async def test_a_deadline_before_the_run_at_is_refused_when_the_job_is_made(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    with pytest.raises(InvalidInput, match="after run_at") as refused:
        await enqueue(plane, run_at=after(clock, 20), deadline_at=after(clock, 10))
    assert refused.value.field == "deadline_at"
    assert (await plane.jobs.list()).items == ()


async def test_a_job_that_runs_is_not_bothered_by_its_deadline(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, deadline_at=after(clock, 10))
    running = await run(plane)
    clock.advance(20)
    assert (await plane.queue.progress(running, percent=50)).job.state is JobState.RUNNING
