"""The place of a job in the queue."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve

from cicd_core.model.instants import to_micros
from cicd_core.model.job import Job, JobState, Priority
from cicd_core.queueing.rank import rank, rank_of

#: A stamp, in microseconds.
NOON = 1_795_262_400_000_000


def test_a_rank_is_a_digit_16_digits_of_microseconds_and_the_job() -> None:
    assert rank(Priority.NORMAL, 1_000_000, "job-1") == ("20000000001000000:job-1")


def test_a_more_urgent_job_goes_first_however_late_it_came() -> None:
    late = rank(Priority.CRITICAL, NOON + 365 * 86_400_000_000, "z")
    early = rank(Priority.HIGH, NOON, "a")
    assert late < early


def test_jobs_of_one_priority_go_in_the_order_in_which_they_were_enqueued() -> None:
    first = rank(Priority.LOW, NOON, "z")
    second = rank(Priority.LOW, NOON + 1, "a")
    assert first < second


def test_the_id_decides_between_jobs_of_the_same_microsecond() -> None:
    assert rank(Priority.LOW, NOON, "a") < rank(Priority.LOW, NOON, "b")


@pytest.mark.parametrize("priority", Priority)
def test_every_rank_has_the_same_width_before_the_id(priority: Priority) -> None:
    assert rank(priority, NOON, "j").index(":") == 17


def test_a_job_without_a_stamp_ranks_by_the_moment_of_its_enqueue() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    job = Job(job_id="j", job_type="build", state=JobState.QUEUED, created_at=moment)
    assert rank_of(job) == rank(job.priority, to_micros(moment), "j")
    assert rank_of(evolve(job, queued_stamp=5)) == rank(job.priority, 5, "j")
