"""A holder whose handler never began gives a job back unused, whatever its delivery."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cicd_core.errors import LeaseLost
from cicd_core.lifecycle import jobs, leases
from cicd_core.model.job import Delivery, Job, JobState, RetryPolicy, Verdict
from cicd_core.queueing.measures import RUN
from tests.unit.lifecycle.job_matrix import (
    AGENT,
    CLAIM_ID,
    CLAIMED_AT,
    LATER,
    asked_to_stop,
    claim,
    claimed,
    queued,
    running,
    token_of,
)

ONCE = {"delivery": Delivery.AT_MOST_ONCE}
SOON = LATER + timedelta(hours=1)


def start(**fields: object) -> Job:
    """Return a job that was claimed by an agent that starts at once."""
    ready = queued(**fields)
    return leases.claim(ready, agent_id=AGENT, claim_id=CLAIM_ID, now=CLAIMED_AT, start=True).value


def given_back(job: Job, *, began: bool = False) -> Job:
    return leases.release(job, token_of(job), now=LATER, reason="no slot", began=began).value


@pytest.mark.parametrize("delivery", Delivery)
def test_a_job_that_never_began_goes_back_unused(delivery: Delivery) -> None:
    held = start(delivery=delivery)
    assert held.state is JobState.RUNNING
    decision = leases.release(held, token_of(held), now=LATER, reason="no slot", began=False)
    back = decision.value
    assert (back.state, back.verdict, back.error_message) == (JobState.QUEUED, None, None)
    assert (back.attempts_used, back.releases, back.started_at) == (0, 1, None)
    last = back.attempts[-1]
    assert (last.released, last.started_at, last.verdict) == (True, None, None)
    assert not [each for each in decision.increments if each.name.startswith(f"{RUN}/")]


def test_an_at_most_once_job_that_went_back_unused_runs_later() -> None:
    back = given_back(start(**ONCE))
    ready = jobs.promote(back, now=SOON).value
    again = leases.claim(ready, agent_id="a-2", claim_id="2" * 32, now=SOON, start=True).value
    assert (again.state, again.attempt, again.attempts_used) == (JobState.RUNNING, 2, 1)


def test_an_at_most_once_job_that_may_have_begun_ends_in_an_error() -> None:
    assert given_back(start(**ONCE), began=True).state is JobState.ERROR


def test_a_repeated_release_of_what_never_began_changes_nothing() -> None:
    held = start(**ONCE)
    back = given_back(held)
    again = leases.release(back, token_of(held), now=LATER, reason="no slot", began=False)
    assert (again.changed, again.value) == (False, back)


def test_only_the_holder_gives_back_what_never_began() -> None:
    held = start(**ONCE)
    other = claim(queued(**ONCE), at=LATER, claim_id="f" * 32)
    with pytest.raises(LeaseLost):
        leases.release(held, token_of(other), now=LATER, reason="no slot", began=False)


def test_a_job_that_was_only_claimed_goes_back_as_before_whatever_its_holder_says() -> None:
    held = claimed(**ONCE)
    assert given_back(held, began=False) == given_back(held, began=True)


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("began", [False, True])
def test_a_released_job_whose_cancel_was_requested_is_cancelled(
    delivery: Delivery, began: bool
) -> None:
    ended = given_back(asked_to_stop(start(delivery=delivery)), began=began)
    assert (ended.state, ended.verdict) == (JobState.CANCELLED, Verdict.CANCELLED)


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("retry_on", [(), (Verdict.ERROR,)])
def test_a_lost_job_whose_cancel_was_requested_is_cancelled(
    delivery: Delivery, retry_on: tuple[Verdict, ...]
) -> None:
    held = asked_to_stop(running(delivery=delivery, retry=RetryPolicy(retry_on=retry_on)))
    ended = leases.expire_lease(held, now=LATER).value
    assert (ended.state, ended.verdict) == (JobState.CANCELLED, Verdict.CANCELLED)
    assert ended.error_message == "agent 'a-1' stopped renewing its lease"
