"""What the counters add up to is what happened."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.queueing.histogram import bucket_of
from cicd_core.queueing.measures import (
    ENDED,
    RUN,
    WAIT,
    Durations,
    Measured,
    ended,
    groups_between,
    measured,
    measured_by_pool,
    merged,
    ran,
    waited,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.increments import Increment

START = datetime(2026, 11, 20, tzinfo=UTC)
#: Three days, so that a window may begin and end in any of them.
MINUTES = st.integers(min_value=0, max_value=3 * 24 * 60 - 1)
POOLS = st.sampled_from(["a", "b", "team/a"])


@frozen
class Happened:
    """Something that was counted."""

    kind: Literal["wait", "run", "ended"]
    at: datetime
    pool_name: str
    seconds: float
    result: str

    def increments(self) -> tuple[Increment, ...]:
        if self.kind == "ended":
            return ended(self.at, self.pool_name, self.result)
        count = waited if self.kind == "wait" else ran
        return count(self.at, self.pool_name, self.seconds)


INSTANTS = st.builds(
    lambda minutes, micros: START + timedelta(minutes=minutes, microseconds=micros),
    MINUTES,
    st.integers(min_value=0, max_value=59_999_999),
)
HAPPENINGS = st.lists(
    st.builds(
        Happened,
        st.sampled_from(["wait", "run", "ended"]),
        INSTANTS,
        POOLS,
        st.floats(min_value=-1, max_value=10**7),
        st.sampled_from(["success", "failed", "timeout", "error", "dead_lettered", "retried"]),
    )
)
#: Bounds on quarters of an hour; whole days are the smallest time for waits and executions.
WINDOWS = st.tuples(MINUTES, MINUTES).map(
    lambda pair: (
        START + timedelta(minutes=min(pair) // 15 * 15),
        START + timedelta(minutes=max(pair) // 15 * 15),
    )
)


def counters(happenings: Iterable[Happened]) -> dict[str, int]:
    values: Counter[str] = Counter()
    for each in happenings:
        for increment in each.increments():
            values[increment.name] += increment.amount
    return dict(values)


def durations(happenings: Iterable[Happened]) -> Durations:
    lengths = [max(0.0, each.seconds) for each in happenings]
    return Durations(
        count=len(lengths),
        total_milliseconds=sum(round(seconds * 1000) for seconds in lengths),
        buckets=dict(Counter(bucket_of(seconds) for seconds in lengths)),
    )


def directly(happenings: Iterable[Happened], since: datetime, until: datetime) -> Measured:
    """Return the same as the counters should say, from what happened itself."""
    if since == until:
        return Measured()
    first_day, last_day = since.date(), (until - timedelta(microseconds=1)).date()
    days = [each for each in happenings if first_day <= each.at.date() <= last_day]
    ends = [each for each in days if each.kind == "ended" and since <= each.at < until]
    return Measured(
        waits=durations(each for each in days if each.kind == "wait"),
        runs=durations(each for each in days if each.kind == "run"),
        ended=dict(Counter(each.result for each in ends)),
    )


@given(HAPPENINGS, WINDOWS)
def test_the_counters_of_a_time_say_what_happened_in_it(
    happenings: list[Happened], window: tuple[datetime, datetime]
) -> None:
    values = counters(happenings)
    assert measured(values, *window) == directly(happenings, *window)
    for pool_name in ("a", "b", "team/a"):
        mine = [each for each in happenings if each.pool_name == pool_name]
        assert measured(values, *window, pool_name=pool_name) == directly(mine, *window)


@given(HAPPENINGS, WINDOWS)
def test_the_groups_of_a_time_hold_all_that_it_needs(
    happenings: list[Happened], window: tuple[datetime, datetime]
) -> None:
    values = counters(happenings)
    prefixes = tuple(
        prefix for kind in (WAIT, RUN, ENDED) for prefix in groups_between(kind, *window)
    )
    read = {name: amount for name, amount in values.items() if name.startswith(prefixes)}
    assert measured(read, *window) == measured(values, *window)


@given(HAPPENINGS, WINDOWS)
def test_all_pools_together_are_the_sum_of_the_pools(
    happenings: list[Happened], window: tuple[datetime, datetime]
) -> None:
    values = counters(happenings)
    assert measured(values, *window) == merged(measured_by_pool(values, *window).values())


@given(HAPPENINGS, st.tuples(INSTANTS, INSTANTS).map(sorted))
def test_any_time_is_rounded_out_to_quarters_and_never_loses_an_end(
    happenings: list[Happened], window: list[datetime]
) -> None:
    since, until = window
    within = [each for each in happenings if since <= each.at < until and each.kind == "ended"]
    told = measured(counters(happenings), since, until).ended
    for result, number in Counter(each.result for each in within).items():
        assert told[result] >= number
