"""The words that programs read, which may not change, and what is assumed where nothing is said."""

from __future__ import annotations

from datetime import UTC, datetime

from cicd_core.model.job import QueueStatus
from cicd_core.queueing.scaling import Load, PoolHealth, ScalingTerm
from cicd_core.queueing.stats import QueueStats
from cicd_core.queueing.why import ReasonCode

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_what_decided_a_size_is_one_of_five_words() -> None:
    assert [str(each) for each in ScalingTerm] == [
        "demand",
        "warm",
        "target",
        "maximum",
        "minimum",
    ]


def test_the_health_of_a_pool_is_one_of_four_words() -> None:
    assert [str(each) for each in PoolHealth] == ["healthy", "degraded", "unhealthy", "empty"]


def test_a_reason_has_one_of_these_codes() -> None:
    assert [str(each) for each in ReasonCode] == [
        "cancel_requested",
        "not_enqueued",
        "held",
        "dead_lettered",
        "ended",
        "deadline_passed",
        "delayed",
        "due",
        "lane_not_listed",
        "no_pool",
        "no_agents",
        "no_agent_with_labels",
        "no_agent_for_type",
        "no_agent_takes_work",
        "all_busy",
        "slots_stuck",
        "jobs_ahead",
        "about_to_be_claimed",
    ]


def test_a_load_has_nothing_delayed_unless_it_says_so() -> None:
    assert Load(ready=1, leased=2).delayed == 0


def test_statistics_are_exact_and_of_all_pools_unless_they_say_so() -> None:
    stats = QueueStats(
        as_of=NOW,
        since=NOW,
        failures_since=NOW,
        depth=dict.fromkeys(QueueStatus, 0),
        delayed=0,
        average_wait_seconds=None,
        p95_wait_seconds=None,
        average_run_seconds=None,
        p95_run_seconds=None,
        failure_rate=None,
        oldest_queued_seconds=None,
    )
    assert stats.pool_name is None
    assert stats.exact is True
    assert (stats.by_lane, stats.unreadable) == ({}, ())
