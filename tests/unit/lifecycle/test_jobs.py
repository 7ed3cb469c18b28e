"""What callers and timers do to a job."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve, fields

from cicd_core.errors import IllegalTransition, InvalidInput
from cicd_core.increments import Increment
from cicd_core.lifecycle import jobs, leases
from cicd_core.lifecycle.job_steps import FIRST_STEPS, LAST_STEPS, WHY_KEPT
from cicd_core.model.checks import json_bytes
from cicd_core.model.git import GitContext
from cicd_core.model.job import (
    Delivery,
    JobStatus,
    Priority,
    RetryPolicy,
    Transition,
    Verdict,
)
from cicd_core.model.spec import JobSpec, checked
from tests.unit.lifecycle.job_matrix import (
    CLAIMED_AT,
    ERROR,
    LATER,
    NOON,
    STARTED_AT,
    S,
    asked_to_stop,
    claim,
    claimed,
    created,
    dead_letter,
    end,
    queued,
    running,
    token_of,
    tracked,
)

HOUR = timedelta(hours=1)


def test_a_new_job_is_what_its_spec_asks_for() -> None:
    spec = checked(
        JobSpec(
            job_type="deploy",
            payload={"to": "eu"},
            pool_name="fast",
            priority=Priority.HIGH,
            labels=("linux",),
            git=GitContext(repo="/srv/shop.git"),
            tags=("nightly",),
            metadata={"team": "shop"},
            delivery=Delivery.AT_MOST_ONCE,
            retry=RetryPolicy(max_attempts=7),
            timeout_seconds=60.0,
            run_at=NOON + HOUR,
            deadline_at=NOON + 2 * HOUR,
            idempotency_key="push 17",
        )
    )
    decision = jobs.create(spec, job_id="j-9", now=NOON, actor="ann", request_hash="5eed")
    job = decision.value
    relative = {"delay_seconds", "deadline_seconds"}  # instants have taken their place
    for each in (each for each in fields(JobSpec) if each.name not in relative):
        assert getattr(job, each.name) == getattr(spec, each.name), each.name
    assert (job.job_id, job.state, job.created_at) == ("j-9", S.PENDING, NOON)
    assert (job.max_attempts, job.request_hash) == (7, "5eed")
    assert (job.attempt, job.attempts_used, job.fence, job.queued_at) == (0, 0, 0, None)
    assert job.history == (
        Transition(source=None, target=S.PENDING, at=NOON, actor="ann", reason="created"),
    )
    (event,) = decision.events
    assert (event.type, event.at) == ("job.created", NOON)
    assert event.data == {"to": "pending", "actor": "ann", "job_type": "deploy", "pool": "fast"}


def test_a_job_that_is_enqueued_is_ready_at_once() -> None:
    decision = jobs.submit(created(), now=LATER, actor="ann")
    job = decision.value
    assert (job.queued_at, job.ready_at) == (LATER, LATER)
    (event,) = decision.events
    assert event.type == "job.enqueued"
    assert (event.data["from"], event.data["to"], event.data["actor"]) == (
        "pending",
        "queued",
        "ann",
    )
    assert (event.data["priority"], event.data["pool"]) == ("normal", "default")


def test_a_job_with_a_run_at_waits_for_it_and_a_moment_ago_is_now() -> None:
    delayed = jobs.submit(created(run_at=NOON + HOUR), now=NOON, actor="ann").value
    assert (delayed.queued_at, delayed.ready_at) == (NOON, None)
    assert delayed.history[-1].reason == "delayed until 2026-11-21T13:00:00Z"
    assert jobs.submit(created(run_at=NOON), now=NOON, actor="ann").value.ready_at == NOON


def test_a_job_that_an_agent_had_already_is_not_enqueued_again() -> None:
    returned = leases.release(claimed(), token_of(claimed()), now=LATER, reason="drained").value
    assert returned.state is S.QUEUED
    with pytest.raises(IllegalTransition):
        jobs.submit(returned, now=LATER, actor="ann")


def test_the_wait_of_a_delayed_job_is_measured_from_the_moment_it_was_due() -> None:
    delayed = queued(run_at=NOON + HOUR)
    looked = NOON + HOUR + timedelta(seconds=30)
    decision = jobs.promote(delayed, now=looked)
    assert decision.value.ready_at == NOON + HOUR
    assert [event.type for event in decision.events] == ["job.promoted"]
    found = leases.claim(decision.value, agent_id="a-1", claim_id="1" * 32, now=looked)
    assert Increment("wait/20261121|default|ms", 30_000) in found.increments


def test_a_delayed_job_becomes_ready_at_its_moment_and_not_before() -> None:
    delayed = queued(run_at=NOON + HOUR)
    assert not jobs.promote(delayed, now=NOON + HOUR - timedelta(microseconds=1)).changed
    assert jobs.promote(delayed, now=NOON + HOUR).changed


def test_a_job_without_a_moment_that_is_not_ready_becomes_ready_now() -> None:
    odd = evolve(queued(), ready_at=None)
    assert jobs.promote(odd, now=LATER).value.ready_at == LATER


def test_a_promotion_keeps_the_place_in_the_queue() -> None:
    promoted = jobs.promote(queued(run_at=NOON + HOUR), now=LATER + HOUR).value
    assert promoted.queued_at == NOON


@pytest.mark.parametrize("job", [created(), queued(), dead_letter()])
def test_what_nobody_runs_is_cancelled_at_once(job: Any) -> None:
    decision = jobs.cancel(job, now=LATER, actor="bob", reason="wrong branch")
    after = decision.value
    assert (after.state, after.verdict, after.completed_at) == (
        S.CANCELLED,
        Verdict.CANCELLED,
        LATER,
    )
    assert (after.cancel_requested_at, after.cancel_reason) == (LATER, "wrong branch")
    assert after.attempts == job.attempts
    assert decision.increments == (Increment("ended/20261121|1200|default|cancelled"),)
    (event,) = decision.events
    assert (event.type, event.data["actor"]) == ("job.cancelled", "bob")
    assert event.data["reason"] == "wrong branch"


def test_the_holder_of_a_claimed_job_loses_it_to_a_cancel() -> None:
    job = claimed()
    after = jobs.cancel(job, now=LATER, actor="bob", reason="no").value
    (attempt,) = after.attempts
    assert (attempt.ended_at, attempt.ended_by, attempt.verdict) == (
        LATER,
        "bob",
        Verdict.CANCELLED,
    )
    assert attempt.reason == "no"
    assert after.token == job.token


def test_a_running_job_is_asked_to_stop_and_goes_on_until_its_holder_says_so() -> None:
    decision = jobs.cancel(running(), now=LATER, actor="bob", reason="no")
    job = decision.value
    assert (job.state, job.cancel_requested_at, job.cancel_reason) == (S.RUNNING, LATER, "no")
    assert (job.attempts, job.completed_at) == (running().attempts, None)
    (event,) = decision.events
    assert (event.type, event.data) == ("job.cancel_requested", {"actor": "bob", "reason": "no"})


def test_the_first_request_to_stop_stands() -> None:
    asked = asked_to_stop(running())
    again = jobs.cancel(asked, now=LATER, actor="eve", reason="another one")
    assert not again.changed
    assert again.value.cancel_reason == "wrong branch"


def test_a_tracked_run_is_cancelled_at_once_since_nobody_here_could_confirm_it() -> None:
    decision = jobs.cancel(tracked(), now=LATER, actor="bob", reason="no")
    assert decision.value.state is S.CANCELLED
    assert Increment("run/20261121|default|ms", 300_000) in decision.increments


def test_the_first_reason_to_cancel_a_tracked_run_stands() -> None:
    asked = jobs.request_cancel(tracked(), now=STARTED_AT, actor="bob", reason="wrong branch").value
    cancelled = jobs.cancel(asked, now=LATER, actor="eve", reason="another one").value
    assert (cancelled.cancel_requested_at, cancelled.cancel_reason) == (STARTED_AT, "wrong branch")


def test_another_priority_leaves_the_place_among_equals() -> None:
    decision = jobs.reprioritise(queued(), Priority.CRITICAL, now=LATER, actor="bob")
    assert (decision.value.priority, decision.value.queued_at) == (Priority.CRITICAL, NOON)
    (event,) = decision.events
    assert event.type == "job.reprioritised"
    assert event.data == {"actor": "bob", "from": "normal", "to": "critical"}
    assert not jobs.reprioritise(queued(), Priority.NORMAL, now=LATER, actor="bob").changed


@pytest.mark.parametrize("priority", [0, "urgent", None])
def test_what_is_no_priority_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        jobs.reprioritise(queued(), priority, now=LATER, actor="bob")
    assert refused.value.field == "priority"


@pytest.mark.parametrize("make", [created, queued, claimed])
def test_what_has_not_started_by_its_deadline_times_out(make: Any) -> None:
    job = make(deadline_at=LATER)
    assert not jobs.expire_deadline(job, now=LATER - timedelta(microseconds=1)).changed
    decision = jobs.expire_deadline(job, now=LATER)
    after = decision.value
    assert (after.state, after.verdict, after.completed_at) == (S.TIMEOUT, Verdict.TIMEOUT, LATER)
    assert after.error_message == "not started by its deadline 2026-11-21T12:05:00Z"
    assert decision.increments == (Increment("ended/20261121|1200|default|timeout"),)
    assert [event.type for event in decision.events] == ["job.timed_out"]
    assert all(attempt.ended_at == LATER for attempt in after.attempts)
    assert all(attempt.verdict is Verdict.TIMEOUT for attempt in after.attempts)


@pytest.mark.parametrize("make", [running, tracked])
def test_a_deadline_does_not_end_what_has_started(make: Any) -> None:
    with pytest.raises(IllegalTransition):
        jobs.expire_deadline(make(deadline_at=LATER), now=LATER)


def test_a_job_without_a_deadline_has_no_end_to_its_patience() -> None:
    assert not jobs.expire_deadline(queued(), now=LATER + 10_000 * HOUR).changed


def test_replay_raises_the_allowance_and_neither_attempt_nor_fence_restarts() -> None:
    dead = dead_letter()
    decision = jobs.replay(dead, now=LATER, actor="bob")
    job = decision.value
    assert (job.attempt, job.fence, job.attempts_used) == (dead.attempt, dead.fence, 1)
    assert (dead.max_attempts, job.max_attempts) == (1, 2)
    assert (job.queued_at, job.ready_at) == (LATER, LATER)
    assert (job.run_at, job.deadline_at, job.completed_at) == (None, None, None)
    assert job.attempts == dead.attempts
    (event,) = decision.events
    assert (event.type, event.data["actor"], event.data["attempts"]) == ("job.replayed", "bob", 1)
    claimed_again = claim(job, at=LATER + HOUR, claim_id="2" * 32)
    assert claimed_again.attempt == 2
    assert claimed_again.fence > dead.fence


def test_a_replay_may_allow_more_attempts_than_the_policy() -> None:
    job = jobs.replay(dead_letter(), now=LATER, actor="bob", attempts=5).value
    assert job.max_attempts == 6
    assert job.history[-1].reason == "replayed with 5 more attempts"


def test_a_replayed_job_is_not_ended_by_the_deadline_that_it_has_missed() -> None:
    spec = {"deadline_at": NOON + HOUR, "retry": RetryPolicy(max_attempts=1)}
    replayed = jobs.replay(end(running(**spec), ERROR), now=NOON + 2 * HOUR, actor="bob").value
    assert not jobs.expire_deadline(replayed, now=NOON + 3 * HOUR).changed


def test_ten_releases_before_a_replay_do_not_count_after_it() -> None:
    dead = evolve(dead_letter(), releases=9)
    replayed = jobs.replay(dead, now=LATER, actor="bob").value
    held = claim(replayed, at=LATER)
    returned = leases.release(held, token_of(held), now=LATER, reason="drained").value
    assert (returned.state, returned.attempts_used) == (S.QUEUED, 1)


@pytest.mark.parametrize("attempts", [0, 101, -1, 2.5, "3", True])
def test_a_number_of_attempts_that_cannot_be_is_refused(attempts: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        jobs.replay(dead_letter(), now=LATER, actor="bob", attempts=attempts)
    assert refused.value.field == "attempts"


def test_a_long_reason_is_shortened_in_the_history_and_in_the_event() -> None:
    decision = jobs.cancel(queued(), now=LATER, actor="bob", reason="x" * 1000 + "the end")
    reason = decision.value.history[-1].reason
    assert (json_bytes(reason), reason[-7:]) == (WHY_KEPT, "the end")
    assert decision.events[0].data["reason"] == reason


def test_a_transition_without_a_reason_says_what_happened() -> None:
    assert (
        jobs.cancel(queued(), now=LATER, actor="bob", reason="").value.history[-1].reason
        == "cancelled"
    )


def test_of_the_history_the_first_ten_transitions_and_the_newest_thirty_are_kept() -> None:
    job, whole = queued(retry=RetryPolicy(max_attempts=100)), list(queued().history)
    for number in range(100):
        held = claim(job, at=NOON + timedelta(seconds=number), claim_id=f"{number:032x}")
        job = leases.release(held, token_of(held), now=LATER, reason=f"release {number}").value
        whole += [held.history[-1], job.history[-1]]
        if len(whole) <= 40:
            assert (job.history, job.history_left_out) == (tuple(whole), 0)
    assert (FIRST_STEPS, LAST_STEPS) == (10, 30)
    assert job.history == (*whole[:10], *whole[-30:])
    assert job.history_left_out == len(whole) - 40 == 162


def test_a_job_that_was_tried_before_and_is_cancelled_in_the_queue_took_as_long_as_it_ran() -> None:
    tried = end(running(), ERROR, at=STARTED_AT + timedelta(seconds=20))
    assert (tried.state, tried.duration_seconds) == (S.QUEUED, 20.0)
    stopped = jobs.cancel(tried, now=LATER, actor="bob", reason="no").value
    assert stopped.duration_seconds == 20.0


def test_a_dead_letter_that_is_cancelled_reads_as_cancelled() -> None:
    dead = dead_letter()
    assert dead.status is JobStatus.ERROR
    after = jobs.cancel(dead, now=LATER, actor="bob", reason="no").value
    assert (after.status, after.attempts) == (JobStatus.CANCELLED, dead.attempts)


def test_the_matrix_claims_and_starts_at_different_moments() -> None:
    assert (running().claimed_at, running().started_at) == (CLAIMED_AT, STARTED_AT)
