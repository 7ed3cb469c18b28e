"""The views of a job that users know, and what follows from its fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from cicd_core.model.job import (
    FINAL_STATES,
    QUEUE_STATUS,
    Attempt,
    Job,
    JobState,
    JobStatus,
    LeaseToken,
    Priority,
    QueueStatus,
    Verdict,
)

S = JobState
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
JOB = Job(job_id="j-1", job_type="build", state=S.PENDING, created_at=NOON)
ATTEMPT = Attempt(number=1, agent_id="a-1", fence=7, claim_id="c" * 32, claimed_at=NOON)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("state", "status", "queue_status"),
    [
        (S.PENDING, JobStatus.PENDING, None),
        (S.QUEUED, JobStatus.QUEUED, QueueStatus.QUEUED),
        (S.CLAIMED, JobStatus.QUEUED, QueueStatus.CLAIMED),
        (S.RUNNING, JobStatus.RUNNING, QueueStatus.RUNNING),
        (S.SUCCESS, JobStatus.SUCCESS, QueueStatus.COMPLETED),
        (S.FAILED, JobStatus.FAILED, QueueStatus.FAILED),
        (S.TIMEOUT, JobStatus.TIMEOUT, QueueStatus.FAILED),
        (S.ERROR, JobStatus.ERROR, QueueStatus.FAILED),
        (S.CANCELLED, JobStatus.CANCELLED, QueueStatus.CANCELLED),
        (S.DEAD_LETTERED, JobStatus.ERROR, QueueStatus.DEAD_LETTERED),
    ],
)
def test_the_dashboard_and_the_queue_each_see_their_own_status(
    state: JobState, status: JobStatus, queue_status: QueueStatus | None
) -> None:
    job = evolve(JOB, state=state)
    assert (job.status, job.queue_status) == (status, queue_status)


def test_every_state_has_its_views() -> None:
    assert set(QUEUE_STATUS) == set(JobState)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR])
def test_a_dead_letter_reads_as_its_last_verdict(verdict: Verdict) -> None:
    assert evolve(JOB, state=S.DEAD_LETTERED, verdict=verdict).status.value == verdict.value


def test_five_states_are_final_and_a_dead_letter_is_none_of_them() -> None:
    assert {S.SUCCESS, S.FAILED, S.TIMEOUT, S.ERROR, S.CANCELLED} == FINAL_STATES
    assert {state for state in S if evolve(JOB, state=state).is_final} == FINAL_STATES


def test_critical_goes_before_high_before_normal_before_low() -> None:
    assert sorted(Priority) == [Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW]


def test_a_job_has_a_token_from_its_first_claim_on() -> None:
    assert JOB.token is None
    assert evolve(JOB, fence=7, claim_id="c").token == LeaseToken(fence=7, claim_id="c")
    assert ATTEMPT.token == LeaseToken(fence=7, claim_id="c" * 32)


def test_an_attempt_has_a_verdict_of_its_own_only_when_its_holder_reported_it() -> None:
    reported = evolve(ATTEMPT, verdict=Verdict.FAILED, ended_by="a-1")
    assert reported.own_verdict is Verdict.FAILED
    assert evolve(reported, ended_by="maintenance").own_verdict is None


def test_a_job_that_never_ran_took_no_time() -> None:
    assert JOB.duration_seconds is None
    assert evolve(JOB, completed_at=NOON).duration_seconds is None
    claimed = evolve(JOB, completed_at=later(5), attempts=(evolve(ATTEMPT, ended_at=later(5)),))
    assert claimed.duration_seconds is None


def test_a_job_takes_as_long_as_its_last_attempt_ran() -> None:
    running = evolve(ATTEMPT, number=2, started_at=later(100))
    job = evolve(JOB, started_at=later(100), attempts=(ATTEMPT, running))
    assert job.duration_seconds is None
    ended = evolve(job, attempts=(ATTEMPT, evolve(running, ended_at=later(130.5))))
    assert ended.duration_seconds == 30.5
    cancelled_a_day_later = evolve(ended, completed_at=later(86_400))
    assert cancelled_a_day_later.duration_seconds == 30.5


def test_a_tracked_run_takes_from_its_start_to_its_end() -> None:
    tracked = evolve(JOB, tracked=True, started_at=later(1), completed_at=later(61))
    assert tracked.duration_seconds == 60.0


def test_no_run_takes_less_than_no_time() -> None:
    assert evolve(JOB, started_at=later(5), completed_at=NOON).duration_seconds == 0.0


def test_a_job_is_never_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        JOB.state = S.QUEUED  # type: ignore[misc] # the very thing that must not work
