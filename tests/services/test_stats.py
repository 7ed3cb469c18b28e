"""The statistics of the queue, against a recount of every job."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from cicd_core import (
    InvalidInput,
    JobSpec,
    JobState,
    Outcome,
    Priority,
    QueueStatus,
    RetryPolicy,
)
from cicd_core.model.instants import from_micros
from cicd_core.queueing.measures import begin_of_day, begin_of_slot
from tests.services.scenes import claim, enqueue, every_job, finish, one_of_each, run

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def recount(plane: ControlPlane, pool_name: str | None = None) -> dict[QueueStatus, int]:
    found = Counter(
        job.queue_status
        for job in await every_job(plane, pool_name=pool_name)
        if job.queue_status is not None
    )
    return {status: found[status] for status in QueueStatus}


async def busy(plane: ControlPlane, clock: VirtualClock) -> None:
    """Bring jobs of two pools into every state, some of them more than once."""
    later = from_micros(clock.micros()) + timedelta(hours=5)
    for pool, times in (("default", 1), ("fast", 2)):
        for _ in range(times):
            await one_of_each(plane, pool_name=pool)
            await plane.jobs.cancel((await claim(plane, pool_name=pool)).job.job_id)
            await enqueue(plane, "test", pool_name=pool, labels=("gpu",))
            await enqueue(plane, pool_name=pool, run_at=later)
            clock.advance(1)
        tracked = await plane.jobs.create(JobSpec(job_type="build", pool_name=pool))
        await plane.jobs.record_start(tracked.job_id)


async def test_an_empty_queue_has_nothing_to_say(plane: ControlPlane) -> None:
    stats = await plane.queue.stats()
    assert stats.depth == dict.fromkeys(QueueStatus, 0)
    assert (stats.ready, stats.delayed, stats.leased) == (0, 0, 0)
    assert (stats.average_wait_seconds, stats.p95_wait_seconds) == (None, None)
    assert (stats.average_run_seconds, stats.p95_run_seconds) == (None, None)
    assert (stats.failure_rate, stats.oldest_queued_seconds) == (None, None)
    assert stats.exact
    assert (await plane.queue.stats("nobody")).depth == dict.fromkeys(QueueStatus, 0)


async def test_the_depths_of_all_pools_are_those_of_a_recount(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    await busy(plane, clock)
    for through in (plane, other_plane):
        stats = await through.queue.stats()
        assert stats.depth == await recount(plane)
        assert (stats.delayed, stats.exact, stats.pool_name) == (3, True, None)


@pytest.mark.parametrize("pool_name", ["default", "fast"])
async def test_the_depths_of_one_pool_are_those_of_a_recount(
    plane: ControlPlane, clock: VirtualClock, pool_name: str
) -> None:
    await busy(plane, clock)
    stats = await plane.queue.stats(pool_name)
    assert stats.depth == await recount(plane, pool_name)
    number = 1 if pool_name == "default" else 2
    assert stats.delayed == number
    assert stats.by_lane == {
        key: count
        for key, count in {
            f"{pool_name}|build|": 0,
            f"{pool_name}|test|gpu": number,
        }.items()
        if count
    }
    assert (stats.ready, stats.pool_name) == (number, pool_name)


async def test_every_move_of_a_job_moves_the_depths(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    async def agrees() -> None:
        assert (await plane.queue.stats()).depth == await recount(plane)

    job = await enqueue(plane, retry=RetryPolicy(max_attempts=1, jitter=0.0))
    await agrees()
    held = await claim(plane)
    await agrees()
    running = await plane.queue.start(held)
    await agrees()
    await plane.queue.release(running)
    await agrees()
    clock.advance(1)
    await plane.maintenance.sweep()
    await agrees()
    await run(plane)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).dead_lettered == 1
    await agrees()
    await plane.jobs.replay(job.job_id)
    await agrees()
    await finish(plane)
    await agrees()


async def test_a_claim_that_nobody_told_of_yet_is_counted_in_the_depths(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    await enqueue(plane)
    await claim(plane, start=True)
    await claim(plane)
    depth = (await plane.queue.stats()).depth
    assert (depth[QueueStatus.CLAIMED], depth[QueueStatus.RUNNING]) == (1, 1)


async def test_waits_and_executions_are_measured(plane: ControlPlane, clock: VirtualClock) -> None:
    for wait, length in ((10, 100), (30, 300)):
        await enqueue(plane)
        clock.advance(wait)
        running = await run(plane)
        clock.advance(length)
        await plane.queue.complete(running, Outcome.exited(0))
    for stats in (await plane.queue.stats(), await plane.queue.stats("default")):
        assert (stats.average_wait_seconds, stats.average_run_seconds) == (20.0, 200.0)
        assert stats.p95_wait_seconds == pytest.approx(30, rel=0.05)
        assert stats.p95_run_seconds == pytest.approx(300, rel=0.05)
    assert (await plane.queue.stats("another")).average_wait_seconds is None


async def test_the_failure_rate_is_that_of_jobs_that_ended(plane: ControlPlane) -> None:
    for exit_code in (0, 0, 0, 1):
        await enqueue(plane)
        await finish(plane, Outcome.exited(exit_code))
    cancelled = await enqueue(plane)
    await plane.jobs.cancel(cancelled.job_id)
    await enqueue(plane)
    assert (await finish(plane, Outcome.error("no disk"))).state is JobState.QUEUED
    assert (await plane.queue.stats()).failure_rate == 0.25
    assert (await plane.queue.stats("default")).failure_rate == 0.25


async def test_what_is_measured_begins_a_day_ago_unless_it_is_said_otherwise(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    begin = from_micros(clock.micros())
    await enqueue(plane)
    await finish(plane, Outcome.exited(1))
    clock.advance(2 * 86_400)
    now = from_micros(clock.micros())
    default = await plane.queue.stats()
    assert default.as_of == now
    assert default.failures_since == begin_of_slot(now - timedelta(days=1))
    assert default.failure_rate is None
    earlier = await plane.queue.stats(since=begin)
    assert (earlier.failure_rate, earlier.failures_since) == (1.0, begin_of_slot(begin))
    assert default.depth[QueueStatus.FAILED] == 1, "depths are of now, whatever is measured"


async def test_statistics_state_the_moment_from_which_they_count(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    midnight = begin_of_day(from_micros(clock.micros())) + timedelta(days=1)

    def go_to(hours: float) -> datetime:
        moment = midnight + timedelta(hours=hours)
        clock.advance((moment - from_micros(clock.micros())).total_seconds())
        return moment

    go_to(0.5)
    await enqueue(plane)
    go_to(1)
    await finish(plane, Outcome.exited(1))
    asked = go_to(22.1)
    go_to(23)
    for pool in (None, "default"):
        seen = await plane.queue.stats(pool, since=asked)
        assert (seen.average_wait_seconds, seen.since) == (1800.0, midnight)
        assert (seen.failure_rate, seen.failures_since) == (None, midnight + timedelta(hours=22))
        in_nepal = timezone(timedelta(hours=5, minutes=45))
        local = await plane.queue.stats(pool, since=asked.astimezone(in_nepal))
        assert (local.since, local.failures_since) == (seen.since, seen.failures_since)


async def test_the_oldest_of_the_queued_tells_its_age(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    clock.advance(50)
    await enqueue(plane)
    clock.advance(10)
    for pool in (None, "default"):
        assert (await plane.queue.stats(pool)).oldest_queued_seconds == 60.0
    await finish(plane)
    for pool in (None, "default"):
        assert (await plane.queue.stats(pool)).oldest_queued_seconds == 10.0


async def test_what_is_claimed_is_not_the_oldest_of_the_queued(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    for _ in range(3):
        await enqueue(plane)
    clock.advance(50)
    await enqueue(plane, priority=Priority.LOW)
    clock.advance(10)
    for pool in (None, "default"):
        assert (await plane.queue.stats(pool)).oldest_queued_seconds == 60.0
    await plane.queue.claim(agent_id="a-1", limit=3)
    for pool in (None, "default"):
        assert (await plane.queue.stats(pool)).oldest_queued_seconds == 10.0
    await claim(plane)
    for pool in (None, "default"):
        assert (await plane.queue.stats(pool)).oldest_queued_seconds is None


async def test_more_claimed_jobs_than_one_look_takes_in_hide_no_queued_one(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 101)
    clock.advance(50)
    await enqueue(plane)
    clock.advance(10)
    await plane.queue.claim(agent_id="a-1", limit=101)
    assert (await plane.queue.stats()).oldest_queued_seconds == 10.0


async def ages(plane: ControlPlane) -> tuple[float | None, float | None]:
    """Return the age of the oldest ready job, of all pools and of the one that there is."""
    both = (await plane.queue.stats(), await plane.queue.stats("default"))
    return both[0].oldest_queued_seconds, both[1].oldest_queued_seconds


async def test_the_oldest_is_the_one_that_is_ready_for_longest_not_the_first_created(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    created = await plane.jobs.create(JobSpec(job_type="build"))
    clock.advance(100)
    await enqueue(plane)
    clock.advance(50)
    await plane.jobs.submit(created.job_id)
    clock.advance(10)
    assert await ages(plane) == (60.0, 60.0)
    await finish(plane)
    assert await ages(plane) == (10.0, 10.0)


async def test_the_oldest_is_no_job_that_waits_for_its_time(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    later = from_micros(clock.micros()) + timedelta(hours=1)
    await enqueue(plane, run_at=later)
    clock.advance(600)
    assert await ages(plane) == (None, None)
    clock.advance(3_000)
    await plane.maintenance.sweep()
    clock.advance(5)
    assert await ages(plane) == (5.0, 5.0)


async def test_the_oldest_after_a_replay_counts_from_the_replay(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    await finish(plane, Outcome.error("no"))
    clock.advance(500)
    await enqueue(plane)
    clock.advance(40)
    await plane.jobs.replay(job.job_id)
    assert await ages(plane) == (40.0, 40.0)


async def test_many_delays_that_ended_now_do_not_hide_a_job_that_is_ready_for_longer(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    later = from_micros(clock.micros()) + timedelta(seconds=100)
    await plane.queue.enqueue_many([JobSpec(job_type="build", run_at=later)] * 1_100)
    clock.advance(70)
    await enqueue(plane, "test")
    clock.advance(30)
    await plane.maintenance.sweep()
    assert await ages(plane) == (30.0, 30.0)


async def test_no_more_than_92_days_are_measured(plane: ControlPlane, clock: VirtualClock) -> None:
    now = from_micros(clock.micros())
    longest = await plane.queue.stats(since=now - timedelta(days=92))
    assert longest.since == begin_of_day(now - timedelta(days=92))
    for pool in (None, "default"):
        with pytest.raises(InvalidInput, match="last 92 days") as refused:
            await plane.queue.stats(pool, since=from_micros(0))
        assert refused.value.field == "since"
