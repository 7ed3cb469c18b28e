"""A wall clock that is set forward or back: what has passed counts, whatever it says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core import (
    ControlPlane,
    JobSpec,
    NotFound,
    Outcome,
    RetryPolicy,
    SessionRejected,
    Verdict,
)
from cicd_core.audit import audit
from cicd_core.errors import LeaseLost
from cicd_core.model.agent import AgentSpec, AgentStatus
from cicd_core.model.instants import from_micros
from tests.services.broken_stores import Relay
from tests.services.scenes import (
    claim,
    enqueue,
    every_job,
    finish,
    ids,
    nothing_to_claim,
    run,
    story,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0
DAY = 24 * HOUR
YEAR = 365 * DAY
#: A year ahead, half a year back, a month ahead, and so on: what a machine may be set by.
STEPS = pytest.mark.parametrize("step", [YEAR, -YEAR / 2, 30 * DAY, -90.0])


class Commits(Relay):
    """A store that counts its commits."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.commits = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.commits += len(commits)
        return await super().commit(commits)


def today(clock: VirtualClock) -> datetime:
    return from_micros(clock.calendar())


@STEPS
async def test_no_step_drops_a_job_a_session_an_agent_or_an_event(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    ended = await finish(plane)
    opened = await plane.sessions.create("ann", ttl_seconds=DAY)
    agent = await plane.agents.register(AgentSpec(agent_id="a-9"))
    await plane.agents.deregister("a-9", incarnation=agent.incarnation)
    told = await story(plane, ended.job_id)
    clock.step_calendar(step)
    await plane.maintenance.sweep()
    await enqueue(plane)
    assert (await plane.jobs.get(ended.job_id)).verdict is Verdict.SUCCESS
    assert (await plane.agents.get("a-9")).status is AgentStatus.TERMINATED
    assert await story(plane, ended.job_id) == told
    clock.step_calendar(-step)
    assert await plane.sessions.validate(opened.token) == opened.session


@STEPS
async def test_a_job_is_dropped_when_its_retention_has_passed_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    ended = await finish(plane)
    clock.step_calendar(step)
    clock.advance(plane.settings.job_retention_seconds - 1)
    assert (await plane.jobs.get(ended.job_id)).is_final
    clock.advance(1)
    with pytest.raises(NotFound):
        await plane.jobs.get(ended.job_id)


@STEPS
async def test_what_ended_under_a_wrong_calendar_is_kept_as_long_as_the_rest(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    clock.step_calendar(step)
    await enqueue(plane)
    ended = await finish(plane)
    clock.step_calendar(-step)
    clock.advance(plane.settings.job_retention_seconds - 1)
    assert (await plane.jobs.get(ended.job_id)).is_final
    clock.advance(1)
    with pytest.raises(NotFound):
        await plane.jobs.get(ended.job_id)


@STEPS
async def test_a_lease_ends_when_its_time_has_passed_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    held = await run(plane)
    clock.step_calendar(step)
    assert (await plane.maintenance.sweep()).total == 0
    (status,) = await plane.queue.renew([held])
    assert status.held
    assert status.expires_at == today(clock) + timedelta(seconds=plane.settings.lease_seconds)
    clock.step_calendar(-2 * step)
    clock.advance(plane.settings.lease_seconds)
    assert (await plane.maintenance.sweep()).total == 0
    clock.advance(micros=1)
    assert (await plane.maintenance.sweep()).requeued == 1
    with pytest.raises(LeaseLost):
        await plane.queue.complete(held, Outcome.exited(0))


@STEPS
async def test_an_agent_is_silent_when_its_time_has_passed_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation)
    clock.step_calendar(step)
    clock.advance(5)
    assert (await plane.maintenance.sweep()).total == 0
    seen = (await plane.agents.get("a-1")).heartbeat_at
    assert seen == today(clock) - timedelta(seconds=5)
    assert [each.heartbeat_at for each in (await plane.agents.list()).items] == [seen]
    clock.advance(plane.settings.heartbeat_timeout_seconds)
    assert (await plane.maintenance.sweep()).silenced == 1


@STEPS
async def test_jobs_are_claimed_in_the_order_of_their_enqueues_over_a_step(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    early = await enqueue(plane)
    clock.step_calendar(step)
    clock.advance(1)
    middle = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    clock.step_calendar(-step)
    clock.advance(1)
    late = await enqueue(plane)
    claims = await plane.queue.claim(agent_id="a-1", limit=9)
    assert taken(claims) == ids([early, *middle, late])


@STEPS
async def test_a_dead_letter_that_is_replayed_goes_behind_what_was_enqueued_before(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    dead = await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    await finish(plane, Outcome.error("no"))
    waiting = await enqueue(plane)
    clock.advance(1)
    clock.step_calendar(step)
    await plane.jobs.replay(dead.job_id)
    clock.advance(1)
    clock.step_calendar(-step)
    last = await plane.jobs.create(JobSpec(job_type="build"))
    await plane.jobs.submit(last.job_id)
    claims = await plane.queue.claim(agent_id="a-1", limit=9)
    assert taken(claims) == ids([waiting, dead, last])


@STEPS
async def test_a_fence_grows_over_a_step(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    fences = [(held := await run(plane)).token.fence]
    for _ in range(2):
        await plane.queue.release(held)
        clock.step_calendar(step)
        clock.advance(HOUR)
        await plane.maintenance.sweep()
        fences.append((held := await run(plane)).token.fence)
        step = -step
    assert fences == sorted(set(fences))


@STEPS
async def test_a_retry_waits_its_pause_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    policy = RetryPolicy(backoff_base=60.0, jitter=0.0)
    clock.step_calendar(step)
    await enqueue(plane, retry=policy)
    retried = await finish(plane, Outcome.error("no"))
    clock.step_calendar(-step)
    clock.advance(59)
    await plane.maintenance.sweep()
    assert await nothing_to_claim(plane)
    clock.advance(1)
    assert (await plane.maintenance.sweep()).promoted == 1
    held = await claim(plane)
    assert held.job.job_id == retried.job_id
    assert held.job.ready_at == held.job.claimed_at == today(clock)


@STEPS
async def test_a_job_that_was_released_waits_its_pause_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    await plane.queue.release(await run(plane))
    assert (await plane.queue.stats()).delayed == (await plane.queue.stats("default")).delayed == 1
    clock.step_calendar(step)
    clock.advance(60)
    assert (await plane.maintenance.sweep()).promoted == 1


async def test_run_at_is_a_moment_of_the_calendar(plane: ControlPlane, clock: VirtualClock) -> None:
    job = await enqueue(plane, run_at=today(clock) + timedelta(hours=1))
    clock.step_calendar(-DAY)
    clock.advance(HOUR)
    assert (await plane.maintenance.sweep()).promoted == 0
    clock.step_calendar(DAY)
    assert (await plane.maintenance.sweep()).promoted == 1
    assert (await claim(plane)).job.job_id == job.job_id


async def test_a_deadline_is_a_moment_of_the_calendar_during_a_pause_too(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, deadline_at=today(clock) + timedelta(seconds=0.5))
    await plane.queue.release(await claim(plane))  # not started, and paused for a second
    clock.advance(0.5)
    assert (await plane.maintenance.sweep()).ended == 1
    assert (await plane.jobs.get(job.job_id)).verdict is Verdict.TIMEOUT


@STEPS
async def test_waits_and_runs_are_never_longer_than_what_has_passed(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    clock.step_calendar(step)
    clock.advance(10)
    held = await run(plane)
    clock.step_calendar(step)
    clock.advance(20)
    await plane.queue.complete(held, Outcome.exited(0))
    seen = await plane.queue.stats(since=today(clock) - timedelta(days=1))
    report = await audit(plane)
    assert report.ok, report
    waited, ran = seen.average_wait_seconds, seen.average_run_seconds
    assert waited is None or 0 <= waited <= 10
    assert ran is not None
    assert ran == (20 if step > 0 else 0)


@STEPS
async def test_a_list_shows_each_job_once_over_a_step(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    first = await enqueue(plane)
    clock.step_calendar(step)
    second = await enqueue(plane)
    assert sorted(ids(await every_job(plane, limit=1))) == sorted(ids([first, second]))


async def test_a_session_is_refused_while_the_calendar_is_beyond_its_end_and_not_ended(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", ttl_seconds=DAY)
    clock.step_calendar(2 * DAY)  # the machine was off for two days, or its clock is wrong
    with pytest.raises(SessionRejected, match="expired"):
        await plane.sessions.validate(opened.token)
    clock.step_calendar(-2 * DAY)
    assert await plane.sessions.validate(opened.token) == opened.session


async def test_a_session_is_refused_while_the_calendar_is_beyond_its_idle_time_and_not_ended(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", ttl_seconds=30 * DAY, idle_seconds=HOUR)
    clock.step_calendar(2 * HOUR)  # the machine was off for two hours, or its clock is wrong
    with pytest.raises(SessionRejected, match="idle for 3600 s"):
        await plane.sessions.validate(opened.token)
    clock.step_calendar(-2 * HOUR)
    assert await plane.sessions.validate(opened.token) == opened.session
    kinds = [event.type for event in await story(plane, opened.session.session_id)]
    assert kinds == ["session.created"]


async def test_idle_time_on_the_calendar_counts_from_the_last_use_after_every_step(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", ttl_seconds=30 * DAY, idle_seconds=HOUR)
    for _ in range(5):  # off for half an hour again and again, and in use in between
        clock.step_calendar(HOUR / 2)
        clock.advance(HOUR / 4)
        await plane.sessions.validate(opened.token)
    clock.step_calendar(HOUR / 2)
    clock.advance(HOUR / 2)
    with pytest.raises(SessionRejected, match="idle for 3600 s"):
        await plane.sessions.validate(opened.token)


async def test_a_session_used_under_a_calendar_that_is_ahead_still_ends_after_its_idle_time(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", ttl_seconds=30 * DAY, idle_seconds=HOUR)
    clock.step_calendar(HOUR / 2)
    clock.advance(HOUR / 4)
    await plane.sessions.validate(opened.token)
    clock.step_calendar(-HOUR / 2)
    clock.advance(HOUR)
    with pytest.raises(SessionRejected, match="idle for 3600 s"):
        await plane.sessions.validate(opened.token)


async def test_a_use_writes_no_commit_unless_the_calendar_was_set(
    store: Store, clock: VirtualClock
) -> None:
    counted = Commits(store)
    plane = ControlPlane(counted)
    opened = await plane.sessions.create("ann", idle_seconds=HOUR)
    for step, commits in ((0, 1), (60, 2), (0, 2)):
        clock.step_calendar(step)
        clock.advance(HOUR / 4)
        await plane.sessions.validate(opened.token)
        assert counted.commits == commits


@STEPS
async def test_a_session_is_over_when_its_time_has_passed_whatever_the_calendar_says(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    clock.step_calendar(step)
    opened = await plane.sessions.create("ann", ttl_seconds=HOUR, idle_seconds=HOUR)
    clock.step_calendar(-step)
    clock.advance(HOUR)
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(opened.token)


@pytest.mark.parametrize("days", [100, 10_000])
async def test_a_run_of_long_ago_is_kept_as_long_as_one_of_today(
    plane: ControlPlane, clock: VirtualClock, days: int
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="imported"))
    old = today(clock) - timedelta(days=days)
    await plane.jobs.record_execution(
        job.job_id, Outcome.exited(0), started_at=old, completed_at=old
    )
    clock.advance(plane.settings.job_retention_seconds - 1)
    assert (await plane.jobs.get(job.job_id)).completed_at == old
    clock.advance(1)
    with pytest.raises(NotFound):
        await plane.jobs.get(job.job_id)


async def test_a_run_that_ends_in_the_future_is_kept_from_then_on(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="imported"))
    end = today(clock) + timedelta(days=1)
    await plane.jobs.record_execution(job.job_id, Outcome.exited(0), completed_at=end)
    clock.advance(plane.settings.job_retention_seconds + DAY - 1)
    assert (await plane.jobs.get(job.job_id)).completed_at == end
    clock.advance(1)
    with pytest.raises(NotFound):
        await plane.jobs.get(job.job_id)


async def test_a_run_that_another_clock_began_ahead_of_ours_ends_at_its_start_at_least(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="nightly"))
    ahead = today(clock) + timedelta(seconds=5)
    await plane.jobs.record_start(job.job_id, started_at=ahead)
    clock.advance(2)
    ended = await plane.jobs.record_execution(job.job_id, Outcome.exited(0))
    assert ended.completed_at == ahead
    assert ended.duration_seconds == 0


@STEPS
async def test_no_job_has_waited_for_longer_than_what_has_passed(
    plane: ControlPlane, clock: VirtualClock, step: float
) -> None:
    await enqueue(plane)
    clock.step_calendar(step)
    clock.advance(7)
    for pool_name in (None, "default"):
        assert (await plane.queue.stats(pool_name)).oldest_queued_seconds == 7.0


async def test_the_age_of_a_job_that_was_delayed_stays_when_the_calendar_is_set_back(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, run_at=today(clock) + timedelta(seconds=60))
    clock.advance(100)
    await plane.maintenance.sweep()
    for step in (0, -3600):
        clock.step_calendar(step)
        for pool_name in (None, "default"):
            assert (await plane.queue.stats(pool_name)).oldest_queued_seconds == 40.0
