"""What the holder of a job does, and what happens when it is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.errors import IllegalTransition, InvalidInput, LeaseLost
from cicd_core.increments import Increment
from cicd_core.lifecycle import leases
from cicd_core.model.checks import json_bytes
from cicd_core.model.instants import to_micros
from cicd_core.model.job import (
    Delivery,
    Job,
    LeaseToken,
    Progress,
    RetryPolicy,
    Verdict,
)
from cicd_core.model.outcome import Outcome
from tests.unit.lifecycle.job_matrix import (
    AGENT,
    CANCELLED,
    CLAIM_ID,
    CLAIMED_AT,
    ERROR,
    FAILED,
    LATER,
    NOON,
    RETRIED,
    STARTED_AT,
    SUCCESS,
    TIMEOUT,
    S,
    asked_to_stop,
    claim,
    claimed,
    end,
    queued,
    running,
    start,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

HOUR = timedelta(hours=1)
TWICE = RetryPolicy(retry_on=RETRIED, max_attempts=2, jitter=0.0)
ONCE = RetryPolicy(retry_on=RETRIED, max_attempts=1)


def release(job: Job, *, reason: str = "drained") -> Decision[Job]:
    return leases.release(job, token_of(job), now=LATER, reason=reason)


def test_a_claim_gives_the_job_to_one_agent_under_a_token() -> None:
    decision = leases.claim(queued(), agent_id=AGENT, claim_id=CLAIM_ID, now=CLAIMED_AT)
    job = decision.value
    assert (job.state, job.agent_id, job.claimed_at) == (S.CLAIMED, AGENT, CLAIMED_AT)
    assert job.token == LeaseToken(fence=to_micros(CLAIMED_AT), claim_id=CLAIM_ID)
    assert (job.attempt, job.attempts_used, job.started_at) == (1, 1, None)
    (attempt,) = job.attempts
    assert (attempt.number, attempt.agent_id, attempt.token) == (1, AGENT, job.token)
    assert (attempt.claimed_at, attempt.ended_at, attempt.verdict) == (CLAIMED_AT, None, None)
    (event,) = decision.events
    assert (event.type, event.at) == ("job.claimed", CLAIMED_AT)
    assert (event.data["actor"], event.data["attempt"]) == (AGENT, 1)
    assert event.data["fence"] == to_micros(CLAIMED_AT)


def test_a_claim_counts_how_long_the_job_was_ready() -> None:
    decision = leases.claim(queued(), agent_id=AGENT, claim_id=CLAIM_ID, now=CLAIMED_AT)
    assert Increment("wait/20261121|default|ms", 10_000) in decision.increments
    early = leases.claim(queued(), agent_id=AGENT, claim_id=CLAIM_ID, now=NOON - HOUR)
    assert Increment("wait/20261121|default|ms", 0) in early.increments
    unready = leases.claim(evolve(queued(), ready_at=None), agent_id="a", claim_id="c", now=LATER)
    assert Increment("wait/20261121|default|ms", 0) in unready.increments


def test_a_claim_that_starts_at_once_is_a_claim_and_a_start() -> None:
    both = leases.claim(queued(), agent_id=AGENT, claim_id=CLAIM_ID, now=CLAIMED_AT, start=True)
    held = claim(queued(), at=CLAIMED_AT)
    assert both.value == start(held, at=CLAIMED_AT)
    assert [event.type for event in both.events] == ["job.claimed", "job.started"]
    assert [step.target for step in both.value.history[-2:]] == [S.CLAIMED, S.RUNNING]
    assert Increment("wait/20261121|default|n") in both.increments


def test_the_fence_is_the_time_or_one_more_than_the_last_one() -> None:
    first = claim(queued(), at=CLAIMED_AT)
    returned = release(first).value
    a_clock_that_went_back = claim(returned, at=NOON - HOUR, claim_id="2" * 32)
    assert a_clock_that_went_back.fence == first.fence + 1
    restored_from_a_backup = evolve(returned, fence=0)
    assert claim(restored_from_a_backup, at=LATER).fence == to_micros(LATER) > first.fence


def test_a_new_claim_forgets_what_the_last_one_left_behind() -> None:
    told = leases.report_progress(
        running(), token_of(running()), Progress(at=LATER, percent=5), now=LATER
    )
    again = claim(release(told.value).value, at=LATER + HOUR, claim_id="2" * 32)
    assert (again.started_at, again.completed_at, again.progress) == (None, None, None)
    assert (again.attempt, again.claimed_at) == (2, LATER + HOUR)


def test_a_start_is_acknowledged_and_a_second_one_changes_nothing() -> None:
    job = claimed()
    decision = leases.start(job, token_of(job), now=STARTED_AT)
    started = decision.value
    assert (started.state, started.started_at) == (S.RUNNING, STARTED_AT)
    assert started.attempts[-1].started_at == STARTED_AT
    assert [event.type for event in decision.events] == ["job.started"]
    assert not leases.start(started, token_of(job), now=LATER).changed


def test_progress_is_kept_and_told() -> None:
    job = running()
    told = Progress(at=LATER, percent=42.5, message="linking")
    decision = leases.report_progress(job, token_of(job), told, now=LATER)
    assert decision.value.progress == told
    (event,) = decision.events
    assert event.type == "job.progress"
    assert event.data == {"percent": 42.5, "message": "linking", "attempt": 1}


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), "50", True])
def test_progress_is_0_to_100_percent(percent: Any) -> None:
    job = running()
    for edge in (0, 100, None):
        leases.report_progress(job, token_of(job), Progress(at=LATER, percent=edge), now=LATER)
    with pytest.raises(InvalidInput) as refused:
        leases.report_progress(job, token_of(job), Progress(at=LATER, percent=percent), now=LATER)
    assert refused.value.field == "percent"


def test_what_work_says_of_itself_is_shortened_and_made_storable() -> None:
    job = running()
    long = Progress(at=LATER, message="x" * 5000 + "caf\udce9")
    kept = leases.report_progress(job, token_of(job), long, now=LATER).value.progress
    assert kept is not None
    assert kept.message is not None
    assert json_bytes(kept.message) == 4096
    assert kept.message.endswith("caf?")


def test_progress_needs_a_start() -> None:
    job = claimed()
    with pytest.raises(IllegalTransition):
        leases.report_progress(job, token_of(job), Progress(at=LATER), now=LATER)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [(SUCCESS, "job.succeeded"), (FAILED, "job.failed"), (TIMEOUT, "job.timed_out")],
)
def test_a_verdict_that_the_policy_does_not_retry_is_final(outcome: Outcome, told: str) -> None:
    decision = leases.complete(running(), token_of(running()), outcome, now=LATER)
    job = decision.value
    assert job.state.value == outcome.verdict.value
    assert (job.verdict, job.exit_code) == (outcome.verdict, outcome.exit_code)
    assert (job.completed_at, job.duration_seconds) == (LATER, 285.0)
    assert job.attempts[-1].own_verdict is outcome.verdict
    assert job.attempts[-1].exit_code == outcome.exit_code
    (event,) = decision.events
    assert (event.type, event.data["exit_code"]) == (told, outcome.exit_code)
    assert decision.increments[-1] == Increment(f"ended/20261121|1200|default|{job.state.value}")
    assert Increment("run/20261121|default|ms", 285_000) in decision.increments


def test_exit_code_0_is_kept_as_0_and_a_missing_one_as_missing() -> None:
    assert end(running(), SUCCESS).exit_code == 0
    assert end(running(), Outcome.success()).exit_code is None


@pytest.mark.parametrize("outcome", [FAILED, TIMEOUT, ERROR])
def test_a_verdict_that_the_policy_retries_leads_to_another_attempt_after_a_backoff(
    outcome: Outcome,
) -> None:
    decision = leases.complete(running(retry=TWICE), token_of(running()), outcome, now=LATER)
    job = decision.value
    assert (job.state, job.run_at, job.ready_at) == (S.QUEUED, LATER + timedelta(seconds=2), None)
    assert (job.queued_at, job.verdict) == (NOON, outcome.verdict)
    assert (job.exit_code, job.error_message) == (outcome.exit_code, outcome.error_message)
    assert (job.attempts_used, job.completed_at) == (1, None)
    assert [event.type for event in decision.events] == ["job.retried"]
    assert decision.increments[-1] == Increment("ended/20261121|1200|default|retried")


def test_the_backoff_grows_with_the_attempts() -> None:
    policy = RetryPolicy(max_attempts=5, jitter=0.0)
    job = end(running(retry=policy), ERROR)
    second = start(claim(job, at=LATER, claim_id="2" * 32), at=LATER)
    assert end(second, ERROR).run_at == LATER + timedelta(seconds=4)


def test_what_is_tried_again_says_with_which_exit_code_it_ended() -> None:
    def why(outcome: Outcome) -> str:
        return end(running(retry=TWICE), outcome).history[-1].reason

    assert why(FAILED) == "failed, exit code 1"
    assert why(Outcome(verdict=Verdict.TIMEOUT)) == "timeout"
    assert why(ERROR) == "no disk"


def test_when_the_attempts_are_used_up_it_is_a_dead_letter_and_no_verdict() -> None:
    decision = leases.complete(running(retry=ONCE), token_of(running()), FAILED, now=LATER)
    job = decision.value
    assert (job.state, job.is_final, job.verdict) == (S.DEAD_LETTERED, False, Verdict.FAILED)
    assert (job.completed_at, job.attempts_used) == (LATER, 1)
    assert job.history[-1].reason == "attempt 1 of 1: failed, exit code 1"
    assert [event.type for event in decision.events] == ["job.dead_lettered"]
    assert decision.increments[-1] == Increment("ended/20261121|1200|default|dead_lettered")


@pytest.mark.parametrize("outcome", [SUCCESS, FAILED, TIMEOUT, ERROR, CANCELLED])
def test_the_same_verdict_again_is_a_no_op_and_another_one_is_refused(outcome: Outcome) -> None:
    job = asked_to_stop(running(retry=RetryPolicy(retry_on=())))
    token = token_of(job)
    ended = end(job, outcome)
    assert not leases.complete(ended, token, outcome, now=LATER + HOUR).changed
    others = {SUCCESS, FAILED, TIMEOUT, ERROR, CANCELLED} - {outcome}
    for other in others:
        with pytest.raises(LeaseLost):
            leases.complete(ended, token, other, now=LATER)


def test_a_verdict_repeated_after_the_next_claim_is_still_recognised() -> None:
    job = running(retry=TWICE)
    token = token_of(job)
    taken = claim(end(job, ERROR), at=LATER, claim_id="2" * 32, agent_id="a-2")
    assert not leases.complete(taken, token, ERROR, now=LATER).changed
    with pytest.raises(LeaseLost, match="agent 'a-2' holds the job now"):
        leases.complete(taken, token, SUCCESS, now=LATER)


def test_what_was_taken_away_is_no_verdict_of_the_holder() -> None:
    job = running()
    lost = leases.expire_lease(job, now=LATER).value
    assert lost.attempts[-1].verdict is Verdict.ERROR
    with pytest.raises(LeaseLost, match="stopped renewing its lease"):
        leases.complete(lost, token_of(job), ERROR, now=LATER)


@pytest.mark.parametrize("outcome", [SUCCESS, FAILED, TIMEOUT])
def test_a_verdict_of_the_jobs_own_needs_an_acknowledged_start(outcome: Outcome) -> None:
    with pytest.raises(IllegalTransition, match="it needs an acknowledged start"):
        leases.complete(claimed(), token_of(claimed()), outcome, now=LATER)


def test_an_agent_that_cannot_even_start_may_say_so() -> None:
    job = end(claimed(), ERROR)
    assert (job.state, job.verdict) == (S.QUEUED, Verdict.ERROR)


def test_a_cancel_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="release it instead"):
        end(running(), CANCELLED)


def test_the_holder_confirms_a_cancel() -> None:
    job = end(asked_to_stop(running()), CANCELLED)
    assert (job.state, job.verdict, job.completed_at) == (S.CANCELLED, Verdict.CANCELLED, LATER)
    assert job.cancel_reason == "wrong branch"


@pytest.mark.parametrize(
    "leave",
    [
        lambda job: leases.complete(job, token_of(job), ERROR, now=LATER),
        lambda job: leases.release(job, token_of(job), now=LATER, reason="drained"),
        lambda job: leases.expire_lease(job, now=LATER),
    ],
)
@pytest.mark.parametrize("policy", [TWICE, ONCE])
def test_once_a_cancel_is_requested_it_is_never_queued_or_dead_lettered_again(
    leave: Callable[[Job], Decision[Job]], policy: RetryPolicy
) -> None:
    decision = leave(asked_to_stop(running(retry=policy)))
    job = decision.value
    assert (job.state, job.verdict, job.completed_at) == (S.CANCELLED, Verdict.CANCELLED, LATER)
    assert job.history[-1].reason.startswith("cancel requested: wrong branch; ")
    assert [event.type for event in decision.events] == ["job.cancelled"]
    assert decision.increments[-1] == Increment("ended/20261121|1200|default|cancelled")


@pytest.mark.parametrize("outcome", [SUCCESS, FAILED, TIMEOUT])
def test_a_final_verdict_from_the_holder_stands_although_a_cancel_was_requested(
    outcome: Outcome,
) -> None:
    assert end(asked_to_stop(running()), outcome).state.value == outcome.verdict.value


def test_a_release_uses_no_attempt_and_waits_twice_as_long_each_time() -> None:
    job = queued()
    waits = []
    for number in range(3):
        held = claim(job, at=LATER, claim_id=f"{number:032x}")
        job = release(held).value
        assert job.run_at is not None
        waits.append((job.run_at - LATER).total_seconds())
    assert waits == [1.0, 2.0, 4.0]
    assert (job.attempt, job.attempts_used, job.releases) == (3, 0, 3)
    assert (job.verdict, job.attempts[-1].verdict) == (None, None)
    assert job.attempts[-1].reason == "released: drained"


def test_a_release_is_counted_and_told() -> None:
    decision = release(running())
    assert [event.type for event in decision.events] == ["job.released"]
    assert decision.events[0].data["verdict"] is None
    assert decision.increments[-1] == Increment("ended/20261121|1200|default|released")


def test_every_tenth_release_in_a_row_uses_an_attempt() -> None:
    job = queued(retry=RetryPolicy(max_attempts=3))
    used = []
    for number in range(30):
        assert job.state is S.QUEUED
        job = release(claim(job, at=LATER, claim_id=f"{number:032x}")).value
        used.append(job.attempts_used)
    assert used == [0] * 9 + [1] * 10 + [2] * 10 + [3]
    assert (job.state, job.attempt) == (S.DEAD_LETTERED, 30)


def test_a_verdict_ends_the_row_of_releases() -> None:
    nine = evolve(running(retry=RetryPolicy(max_attempts=9)), releases=9)
    tried = end(nine, ERROR)
    assert (tried.releases, tried.attempts_used) == (0, 1)
    assert end(nine, SUCCESS).releases == 0
    assert release(claim(tried, at=LATER)).value.attempts_used == 1


def test_the_same_release_again_is_a_no_op() -> None:
    for job in (claimed(), running(), running(delivery=Delivery.AT_MOST_ONCE)):
        released = release(job).value
        again = leases.release(released, token_of(job), now=LATER + HOUR, reason="drained")
        assert not again.changed


def test_a_release_after_a_verdict_is_refused() -> None:
    job = running(retry=TWICE)
    with pytest.raises(LeaseLost):
        leases.release(end(job, ERROR), token_of(job), now=LATER, reason="drained")
    with pytest.raises(LeaseLost):
        leases.release(end(job, SUCCESS), token_of(job), now=LATER, reason="drained")
