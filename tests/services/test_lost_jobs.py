"""A job that an agent lost comes back by itself, and ends by itself when it is lost too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from cicd_core import (
    ControlPlane,
    Delivery,
    JobSpec,
    JobState,
    JobStatus,
    Outcome,
    QueueStatus,
    RetryPolicy,
    Verdict,
)
from cicd_core.model.instants import from_micros, to_micros
from tests.services.broken_stores import Relay
from tests.services.scenes import (
    SETTINGS,
    claim,
    enqueue,
    finish,
    ids,
    nothing_to_claim,
    run,
    story,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

STEADY = RetryPolicy(jitter=0.0)


class Together(Relay):
    """Its next commits wait for each other: all of them were decided before any is made."""

    waiting = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.waiting -= 1
        while self.waiting > 0:
            await anyio.lowlevel.checkpoint()
        return await super().commit(commits)


async def test_a_lost_job_is_told_once_whoever_looks_for_it(
    store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    together = Together(store)
    planes = [ControlPlane(together, settings=SETTINGS) for _ in range(3)]
    job = await enqueue(planes[0], retry=STEADY)
    await run(planes[0], "a-1")
    clock.advance(31)
    together.waiting = len(planes)
    async with anyio.create_task_group() as tasks:
        for each in planes:
            tasks.start_soon(each.maintenance.sweep)
    told = [line for line in caplog.messages if "was lost" in line]
    assert told == [f"job {job.job_id} was lost by agent a-1: queued"]


async def test_a_lost_job_comes_back_after_a_backoff_under_a_new_fence(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, retry=STEADY)
    lost = await run(plane, "a-1")
    clock.advance(30)
    assert (await plane.maintenance.sweep()).total == 0, "it lasts to its last microsecond"
    clock.advance(micros=1)
    report = await plane.maintenance.sweep()
    assert (report.requeued, report.total) == (1, 1)
    requeued = await plane.jobs.get(job.job_id)
    assert (requeued.state, requeued.verdict) == (JobState.QUEUED, Verdict.ERROR)
    assert requeued.run_at is not None
    assert to_micros(requeued.run_at) == clock.micros() + 2_000_000
    assert await nothing_to_claim(plane)
    clock.advance(2)
    assert (await plane.maintenance.sweep()).promoted == 1
    found = await run(plane, "a-2")
    assert (found.job.job_id, found.job.attempt) == (job.job_id, 2)
    assert found.token.fence > lost.token.fence
    ended = await plane.queue.complete(found, Outcome.exited(0))
    assert [attempt.agent_id for attempt in ended.attempts] == ["a-1", "a-2"]
    assert [attempt.verdict for attempt in ended.attempts] == [Verdict.ERROR, Verdict.SUCCESS]


async def test_what_was_claimed_and_never_told_of_is_in_the_log_when_it_is_lost(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    await claim(plane, start=True)
    clock.advance(31)
    await plane.maintenance.sweep()
    told = await story(plane, job.job_id)
    assert [event.type for event in told] == [
        "job.created",
        "job.enqueued",
        "job.claimed",
        "job.started",
        "job.lease_expired",
    ]
    assert [event.version for event in told] == sorted(event.version for event in told)
    assert len({event.event_id for event in told}) == len(told)


async def test_a_lease_that_is_renewed_is_never_lost(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    running = await run(plane)
    for _ in range(20):
        clock.advance(29)
        await plane.queue.renew([running])
        assert (await plane.maintenance.sweep()).total == 0
    assert (await plane.jobs.get(running.job.job_id)) == running.job


async def test_a_job_that_is_lost_too_often_is_a_dead_letter(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, retry=STEADY)
    for number in range(3):
        await run(plane, f"a-{number}")
        clock.advance(31)
        report = await plane.maintenance.sweep()
        assert (report.requeued, report.dead_lettered) == ((1, 0) if number < 2 else (0, 1))
        clock.advance(10)
        await plane.maintenance.sweep()
    dead = await plane.jobs.get(job.job_id)
    assert (dead.state, dead.attempts_used) == (JobState.DEAD_LETTERED, 3)
    assert (dead.status, dead.queue_status) == (JobStatus.ERROR, QueueStatus.DEAD_LETTERED)
    assert ids((await plane.jobs.dead_letters()).items) == [job.job_id]
    assert await nothing_to_claim(plane)


async def test_a_dead_letter_is_replayed_by_an_operator_with_attempts_and_fence_going_on(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    clock.advance(100)
    replayed = await plane.jobs.replay(job.job_id, actor="bob", attempts=2)
    assert (replayed.state, replayed.max_attempts) == (JobState.QUEUED, 3)
    assert (replayed.attempt, replayed.fence) == (1, dead.fence)
    assert (await plane.jobs.dead_letters()).items == ()
    again = await run(plane, "a-2")
    assert again.job.attempt == 2
    assert again.token.fence > dead.fence
    audited = [event for event in await story(plane, job.job_id) if event.type == "job.replayed"]
    assert [event.data["actor"] for event in audited] == ["bob"]
    ended = await plane.queue.complete(again, Outcome.exited(0))
    assert (ended.state, ended.attempts_used) == (JobState.SUCCESS, 2)


async def test_dead_letters_are_listed_page_by_page_the_newest_first(plane: ControlPlane) -> None:
    jobs = [await enqueue(plane, retry=RetryPolicy(max_attempts=1)) for _ in range(5)]
    for _ in jobs:
        await finish(plane, Outcome.error("no disk"))
    first = await plane.jobs.dead_letters(limit=3)
    second = await plane.jobs.dead_letters(limit=3, cursor=first.cursor)
    assert ids([*first.items, *second.items]) == ids(reversed(jobs))


async def test_an_at_most_once_job_that_has_started_never_starts_again(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, delivery=Delivery.AT_MOST_ONCE)
    lost = await run(plane)
    clock.advance(31)
    report = await plane.maintenance.sweep()
    assert (report.ended, report.requeued) == (1, 0)
    assert (await plane.jobs.get(lost.job.job_id)).state is JobState.ERROR
    clock.advance(1000)
    await plane.maintenance.sweep()
    assert await nothing_to_claim(plane)


async def test_an_at_most_once_job_that_was_only_claimed_is_given_to_another_agent(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, delivery=Delivery.AT_MOST_ONCE, retry=STEADY)
    await claim(plane)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).requeued == 1
    clock.advance(2)
    await plane.maintenance.sweep()
    assert (await claim(plane, "a-2")).job.job_id == job.job_id


async def test_a_lost_job_that_was_asked_to_stop_is_cancelled(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    lost = await run(plane)
    await plane.jobs.cancel(lost.job.job_id)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).ended == 1
    assert (await plane.jobs.get(lost.job.job_id)).state is JobState.CANCELLED


async def test_expired_leases_can_be_taken_back_without_touching_other_timers(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    delayed = await enqueue(plane, run_at=from_micros(clock.micros() + 1_000_000))
    lost = await enqueue(plane)
    await run(plane)
    clock.advance(31)
    report = await plane.maintenance.requeue_expired()
    assert (report.requeued, report.total) == (1, 1)
    assert (await plane.jobs.get(lost.job_id)).attempts_used == 1
    assert (await plane.jobs.get(delayed.job_id)).ready_at is None


async def test_every_pool_is_looked_after(plane: ControlPlane, clock: VirtualClock) -> None:
    for pool in ("fast", "slow"):
        await enqueue(plane, pool_name=pool)
        await run(plane, pool_name=pool)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).requeued == 2


@pytest.mark.thorough
async def test_more_jobs_than_one_page_holds_are_all_looked_after(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 450)
    for _ in range(2):
        await plane.queue.claim(agent_id="a-1", limit=225, start=True)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).requeued == len(jobs)
