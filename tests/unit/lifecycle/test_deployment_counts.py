"""The counters of deployments: their names, and what they say of a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from cicd_core.increments import Increment
from cicd_core.lifecycle.deployment_counts import DEPLOYMENTS, counted, counts_between
from cicd_core.queueing.measures import groups_between

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def counters(*moments: tuple[datetime, str]) -> dict[str, int]:
    values: dict[str, int] = {}
    for at, result in moments:
        increment = counted(at, result)
        values[increment.name] = values.get(increment.name, 0) + increment.amount
    return values


def test_a_name_is_the_day_the_quarter_of_an_hour_and_the_result() -> None:
    at = MIDNIGHT + timedelta(hours=9, minutes=29, seconds=59)
    assert counted(at, "live") == Increment("deployments/20261121|0915|live", 1)


def test_a_name_is_in_utc_whatever_zone_the_moment_is_given_in() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert counted(MIDNIGHT.astimezone(india), "live").name == "deployments/20261121|0000|live"


def test_a_name_stands_in_the_group_of_its_day() -> None:
    (group,) = groups_between(DEPLOYMENTS, MIDNIGHT, MIDNIGHT + timedelta(days=1))
    assert counted(MIDNIGHT, "created").name.startswith(group)


def test_results_are_summed_over_the_quarters_of_a_time() -> None:
    values = counters(
        (MIDNIGHT, "live"),
        (MIDNIGHT, "live"),
        (MIDNIGHT + QUARTER, "live"),
        (MIDNIGHT + QUARTER, "failed"),
    )
    assert counts_between(values, MIDNIGHT, MIDNIGHT + 2 * QUARTER) == {"live": 3, "failed": 1}


def test_the_first_moment_is_in_it_and_the_last_is_out_of_it() -> None:
    values = counters(
        (MIDNIGHT - timedelta(microseconds=1), "live"),
        (MIDNIGHT, "created"),
        (MIDNIGHT + QUARTER, "failed"),
    )
    assert counts_between(values, MIDNIGHT, MIDNIGHT + QUARTER) == {"created": 1}


def test_a_part_of_a_quarter_counts_whole() -> None:
    values = counters((MIDNIGHT, "live"), (MIDNIGHT + QUARTER, "failed"))
    since, until = MIDNIGHT + timedelta(minutes=5), MIDNIGHT + timedelta(minutes=16)
    assert counts_between(values, since, until) == {"live": 1, "failed": 1}


def test_no_time_at_all_has_no_deployments() -> None:
    at = MIDNIGHT + timedelta(minutes=5)
    assert counts_between(counters((at, "live")), at, at) == {}


def test_counters_of_another_kind_are_passed_over() -> None:
    values = {"ended/20261121|0000|live": 7, "deployments/20261121|0000|live": 1}
    assert counts_between(values, MIDNIGHT, MIDNIGHT + QUARTER) == {"live": 1}


def test_the_first_microsecond_of_a_quarter_counts_it_whole() -> None:
    values = counters((MIDNIGHT, "live"))
    begun = MIDNIGHT + timedelta(microseconds=1)
    assert counts_between(values, MIDNIGHT - QUARTER, begun) == {"live": 1}
    assert counts_between(values, MIDNIGHT - QUARTER, MIDNIGHT) == {}
