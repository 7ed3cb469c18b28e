"""Whoever repeats a call is told of its own effect, never of another call's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cicd_core.errors import LeaseLost
from cicd_core.lifecycle import leases
from cicd_core.model.job import Delivery, JobState, Verdict
from cicd_core.model.outcome import Outcome
from tests.unit.lifecycle.job_matrix import (
    ERROR,
    LATER,
    STARTED_AT,
    STRANGER,
    claim,
    claimed,
    end,
    queued,
    running,
    token_of,
)

ONCE = {"delivery": Delivery.AT_MOST_ONCE}


def test_a_release_after_the_holders_own_error_is_refused_with_what_became_of_the_job() -> None:
    held = running(**ONCE)
    ended = end(held, Outcome.error("the cluster is gone"))
    assert (ended.state, ended.attempts[-1].released) == (JobState.ERROR, False)
    with pytest.raises(LeaseLost, match=r"error now .*the cluster is gone"):
        leases.release(ended, token_of(held), now=LATER, reason="drained")


def test_an_error_after_the_holders_own_release_is_refused() -> None:
    held = running(**ONCE)
    given_back = leases.release(held, token_of(held), now=LATER, reason="drained").value
    assert (given_back.state, given_back.verdict) == (JobState.ERROR, Verdict.ERROR)
    assert given_back.attempts[-1].released
    with pytest.raises(LeaseLost, match="released after its start"):
        leases.complete(given_back, token_of(held), ERROR, now=LATER)


@pytest.mark.parametrize("fields", [{}, ONCE])
def test_a_release_that_is_repeated_changes_nothing(fields: dict[str, Delivery]) -> None:
    for held in (running(**fields), claimed(**fields)):
        given_back = leases.release(held, token_of(held), now=LATER, reason="drained").value
        assert given_back.attempts[-1].released
        again = leases.release(given_back, token_of(held), now=LATER, reason="drained")
        assert (again.changed, again.value) == (False, given_back)


def test_a_start_at_the_deadline_ends_the_job_and_one_before_it_does_not() -> None:
    deadline = STARTED_AT + timedelta(seconds=1)
    held = claimed(deadline_at=deadline)
    decision = leases.start(held, token_of(held), now=deadline)
    assert (decision.value.state, decision.value.error_message) == (
        JobState.TIMEOUT,
        "not started by its deadline 2026-11-21T12:00:16Z",
    )
    assert [event.type for event in decision.events] == ["job.timed_out"]
    early = leases.start(held, token_of(held), now=deadline - timedelta(microseconds=1)).value
    assert early.state is JobState.RUNNING
    assert not leases.missed_deadline(held)


def test_what_was_claimed_after_its_deadline_is_turned_away() -> None:
    assert not leases.missed_deadline(queued(deadline_at=LATER))
    late = claim(queued(deadline_at=LATER), at=LATER)
    assert leases.missed_deadline(late)
    decision = leases.expire_claim(late, token_of(late), now=LATER)
    assert (decision.value.state, decision.value.attempts[-1].reason) == (
        JobState.TIMEOUT,
        "claimed after its deadline",
    )
    with pytest.raises(LeaseLost):
        leases.expire_claim(late, STRANGER, now=LATER)


def test_a_job_that_is_turned_away_under_a_wrong_calendar_tells_the_steady_instant() -> None:
    late = claim(queued(deadline_at=LATER), at=LATER)
    decision = leases.expire_claim(late, token_of(late), now=LATER, steady=5)
    assert [event.data["stamp"] for event in decision.events] == [5]
