"""What becomes of a job whose holder is gone, and of a holder who is not the holder any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from cicd_core.errors import IllegalTransition, LeaseLost
from cicd_core.increments import Increment
from cicd_core.lifecycle import leases
from cicd_core.lifecycle.job_steps import FIRST_ATTEMPTS, LAST_ATTEMPTS, WHY_KEPT
from cicd_core.model.checks import json_bytes
from cicd_core.model.job import Delivery, Job, LeaseToken, Progress, RetryPolicy, Verdict
from cicd_core.model.outcome import Outcome
from tests.unit.lifecycle.job_matrix import (
    AGENT,
    CLAIM_ID,
    ERROR,
    LATER,
    NOON,
    RETRIED,
    STRANGER,
    SUCCESS,
    S,
    asked_to_stop,
    claim,
    claimed,
    end,
    queued,
    running,
    token_of,
    tracked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

HOUR = timedelta(hours=1)
TWICE = RetryPolicy(retry_on=RETRIED, max_attempts=2, jitter=0.0)
ONCE = RetryPolicy(retry_on=RETRIED, max_attempts=1)

#: Every verb that only the holder may use.
VERBS: dict[str, Callable[[Job, LeaseToken], Decision[Job]]] = {
    "start": lambda job, token: leases.start(job, token, now=LATER),
    "progress": lambda job, token: leases.report_progress(
        job, token, Progress(at=LATER), now=LATER
    ),
    "complete": lambda job, token: leases.complete(job, token, SUCCESS, now=LATER),
    "release": lambda job, token: leases.release(job, token, now=LATER, reason="drained"),
}


def test_a_job_that_an_agent_lost_comes_back_after_a_backoff() -> None:
    decision = leases.expire_lease(running(retry=TWICE), now=LATER)
    job = decision.value
    assert (job.state, job.run_at) == (S.QUEUED, LATER + timedelta(seconds=2))
    assert (job.attempts_used, job.verdict) == (1, Verdict.ERROR)
    assert job.error_message == "agent 'a-1' stopped renewing its lease"
    attempt = job.attempts[-1]
    assert (attempt.verdict, attempt.ended_by) == (Verdict.ERROR, "maintenance")
    assert [event.type for event in decision.events] == ["job.lease_expired"]
    assert decision.increments[-1] == Increment("ended/20261121|1200|default|retried")


def test_a_job_that_agents_keep_losing_is_a_dead_letter_in_the_end() -> None:
    decision = leases.expire_lease(running(retry=ONCE), now=LATER)
    assert decision.value.state is S.DEAD_LETTERED
    assert [event.type for event in decision.events] == ["job.dead_lettered"]


def test_a_job_whose_policy_does_not_retry_errors_ends_in_error_when_it_is_lost() -> None:
    job = leases.expire_lease(running(retry=RetryPolicy(retry_on=())), now=LATER).value
    assert (job.state, job.completed_at) == (S.ERROR, LATER)


@pytest.mark.parametrize(
    "lose",
    [
        lambda job: leases.expire_lease(job, now=LATER),
        lambda job: leases.release(job, token_of(job), now=LATER, reason="drained"),
        lambda job: leases.complete(job, token_of(job), ERROR, now=LATER),
    ],
)
def test_an_at_most_once_job_that_has_started_never_runs_a_second_time(
    lose: Callable[[Job], Decision[Job]],
) -> None:
    job = lose(running(delivery=Delivery.AT_MOST_ONCE, retry=TWICE)).value
    assert (job.state, job.verdict) == (S.ERROR, Verdict.ERROR)


@pytest.mark.parametrize(
    "lose",
    [
        lambda job: leases.expire_lease(job, now=LATER),
        lambda job: leases.release(job, token_of(job), now=LATER, reason="drained"),
        lambda job: leases.complete(job, token_of(job), ERROR, now=LATER),
    ],
)
def test_an_at_most_once_job_that_never_started_is_tried_again(
    lose: Callable[[Job], Decision[Job]],
) -> None:
    assert lose(claimed(delivery=Delivery.AT_MOST_ONCE, retry=TWICE)).value.state is S.QUEUED


def test_an_at_most_once_job_says_that_it_was_given_back() -> None:
    job = running(delivery=Delivery.AT_MOST_ONCE)
    after = leases.release(job, token_of(job), now=LATER, reason="drained").value
    assert after.error_message == "released after its start (drained), but it may run at most once"


def test_a_job_that_lasts_longer_than_it_may_times_out() -> None:
    job = leases.expire_lease(running(), now=LATER, limit_reached=True).value
    assert (job.state, job.verdict) == (S.TIMEOUT, Verdict.TIMEOUT)
    assert job.error_message == "ran longer than 3600 s on agent 'a-1'"
    again = leases.expire_lease(running(retry=TWICE), now=LATER, limit_reached=True).value
    assert (again.state, again.verdict) == (S.QUEUED, Verdict.TIMEOUT)


def test_a_job_that_was_claimed_and_never_started_is_tried_again_whatever_the_policy() -> None:
    job = leases.expire_lease(claimed(retry=RetryPolicy(retry_on=())), now=LATER).value
    assert (job.state, job.verdict) == (S.QUEUED, Verdict.ERROR)
    assert job.error_message == "agent 'a-1' claimed it but did not start it in time"
    at_its_limit = leases.expire_lease(claimed(), now=LATER, limit_reached=True).value
    assert at_its_limit.state is S.QUEUED


def test_a_job_that_was_claimed_and_not_started_by_its_deadline_times_out() -> None:
    job = leases.expire_lease(claimed(deadline_at=LATER), now=LATER).value
    assert (job.state, job.error_message) == (
        S.TIMEOUT,
        "claimed, but not started by its deadline",
    )
    early = leases.expire_lease(claimed(deadline_at=LATER + HOUR), now=LATER).value
    assert early.state is S.QUEUED


def test_nobody_can_lose_what_nobody_leased() -> None:
    with pytest.raises(IllegalTransition, match="it has no lease"):
        leases.expire_lease(tracked(), now=LATER)
    with pytest.raises(IllegalTransition):
        leases.expire_lease(queued(), now=LATER)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("make", [claimed, running])
def test_another_token_is_refused_in_every_verb(verb: str, make: Callable[[], Job]) -> None:
    job = make()
    for token in (
        STRANGER,
        LeaseToken(fence=job.fence, claim_id=STRANGER.claim_id),
        LeaseToken(fence=job.fence - 1, claim_id=CLAIM_ID),
        LeaseToken(fence=job.fence + 1, claim_id=CLAIM_ID),
    ):
        with pytest.raises(LeaseLost, match="agent 'a-1' holds the job now") as refused:
            VERBS[verb](job, token)
        assert (refused.value.job_id, refused.value.fence) == ("j-1", token.fence)


@pytest.mark.parametrize("verb", VERBS)
def test_the_token_of_an_earlier_claim_is_refused_in_every_verb(verb: str) -> None:
    lost = running(retry=TWICE)
    requeued = leases.expire_lease(lost, now=LATER).value
    taken = claim(requeued, at=LATER + HOUR, claim_id=CLAIM_ID, agent_id="a-2")
    for job in (requeued, taken):
        with pytest.raises(LeaseLost):
            VERBS[verb](job, token_of(lost))


def test_a_stale_owner_is_told_what_became_of_the_job() -> None:
    lost = running(retry=TWICE)
    requeued = leases.expire_lease(lost, now=LATER).value
    with pytest.raises(LeaseLost, match=r"the job is queued now \(agent 'a-1' stopped renewing"):
        leases.start(requeued, token_of(lost), now=LATER)
    with pytest.raises(LeaseLost, match="the job is queued now;"):
        leases.start(queued(), STRANGER, now=LATER)
    with pytest.raises(LeaseLost, match="a tracked run"):
        leases.start(tracked(), STRANGER, now=LATER)


def test_a_holder_whose_attempt_is_forgotten_is_still_refused() -> None:
    job = queued(retry=RetryPolicy(max_attempts=100))
    tokens: list[LeaseToken] = []
    for number in range(26):
        held = claim(job, at=LATER, claim_id=f"{number:032x}")
        tokens.append(token_of(held))
        job = leases.release(held, token_of(held), now=LATER, reason="drained").value
    assert (FIRST_ATTEMPTS, LAST_ATTEMPTS) == (5, 20)
    assert [each.number for each in job.attempts] == [1, 2, 3, 4, 5, *range(7, 27)]
    assert job.attempt == 26
    for verb in VERBS.values():
        with pytest.raises(LeaseLost, match="the job is queued now;"):
            verb(job, tokens[5])


def test_a_cancel_that_was_requested_does_not_stop_the_clock_of_a_hung_job() -> None:
    job = leases.expire_lease(asked_to_stop(running()), now=LATER, limit_reached=True).value
    assert job.state is S.TIMEOUT


def test_of_what_a_holder_says_the_end_is_kept() -> None:
    long = Outcome.error("x" * 10_000 + "the end", logs_summary="y" * 40_000 + "the end")
    for policy in (RetryPolicy(retry_on=()), TWICE, ONCE):
        decision = leases.complete(running(retry=policy), token_of(running()), long, now=LATER)
        job = decision.value
        assert job.error_message is not None
        assert job.logs_summary is not None
        assert json_bytes(job.error_message) == 4096
        assert json_bytes(job.logs_summary) == 16_384
        attempt, step, told = job.attempts[-1], job.history[-1], decision.events[0].data["reason"]
        assert attempt.reason is not None
        for kept in (attempt.reason, step.reason, told):
            assert (json_bytes(kept), kept[-7:]) == (WHY_KEPT, "the end")


def test_the_logs_of_an_attempt_are_kept_whether_or_not_it_was_the_last() -> None:
    told = Outcome.error("no disk", logs_url="https://logs/1", logs_summary="the end")
    for policy in (RetryPolicy(retry_on=()), TWICE, ONCE):
        job = end(running(retry=policy), told)
        assert (job.logs_url, job.logs_summary) == ("https://logs/1", "the end")


def test_an_attempt_that_errored_leaves_no_exit_code_of_an_earlier_one() -> None:
    failed = end(running(retry=TWICE), Outcome.exited(3))
    assert failed.exit_code == 3
    again = claim(failed, at=LATER, claim_id="2" * 32)
    lost = leases.expire_lease(evolve(again), now=LATER + HOUR).value
    assert (lost.exit_code, lost.verdict) == (None, Verdict.ERROR)


def test_the_holder_stays_named_after_the_attempt_has_ended() -> None:
    job = end(running(retry=TWICE), ERROR)
    assert (job.agent_id, job.attempts[-1].agent_id) == (AGENT, AGENT)
    assert job.queued_at == NOON
