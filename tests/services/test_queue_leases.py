"""What a holder may do with its lease, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import evolve

from cicd_core import (
    ClaimedJob,
    ClaimRef,
    ControlPlane,
    IllegalTransition,
    InvalidInput,
    JobState,
    LeaseLost,
    LeaseToken,
    NotFound,
    Outcome,
    Priority,
    RetryPolicy,
)
from cicd_core.model.instants import to_micros
from tests.services.scenes import SETTINGS, claim, enqueue, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import StoreTime
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: Every verb that only the holder of a job may use.
VERBS: dict[str, Callable[[ControlPlane, Any], Awaitable[object]]] = {
    "start": lambda plane, held: plane.queue.start(held),
    "progress": lambda plane, held: plane.queue.progress(held, percent=1),
    "complete": lambda plane, held: plane.queue.complete(held, Outcome.exited(0)),
    "release": lambda plane, held: plane.queue.release(held),
}


def seconds_left(claimed: ClaimedJob, clock: VirtualClock) -> float:
    return (to_micros(claimed.expires_at) - clock.micros()) / 1_000_000


def left_behind(claimed: ClaimedJob) -> ClaimRef:
    """Return what is left of a claim when only its id and token travelled."""
    return ClaimRef(job_id=claimed.job.job_id, token=claimed.token)


async def test_a_lease_is_renewed_for_as_long_as_it_was_taken(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane, lease_seconds=60)
    clock.advance(20)
    (status,) = await plane.queue.renew([held])
    assert status.held
    assert status.expires_at is not None
    assert to_micros(status.expires_at) == clock.micros() + 60_000_000
    assert (status.cancel_requested, status.cancel_reason) == (False, None)


async def test_a_claim_and_each_renewal_say_how_many_seconds_are_left(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane, lease_seconds=60)
    assert (held.seconds_left, held.at_limit) == (60, False)
    clock.advance(20)
    (status,) = await plane.queue.renew([held])
    assert (status.seconds_left, status.at_limit) == (60, False)


async def test_what_is_left_of_a_lease_ends_at_its_limit(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, timeout_seconds=60)
    held = await claim(plane, start=True)
    limit = 60 + SETTINGS.grace_seconds
    clock.advance(limit - 10)
    (status,) = await plane.queue.renew([held])
    assert (status.seconds_left, status.at_limit) == (10, True)
    clock.advance(11)
    (status,) = await plane.queue.renew([held])
    assert (status.held, status.seconds_left) == (True, 0), "nobody has taken it away yet"


async def test_a_repeated_claim_says_what_is_left_now(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    await claim(plane, lease_seconds=60, request_id="r")
    clock.advance(20)
    again = await claim(plane, lease_seconds=60, request_id="r")
    assert again.seconds_left == 40


async def test_the_clock_s_uncertainty_is_no_part_of_what_is_left(
    store: Store, clock: VirtualClock
) -> None:
    class Vague:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def now(self) -> StoreTime:
            return evolve(await store.now(), uncertainty=2_000_000)

    plane = ControlPlane(cast("Store", Vague()), settings=SETTINGS)
    await enqueue(plane)
    held = await claim(plane, lease_seconds=60)
    (status,) = await plane.queue.renew([held])
    assert (held.seconds_left, status.seconds_left) == (58, 58)


async def test_a_lost_lease_has_nothing_left(plane: ControlPlane) -> None:
    await enqueue(plane)
    held = await claim(plane, start=True)
    await plane.queue.complete(held, Outcome.exited(0))
    (status,) = await plane.queue.renew([held])
    assert (status.held, status.seconds_left) == (False, None)


async def test_a_start_and_a_progress_say_what_is_left(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane, lease_seconds=60)
    clock.advance(20)
    started = await plane.queue.start(held)
    clock.advance(15)
    told = await plane.queue.progress(started, percent=1)
    assert (started.seconds_left, told.seconds_left) == (60, 45)


async def test_a_renewal_leaves_the_version_alone_so_that_the_holders_own_stays_good(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane)
    clock.advance(10)
    await plane.queue.renew([held])
    assert (await plane.queue.start(held)).version == held.version + 1


async def test_a_lease_that_has_run_out_and_that_nobody_took_away_is_renewed_all_the_same(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await run(plane)
    clock.advance(31)
    (status,) = await plane.queue.renew([held])
    assert status.held
    assert (await plane.maintenance.sweep()).total == 0


async def test_many_leases_are_renewed_in_one_call_each_with_an_answer_of_its_own(
    plane: ControlPlane,
) -> None:
    for _ in range(3):
        await enqueue(plane)
    first, second, third = await plane.queue.claim(agent_id="a-1", limit=3)
    await plane.queue.release(second)
    unknown = ClaimRef(job_id="nobody", token=second.token)
    answers = await plane.queue.renew([first, second, unknown, left_behind(third)])
    assert [status.held for status in answers] == [True, False, False, True]
    assert await plane.queue.renew([]) == []


async def test_no_renewal_passes_the_time_in_which_a_claimed_job_must_start(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane)
    for _ in range(11):
        clock.advance(10)
        await plane.queue.renew([held])
    (status,) = await plane.queue.renew([held])
    assert status.expires_at is not None
    assert to_micros(status.expires_at) == to_micros(held.expires_at) + 90_000_000
    clock.advance(11)
    assert (await plane.maintenance.sweep()).requeued == 1
    job = await plane.jobs.get(held.job.job_id)
    assert job.error_message == "agent 'a-1' claimed it but did not start it in time"


async def test_a_start_moves_the_limit_to_the_timeout_and_the_grace(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, timeout_seconds=100)
    held = await claim(plane)
    clock.advance(15)
    running = await plane.queue.start(held)
    assert seconds_left(running, clock) == 30
    clock.advance(110)
    (status,) = await plane.queue.renew([running])
    assert status.expires_at is not None
    assert to_micros(status.expires_at) == clock.micros() + 20_000_000


async def test_a_hung_job_on_a_live_agent_ends_at_its_timeout_and_grace(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, timeout_seconds=100)
    running = await run(plane)
    for _ in range(13):
        clock.advance(10)
        assert (await plane.queue.renew([running]))[0].held
        assert (await plane.maintenance.sweep()).total == 0
    clock.advance(micros=1)
    assert (await plane.maintenance.sweep()).ended == 1
    ended = await plane.jobs.get(job.job_id)
    assert (ended.state, ended.error_message) == (
        JobState.TIMEOUT,
        "ran longer than 100 s on agent 'a-1'",
    )
    assert not (await plane.queue.renew([running]))[0].held


async def test_a_claim_that_starts_at_once_has_the_whole_timeout(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane, timeout_seconds=1000)
    held = await claim(plane, start=True)
    for _ in range(50):
        clock.advance(20)
        assert (await plane.queue.renew([held]))[0].held
        assert (await plane.maintenance.sweep()).total == 0
    clock.advance(31)
    assert (await plane.maintenance.sweep()).ended == 1


async def test_a_start_without_the_handle_is_a_start_all_the_same(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await claim(plane)
    clock.advance(3)
    running = await other_plane.queue.start(left_behind(held))
    assert (running.job.state, running.token) == (JobState.RUNNING, held.token)
    assert seconds_left(running, clock) == 30
    told = await other_plane.queue.progress(left_behind(held), percent=50, message="half")
    assert told.job.progress is not None
    assert (told.job.progress.percent, told.job.progress.message) == (50, "half")
    ended = await other_plane.queue.complete(left_behind(held), Outcome.exited(0))
    assert ended.state is JobState.SUCCESS


async def test_a_second_start_changes_nothing(plane: ControlPlane, clock: VirtualClock) -> None:
    await enqueue(plane)
    held = await claim(plane)
    running = await plane.queue.start(held)
    clock.advance(5)
    again = await plane.queue.start(held)
    assert (again.job, again.version) == (running.job, running.version)
    assert len(await story(plane, held.job.job_id)) == 4


async def test_progress_is_kept_and_told(plane: ControlPlane, clock: VirtualClock) -> None:
    await enqueue(plane)
    running = await run(plane)
    clock.advance(4)
    half = await plane.queue.progress(running, percent=50, message="linking")
    done = await plane.queue.progress(half, message="almost")
    job = await plane.jobs.get(running.job.job_id)
    assert job == done.job
    assert job.progress is not None
    assert (job.progress.percent, job.progress.message) == (None, "almost")
    assert to_micros(job.progress.at) == clock.micros()
    told = [event.data for event in await story(plane, job.job_id) if event.type == "job.progress"]
    assert [each["message"] for each in told] == ["linking", "almost"]


async def test_a_job_without_a_start_has_no_progress_and_no_verdict(plane: ControlPlane) -> None:
    await enqueue(plane)
    held = await claim(plane)
    with pytest.raises(IllegalTransition):
        await plane.queue.progress(held, percent=1)
    with pytest.raises(IllegalTransition, match="acknowledged start"):
        await plane.queue.complete(held, Outcome.exited(0))
    assert (await plane.jobs.get(held.job.job_id)).state is JobState.CLAIMED


async def test_a_verdict_that_is_repeated_is_a_no_op_and_another_one_is_refused(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane)
    running = await run(plane)
    ended = await plane.queue.complete(running, Outcome.exited(0))
    for repeating in (plane, other_plane):
        assert await repeating.queue.complete(running, Outcome.exited(0)) == ended
        assert await repeating.queue.complete(left_behind(running), Outcome.exited(0)) == ended
        with pytest.raises(LeaseLost, match="the job is success now"):
            await repeating.queue.complete(running, Outcome.exited(1))
    assert await plane.jobs.get(ended.job_id) == ended
    told = [event.type for event in await story(plane, ended.job_id)]
    assert told == [
        "job.created",
        "job.enqueued",
        "job.claimed",
        "job.started",
        "job.succeeded",
    ]


async def test_a_release_gives_the_job_back_after_a_while_and_uses_no_attempt(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    given_back = await plane.queue.release(await run(plane), reason="SIGTERM")
    assert (given_back.state, given_back.attempts_used) == (JobState.QUEUED, 0)
    assert (await plane.maintenance.sweep()).total == 0
    clock.advance(1)
    assert (await plane.maintenance.sweep()).promoted == 1
    again = await claim(plane, "a-2")
    assert (again.job.job_id, again.job.attempt, again.job.attempts_used) == (job.job_id, 2, 1)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_stale_owner_is_refused_in_every_verb(
    plane: ControlPlane, clock: VirtualClock, verb: str
) -> None:
    await enqueue(plane, retry=RetryPolicy(jitter=0.0))
    stale = await run(plane)
    clock.advance(31)
    await plane.maintenance.sweep()
    clock.advance(2)
    await plane.maintenance.sweep()
    for held_by_another in (False, True):
        if held_by_another:
            await claim(plane, "a-2")
        before = await plane.jobs.get(stale.job.job_id)
        for handle in (left_behind(stale), stale):
            with pytest.raises(LeaseLost) as refused:
                await VERBS[verb](plane, handle)
            assert refused.value.fence == stale.token.fence
        assert await plane.jobs.get(stale.job.job_id) == before
        assert [status.held for status in await plane.queue.renew([stale])] == [False]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_token_that_was_tampered_with_is_refused_in_every_verb(
    plane: ControlPlane, verb: str
) -> None:
    await enqueue(plane)
    running = await run(plane)
    token = running.token
    for other in (
        LeaseToken(fence=token.fence + 1, claim_id=token.claim_id),
        LeaseToken(fence=token.fence, claim_id="f" * 32),
    ):
        handle = ClaimRef(job_id=running.job.job_id, token=other)
        with pytest.raises(LeaseLost):
            await VERBS[verb](plane, handle)
        assert [status.held for status in await plane.queue.renew([handle])] == [False]
    assert (await plane.jobs.get(running.job.job_id)) == running.job


@pytest.mark.parametrize("verb", VERBS)
async def test_the_owner_of_a_job_that_is_gone_is_told_so(plane: ControlPlane, verb: str) -> None:
    handle = ClaimRef(job_id="gone", token=LeaseToken(fence=1, claim_id="f" * 32))
    with pytest.raises(LeaseLost, match="the job no longer exists"):
        await VERBS[verb](plane, handle)


async def test_a_request_to_stop_is_noticed_at_the_next_renewal(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane)
    running = await run(plane)
    asked = await other_plane.jobs.cancel(running.job.job_id, reason="wrong branch")
    assert (asked.state, asked.cancel_reason) == (JobState.RUNNING, "wrong branch")
    (status,) = await plane.queue.renew([running])
    assert (status.held, status.cancel_requested) == (True, True)
    assert status.cancel_reason == "wrong branch"
    ended = await plane.queue.complete(running, Outcome.cancelled("stopped"))
    assert (ended.state, ended.cancel_reason) == (JobState.CANCELLED, "wrong branch")


async def test_a_holder_that_was_asked_to_stop_may_still_have_succeeded(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    running = await run(plane)
    await plane.jobs.cancel(running.job.job_id)
    assert (await plane.queue.complete(running, Outcome.exited(0))).state is JobState.SUCCESS


async def test_nobody_confirms_a_cancel_that_nobody_asked_for(plane: ControlPlane) -> None:
    await enqueue(plane)
    running = await run(plane)
    with pytest.raises(IllegalTransition, match="release it instead"):
        await plane.queue.complete(running, Outcome.cancelled("bored"))


async def test_a_job_that_is_cancelled_before_its_start_is_lost_to_its_holder(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    held = await claim(plane)
    cancelled = await plane.jobs.cancel(held.job.job_id, actor="bob", reason="no")
    assert cancelled.state is JobState.CANCELLED
    with pytest.raises(LeaseLost, match="the job is cancelled now"):
        await plane.queue.start(held)
    assert not (await plane.queue.renew([held]))[0].held
    told = [event.type for event in await story(plane, held.job.job_id)]
    assert told == ["job.created", "job.enqueued", "job.claimed", "job.cancelled"]


async def test_a_priority_that_changes_under_a_claim_costs_the_holder_nothing(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    held = await claim(plane)
    await plane.jobs.reprioritise(held.job.job_id, Priority.HIGH)
    running = await plane.queue.start(held)
    assert (running.job.priority, running.token) == (Priority.HIGH, held.token)


@pytest.mark.parametrize("seconds", [0, 0.5, 3601, float("nan"), -1, "30"])
async def test_a_lease_beyond_its_bounds_is_refused(plane: ControlPlane, seconds: Any) -> None:
    await enqueue(plane)
    with pytest.raises(InvalidInput) as refused:
        await plane.queue.claim(agent_id="a-1", lease_seconds=seconds)
    assert refused.value.field == "lease_seconds"
    assert (await claim(plane, lease_seconds=3600)).lease_seconds == 3600


async def test_a_handle_is_worth_as_much_without_what_its_source_knows(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    held = evolve(await claim(plane), basis=None)
    running = evolve(await plane.queue.start(held), basis="something else")
    assert (await plane.queue.complete(running, Outcome.exited(0))).state is JobState.SUCCESS


async def test_a_job_that_is_not_there_is_not_found(plane: ControlPlane) -> None:
    with pytest.raises(NotFound) as refused:
        await plane.jobs.get("nobody")
    assert (refused.value.kind, refused.value.key) == ("job", "nobody")
