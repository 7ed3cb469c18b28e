"""Recent activity, in the steps of a plot: hours of one day, days of two weeks."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - cattrs resolves annotations
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.background import together
from cicd_core.queueing.measures import (
    ENDED,
    RUN,
    WAIT,
    begin_of_day,
    ended_by_hour,
    groups_between,
    hour_of,
    measured,
)
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.persistence.context import Context

#: Number of hours and days shown, including the current ones.
HOURS: Final = 24
DAYS: Final = 14
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@frozen(kw_only=True)
class HourOfActivity:
    """Jobs and attempts that ended in one hour."""

    #: The start of the hour (UTC).
    begin: datetime
    #: Number of jobs, or attempts, that ended with each result; a missing result had none.
    ended: Mapping[str, int]


@frozen(kw_only=True)
class DayOfActivity:
    """Waits and runs of jobs on one UTC day. Durations in seconds; None: no data."""

    #: The start of the day (UTC).
    begin: datetime
    claims: int
    average_wait_seconds: float | None
    p95_wait_seconds: float | None
    runs: int
    average_run_seconds: float | None
    p95_run_seconds: float | None


@frozen(kw_only=True)
class Activity:
    """Recent activity."""

    #: On the store's clock (UTC).
    as_of: datetime
    #: The newest 24 hours, the oldest first; the last one is not over.
    hours: tuple[HourOfActivity, ...]
    #: The newest 14 UTC days, the oldest first; the last one is not over.
    days: tuple[DayOfActivity, ...]


async def read_activity(context: Context) -> Activity:
    """Return the counts of the last hours and days.

    Cost: 30 concurrent calls for counters, whatever the number of jobs.
    """
    now = await context.calendar()
    first_hour = now.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * _HOUR
    first_day = begin_of_day(now) - (DAYS - 1) * _DAY
    until = now + timedelta(microseconds=1)
    groups = [
        *groups_between(ENDED, first_hour, until),
        *groups_between(WAIT, first_day, until),
        *groups_between(RUN, first_day, until),
    ]
    answers = await together([partial(context.store.counters, group) for group in groups])
    by_day: dict[str, dict[str, int]] = {}
    for group, answer in zip(groups, answers, strict=True):
        _, _, day = group.partition("/")
        by_day.setdefault(day, {}).update(answer.values)
    hours: dict[str, Mapping[str, int]] = {}
    for values in by_day.values():
        hours |= ended_by_hour(values)
    begins = [first_hour + number * _HOUR for number in range(HOURS)]
    days = [first_day + number * _DAY for number in range(DAYS)]
    return Activity(
        as_of=now,
        hours=tuple(
            HourOfActivity(begin=begin, ended=dict(hours.get(hour_of(begin), {})))
            for begin in begins
        ),
        days=tuple(_day(day, by_day.get(f"{day:%Y%m%d}|", {})) for day in days),
    )


def _day(begin: datetime, values: Mapping[str, int]) -> DayOfActivity:
    seen = measured(values, begin, begin + _DAY)
    return DayOfActivity(
        begin=begin,
        claims=seen.waits.count,
        average_wait_seconds=seen.waits.average_seconds,
        p95_wait_seconds=seen.waits.quantile_seconds(0.95),
        runs=seen.runs.count,
        average_run_seconds=seen.runs.average_seconds,
        p95_run_seconds=seen.runs.quantile_seconds(0.95),
    )
