"""A deadline is for the first start: what has started once is ended by its timeout only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core.lifecycle import jobs, leases
from cicd_core.model.job import Delivery, Job, JobState, RetryPolicy
from cicd_core.model.outcome import Outcome
from cicd_core.persistence.collections import job_attributes
from tests.unit.lifecycle.job_matrix import (
    AGENT,
    CLAIM_ID,
    CLAIMED_AT,
    LATER,
    STARTED_AT,
    claim,
    claimed,
    queued,
    running,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: After the first start, before the commands below.
DEADLINE = STARTED_AT + timedelta(seconds=1)
AGAIN = RetryPolicy(max_attempts=9)
LONG_AFTER = LATER + timedelta(hours=1)


def started() -> Job:
    return running(deadline_at=DEADLINE, retry=AGAIN)


BACK: dict[str, Callable[[Job], Job]] = {
    "error": lambda job: (
        leases.complete(job, token_of(job), Outcome.error("no disk"), now=LATER).value
    ),
    "release": lambda job: leases.release(job, token_of(job), now=LATER, reason="drained").value,
    "loss": lambda job: leases.expire_lease(job, now=LATER).value,
}


@pytest.mark.parametrize("how", BACK)
def test_a_job_that_has_started_waits_for_its_next_attempt_beyond_its_deadline(how: str) -> None:
    waiting = BACK[how](started())
    assert (waiting.state, waiting.start_deadline) == (JobState.QUEUED, None)
    assert not jobs.expire_deadline(waiting, now=LONG_AFTER).changed
    assert job_attributes(waiting, None)["timer"] == "paused"
    ready = jobs.promote(waiting, now=LONG_AFTER).value
    assert "timer" not in job_attributes(ready, None)


@pytest.mark.parametrize("how", BACK)
@pytest.mark.parametrize("start", [False, True])
def test_a_job_that_has_started_starts_again_beyond_its_deadline(how: str, start: bool) -> None:
    ready = jobs.promote(BACK[how](started()), now=LONG_AFTER).value
    held = leases.claim(ready, agent_id="a-2", claim_id="2" * 32, now=LONG_AFTER, start=start).value
    assert not leases.missed_deadline(held)
    assert leases.start(held, token_of(held), now=LONG_AFTER).value.state is JobState.RUNNING


def test_a_job_that_has_started_and_is_only_claimed_again_is_lost_like_any_other() -> None:
    ready = jobs.promote(BACK["error"](started()), now=LONG_AFTER).value
    held = claim(ready, at=LONG_AFTER, claim_id="2" * 32)
    assert leases.expire_lease(held, now=LONG_AFTER).value.state is JobState.QUEUED


def test_a_job_that_was_claimed_and_never_started_keeps_its_deadline() -> None:
    back = leases.release(
        claimed(deadline_at=LATER), token_of(claimed()), now=STARTED_AT, reason="drained"
    ).value
    assert back.start_deadline == LATER
    assert jobs.expire_deadline(back, now=LATER).value.state is JobState.TIMEOUT


def test_a_job_whose_handler_never_began_keeps_its_deadline() -> None:
    ready = queued(deadline_at=LATER, delivery=Delivery.AT_MOST_ONCE)
    held = leases.claim(ready, agent_id=AGENT, claim_id=CLAIM_ID, now=CLAIMED_AT, start=True).value
    back = leases.release(held, token_of(held), now=STARTED_AT, reason="no slot", began=False).value
    assert back.start_deadline == LATER
    assert jobs.expire_deadline(back, now=LATER).value.state is JobState.TIMEOUT


def test_a_job_that_goes_back_unused_after_an_earlier_start_has_no_deadline_any_more() -> None:
    ready = jobs.promote(BACK["error"](started()), now=LONG_AFTER).value
    held = leases.claim(ready, agent_id="a-2", claim_id="2" * 32, now=LONG_AFTER, start=True).value
    back = leases.release(held, token_of(held), now=LONG_AFTER, reason="no slot", began=False).value
    assert (back.first_started, back.start_deadline) == (1, None)
