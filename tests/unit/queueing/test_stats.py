"""The state of a queue in a few numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cicd_core.model.job import QueueStatus
from cicd_core.queueing.histogram import bucket_of
from cicd_core.queueing.measures import Durations, Measured, begin_of_day, begin_of_slot
from cicd_core.queueing.stats import QueueStats, queue_stats

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def stats(**changes: Any) -> QueueStats:
    facts: dict[str, Any] = {
        "as_of": NOW,
        "since": NOW - timedelta(days=1),
        "depth": {},
        "delayed": 0,
        "measured": Measured(),
        "oldest_ready_at": None,
    }
    return queue_stats(**facts | changes)


def test_an_empty_queue_has_every_status_and_no_durations() -> None:
    empty = stats()
    assert empty.depth == dict.fromkeys(QueueStatus, 0)
    assert (empty.ready, empty.leased, empty.delayed) == (0, 0, 0)
    assert empty.average_wait_seconds is None
    assert empty.p95_wait_seconds is None
    assert empty.average_run_seconds is None
    assert empty.p95_run_seconds is None
    assert empty.failure_rate is None
    assert empty.oldest_queued_seconds is None
    assert empty.exact


def test_ready_are_the_queued_that_are_not_delayed_and_leased_are_claimed_or_running() -> None:
    depth = {QueueStatus.QUEUED: 10, QueueStatus.CLAIMED: 2, QueueStatus.RUNNING: 3}
    result = stats(depth=depth, delayed=4)
    assert (result.ready, result.leased) == (6, 5)


def test_estimates_never_make_ready_negative() -> None:
    result = stats(depth={QueueStatus.QUEUED: 1}, delayed=4, exact=False)
    assert result.ready == 0
    assert not result.exact


def test_waits_executions_and_failures_are_those_measured() -> None:
    waits = Durations(count=20, total_milliseconds=30_000, buckets={bucket_of(1): 19, 150: 1})
    runs = Durations(count=1, total_milliseconds=60_000, buckets={bucket_of(60): 1})
    measured = Measured(waits=waits, runs=runs, ended={"success": 3, "failed": 1})
    result = stats(measured=measured)
    assert result.average_wait_seconds == 1.5
    assert result.p95_wait_seconds == pytest.approx(1, rel=0.05)
    assert result.average_run_seconds == 60
    assert result.p95_run_seconds == pytest.approx(60, rel=0.05)
    assert result.failure_rate == 0.25


def test_the_age_of_the_oldest_is_counted_from_when_it_became_ready() -> None:
    assert stats(oldest_ready_at=NOW - timedelta(hours=1)).oldest_queued_seconds == 3600


def test_a_job_ready_after_the_clock_was_read_has_no_negative_age() -> None:
    assert stats(oldest_ready_at=NOW + timedelta(seconds=1)).oldest_queued_seconds == 0


def test_depths_by_lane_are_stated_where_they_were_counted() -> None:
    result = stats(pool_name="default", by_lane={"default|build|": 3})
    assert result.pool_name == "default"
    assert result.by_lane == {"default|build|": 3}
    assert stats().by_lane == {}


def test_jobs_that_do_not_decode_are_named() -> None:
    assert stats(unreadable=("01J",)).unreadable == ("01J",)
    assert stats().unreadable == ()


def test_the_time_that_was_measured_is_told() -> None:
    result = stats()
    asked = NOW - timedelta(days=1)
    assert result.as_of == NOW
    assert (result.since, result.failures_since) == (begin_of_day(asked), begin_of_slot(asked))
