"""Delays and deadlines: what happens to jobs when a moment comes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core import JobSpec, JobState, Outcome, RetryPolicy, Verdict
from cicd_core.model.instants import from_micros
from tests.services.scenes import claim, enqueue, finish, nothing_to_claim, run, story

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


def after(clock: VirtualClock, seconds: float) -> datetime:
    return from_micros(clock.micros()) + timedelta(seconds=seconds)


async def test_a_delayed_job_is_not_given_before_its_moment(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, run_at=after(clock, 60))
    assert job.ready_at is None
    clock.advance(59)
    assert (await plane.maintenance.sweep()).total == 0
    assert await nothing_to_claim(plane)
    clock.advance(1)
    report = await plane.maintenance.sweep()
    assert (report.promoted, report.total) == (1, 1)
    assert (await claim(plane)).job.job_id == job.job_id


async def test_the_wait_of_a_delayed_job_counts_from_its_moment(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, run_at=after(clock, 60))
    clock.advance(70)
    await plane.maintenance.sweep()
    clock.advance(10)
    await claim(plane, start=True)
    clock.advance(31)
    await plane.maintenance.sweep()
    assert (await plane.queue.stats()).average_wait_seconds == 20.0


async def test_a_moment_that_has_passed_is_now(plane: ControlPlane, clock: VirtualClock) -> None:
    job = await enqueue(plane, run_at=after(clock, -60))
    assert (await claim(plane)).job.job_id == job.job_id


async def test_many_delayed_jobs_come_due_in_the_order_of_the_queue(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    late = await enqueue(plane, run_at=after(clock, 20))
    soon = await enqueue(plane, run_at=after(clock, 10))
    clock.advance(30)
    assert (await plane.maintenance.sweep()).promoted == 2
    # Both are ready: the first one that was enqueued goes first.
    assert (await claim(plane)).job.job_id == late.job_id
    assert (await claim(plane)).job.job_id == soon.job_id


@pytest.mark.parametrize("state", ["pending", "queued", "delayed"])
async def test_what_has_not_started_by_its_deadline_times_out(
    plane: ControlPlane, clock: VirtualClock, state: str
) -> None:
    spec = JobSpec(
        job_type="build",
        deadline_at=after(clock, 60),
        run_at=after(clock, 60 - 0.000001) if state == "delayed" else None,
    )
    job = await (plane.jobs.create(spec) if state == "pending" else plane.queue.enqueue(spec))
    clock.advance(60 - 0.000002)
    assert (await plane.maintenance.sweep()).total == 0
    clock.advance(micros=2)
    report = await plane.maintenance.sweep()
    assert (report.ended, report.total) == (1, 1)
    ended = await plane.jobs.get(job.job_id)
    assert (ended.state, ended.verdict) == (JobState.TIMEOUT, Verdict.TIMEOUT)
    assert "not started by its deadline" in str(ended.error_message)
    assert await nothing_to_claim(plane)


async def test_a_job_that_comes_due_before_its_deadline_is_promoted_and_then_ends(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, run_at=after(clock, 10), deadline_at=after(clock, 20))
    clock.advance(10)
    assert (await plane.maintenance.sweep()).promoted == 1
    clock.advance(10)
    assert (await plane.maintenance.sweep()).ended == 1


async def test_a_job_that_has_started_is_not_ended_by_its_deadline(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, deadline_at=after(clock, 10))
    running = await run(plane)
    clock.advance(20)
    assert (await plane.maintenance.sweep()).total == 0
    assert (await plane.queue.complete(running, Outcome.exited(0))).state is JobState.SUCCESS


async def test_a_job_that_is_only_claimed_at_its_deadline_may_start_while_its_lease_lasts(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, deadline_at=after(clock, 10))
    held = await claim(plane)
    clock.advance(11)
    assert (await plane.maintenance.sweep()).total == 0
    clock.advance(20)
    assert (await plane.maintenance.sweep()).ended == 1
    ended = await plane.jobs.get(job.job_id)
    assert ended.error_message == "claimed, but not started by its deadline"
    assert ended.attempts[-1].token == held.token


async def test_a_tracked_run_that_has_started_is_not_ended_by_its_deadline(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build", deadline_at=after(clock, 10)))
    await plane.jobs.record_start(job.job_id)
    clock.advance(20)
    assert (await plane.maintenance.sweep()).total == 0
    ended = await plane.jobs.record_execution(job.job_id, Outcome.exited(0))
    assert (ended.state, ended.duration_seconds) == (JobState.SUCCESS, 20.0)


async def test_a_job_that_is_cancelled_waits_for_nothing_any_more(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    delayed = await enqueue(plane, run_at=after(clock, 5), deadline_at=after(clock, 10))
    await plane.jobs.cancel(delayed.job_id)
    clock.advance(20)
    assert (await plane.maintenance.sweep()).total == 0


async def test_a_replayed_job_has_no_deadline_any_more(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, deadline_at=after(clock, 10), retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    clock.advance(100)
    await plane.jobs.replay(dead.job_id)
    assert (await plane.maintenance.sweep()).total == 0
    assert (await claim(plane)).job.job_id == dead.job_id


async def test_a_job_is_never_tried_again_before_its_backoff_is_over(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    policy = RetryPolicy(max_attempts=4, backoff_base=10, jitter=0.0)
    job = await enqueue(plane, retry=policy)
    for wait in (10, 20, 40):
        await finish(plane, Outcome.error("no disk"))
        clock.advance(wait - 1)
        assert (await plane.maintenance.sweep()).total == 0
        clock.advance(1)
        assert (await plane.maintenance.sweep()).promoted == 1
    assert (await finish(plane, Outcome.error("no disk"))).state is JobState.DEAD_LETTERED
    told = [event.type for event in await story(plane, job.job_id)]
    assert told.count("job.retried") == told.count("job.promoted") == 3
