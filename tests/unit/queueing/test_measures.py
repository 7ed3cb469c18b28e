"""The names of counters, and what they add up to."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.increments import Increment
from cicd_core.queueing.histogram import bucket_of, value_of
from cicd_core.queueing.measures import (
    ENDED,
    RUN,
    WAIT,
    Durations,
    Measured,
    ended,
    ended_by_hour,
    groups_between,
    hour_of,
    measured,
    measured_by_pool,
    merged,
    ran,
    slot_of,
    waited,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

AT = datetime(2026, 11, 21, 9, 29, 59, 999_999, tzinfo=UTC)
DAY = (datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC))


def summed(increments: Iterable[Increment]) -> dict[str, int]:
    values: dict[str, int] = {}
    for increment in increments:
        values[increment.name] = values.get(increment.name, 0) + increment.amount
    return values


def test_a_wait_counts_its_bucket_its_milliseconds_and_itself() -> None:
    assert waited(AT, "default", 1.5) == (
        Increment(f"wait/20261121|default|b{bucket_of(1.5)}", 1),
        Increment("wait/20261121|default|ms", 1500),
        Increment("wait/20261121|default|n", 1),
    )


def test_an_execution_counts_in_a_group_of_its_own() -> None:
    assert [each.name.partition("|")[0] for each in ran(AT, "default", 2.0)] == ["run/20261121"] * 3


@pytest.mark.parametrize("seconds", [0.0, -0.25])
def test_a_duration_below_0_counts_as_0(seconds: float) -> None:
    assert [(each.name[21:], each.amount) for each in waited(AT, "default", seconds)] == [
        ("|b0", 1),
        ("|ms", 0),
        ("|n", 1),
    ]


def test_an_end_counts_in_its_quarter_of_an_hour() -> None:
    assert ended(AT, "default", "failed") == (Increment("ended/20261121|0915|default|failed", 1),)


@pytest.mark.parametrize(
    ("minute", "quarter"), [(0, "0900"), (14, "0900"), (15, "0915"), (44, "0930"), (59, "0945")]
)
def test_quarters_begin_at_0_15_30_and_45(minute: int, quarter: str) -> None:
    (increment,) = ended(AT.replace(minute=minute), "default", "success")
    assert increment.name.split("|")[1] == quarter


def test_a_slot_is_a_day_and_a_quarter_and_sorts_as_time_does() -> None:
    instants = [AT + timedelta(minutes=15 * number) for number in range(100)]
    slots = [slot_of(at) for at in instants]
    assert slots[0] == "20261121|0915"
    assert slots == sorted(set(slots))


def test_instants_of_other_time_zones_count_in_utc() -> None:
    local = datetime(2026, 11, 21, 1, 30, tzinfo=ZoneInfo("Asia/Kathmandu"))
    assert ended(local, "default", "failed")[0].name == "ended/20261120|1945|default|failed"
    assert waited(local, "default", 0)[0].name == "wait/20261120|default|b0"


def test_groups_are_the_utc_days_that_a_time_touches() -> None:
    since = datetime(2026, 12, 30, 23, 59, tzinfo=UTC)
    until = datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert groups_between(RUN, since, until) == ["run/20261230|", "run/20261231|", "run/20270101|"]


def test_the_end_of_a_time_is_not_in_it() -> None:
    assert groups_between(WAIT, *DAY) == ["wait/20261121|"]


def test_no_time_has_no_groups_and_measures_nothing() -> None:
    values = summed([*ended(AT, "default", "failed"), *waited(AT, "default", 1)])
    assert groups_between(ENDED, AT, AT) == []
    assert measured(values, AT, AT) == Measured()


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        measured({}, AT, AT - timedelta(microseconds=1))
    assert refused.value.field == "until"


def test_today_in_a_time_zone_begins_at_its_own_midnight() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    midnight = datetime(2026, 11, 21, tzinfo=kathmandu)  # 18:15 UTC of the day before
    values = summed(
        [
            *ended(midnight - timedelta(microseconds=1), "default", "failed"),
            *ended(midnight, "default", "error"),
            *ended(midnight + timedelta(hours=9), "default", "failed"),
        ]
    )
    now = midnight + timedelta(hours=10)
    assert groups_between(ENDED, midnight, now) == ["ended/20261120|", "ended/20261121|"]
    assert measured(values, midnight, now).ended == {"error": 1, "failed": 1}


def test_the_quarter_of_an_hour_that_is_not_over_counts() -> None:
    values = summed(ended(AT, "default", "failed"))
    now = AT - timedelta(minutes=5)
    assert measured(values, DAY[0], now).failed == 1
    assert measured(values, DAY[0], AT.replace(minute=15, second=0, microsecond=0)).failed == 0


def test_pools_are_measured_apart_and_together() -> None:
    values = summed(
        [
            *waited(AT, "a", 1.0),
            *waited(AT, "a", 3.0),
            *waited(AT, "b", 0.0),
            *ran(AT, "b", 60.0),
            *ended(AT, "b", "success"),
        ]
    )
    of_a = Measured(
        waits=Durations(
            count=2, total_milliseconds=4000, buckets={bucket_of(1.0): 1, bucket_of(3.0): 1}
        )
    )
    assert measured(values, *DAY, pool_name="a") == of_a
    assert measured(values, *DAY, pool_name="c") == Measured()
    both = measured(values, *DAY)
    assert (both.waits.count, both.runs.count, both.ended) == (3, 1, {"success": 1})
    assert set(measured_by_pool(values, *DAY)) == {"a", "b"}


def test_what_was_counted_on_another_day_is_passed_over() -> None:
    values = summed([*waited(AT, "a", 1.0), *ran(AT, "a", 1.0), *ended(AT, "a", "failed")])
    later = (DAY[1], DAY[1] + timedelta(days=1))
    assert measured(values, *later) == Measured()


def test_names_of_other_kinds_are_passed_over() -> None:
    values = {
        "deployed/20261121|0915|shop|live": 7,
        "wait/20261121|a|max": 7,
        "wait/20261121|a": 7,
        "ended/20261121|a|failed": 7,
    }
    assert measured(values, *DAY) == Measured()


def test_an_average_comes_from_the_sum() -> None:
    assert Durations(count=4, total_milliseconds=10_000).average_seconds == 2.5
    assert Durations().average_seconds is None


def test_a_quantile_comes_from_the_buckets() -> None:
    found = Durations(count=2, total_milliseconds=9, buckets={10: 1, 20: 1})
    assert found.quantile_seconds(0.5) == value_of(10)
    assert Durations().quantile_seconds(0.5) is None


def test_failed_timed_out_errored_and_dead_jobs_are_failures() -> None:
    counts = {"failed": 1, "timeout": 2, "error": 4, "dead_lettered": 8}
    others = {"success": 30, "cancelled": 100, "retried": 100, "released": 100}
    result = Measured(ended=counts | others)
    assert result.failed == 15
    assert result.failure_rate == 15 / 45


def test_without_a_verdict_there_is_no_failure_rate() -> None:
    assert Measured(ended={"cancelled": 3, "retried": 1}).failure_rate is None
    assert Measured(ended={"success": 3}).failure_rate == 0.0


def test_what_ended_is_counted_by_the_hour_over_all_pools() -> None:
    values = summed(
        [
            *ended(AT, "a", "failed"),
            *ended(AT, "b", "failed"),
            *ended(AT.replace(minute=59), "a", "success"),
            *ended(AT + timedelta(hours=1), "a", "success"),
            *waited(AT, "a", 1.0),
        ]
    )
    assert ended_by_hour(values) == {
        hour_of(AT): {"failed": 2, "success": 1},
        hour_of(AT + timedelta(hours=1)): {"success": 1},
    }


def test_the_sum_of_nothing_is_nothing() -> None:
    assert merged([]) == Measured()


def test_the_machines_own_time_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        late = datetime(2026, 11, 21, 23, 50, tzinfo=UTC)
        assert slot_of(late) == "20261121|2345"
        assert waited(late, "a", 0.0)[2].name == "wait/20261121|a|n"
        assert groups_between(WAIT, late, late + timedelta(minutes=5)) == ["wait/20261121|"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_days_of_a_time_add_up() -> None:
    values = summed([*waited(AT, "a", 1.0), *waited(AT + timedelta(days=1), "a", 3.0)])
    both = measured(values, DAY[0], DAY[1] + timedelta(days=1)).waits
    assert (both.count, both.total_milliseconds) == (2, 4000)


def test_a_time_that_ends_before_it_begins_is_shown_with_what_to_give_instead() -> None:
    with pytest.raises(InvalidInput) as refused:
        groups_between(WAIT, DAY[1], DAY[0])
    assert refused.value.value == "2026-11-21T00:00:00+00:00"
    assert refused.value.reason == "give a time from 2026-11-22T00:00:00+00:00 on"


def durations_of(*seconds: float) -> Durations:
    increments = [each for one in seconds for each in ran(AT, "default", one)]
    return measured(summed(increments), *DAY).runs


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.001, 1.0, 1.05, 1.1, 59.9, 40 * 86_400.0])
def test_each_quantile_of_one_duration_is_exact(seconds: float) -> None:
    found = durations_of(seconds)
    assert found.average_seconds == round(seconds, 3)
    assert {found.quantile_seconds(q) for q in (0.0, 0.5, 0.95, 1.0)} == {round(seconds, 3)}


@pytest.mark.parametrize("count", [2, 3, 19])
def test_the_95th_percentile_of_few_durations_is_at_least_their_average(count: int) -> None:
    for number in range(200):
        seconds = 1.0 + number * 0.007
        found = durations_of(*[seconds] * count)
        high, low = found.quantile_seconds(0.95), found.quantile_seconds(0.0)
        average = found.average_seconds
        assert high is not None
        assert low is not None
        assert average is not None
        assert low <= average <= high
        assert high == pytest.approx(seconds, rel=0.05)


def test_the_95th_percentile_of_many_durations_may_be_below_their_average() -> None:
    found = durations_of(*[1.0] * 99, 10_000.0)
    assert found.quantile_seconds(0.95) == pytest.approx(1.0, rel=0.05)
    assert found.average_seconds == pytest.approx(100.99)
