"""The counters of the queue: their names, their increments, and how to read them.

A name is ``group|rest``, and a group is one UTC day of one kind:

- ``wait/20261121|default|b42`` counts waits of bucket 42 (:mod:`cicd_core.queueing.histogram`) in
  the pool ``default``; ``…|ms`` is the sum of the waits in milliseconds, ``…|n`` their number;
- ``run/20261121|default|b42`` counts executions in the same way;
- ``ended/20261121|0915|default|failed`` counts the jobs that failed in the quarter of an hour from
  09:15 UTC. Quarters allow "today" in any time zone, since the offset of each from UTC is a whole
  number of quarters.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from attrs import Factory, field

from cicd_core.errors import InvalidInput
from cicd_core.increments import Increment
from cicd_core.queueing.histogram import bucket_of, quantile, rank_of
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The kinds of groups.
WAIT: Final = "wait"
RUN: Final = "run"
ENDED: Final = "ended"

#: The results that count as failures.
FAILURES: Final = frozenset({"failed", "timeout", "error", "dead_lettered"})

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_QUARTER = timedelta(minutes=15)
#: The length of the part of a slot that names the hour.
_HOUR_LENGTH: Final = len("20261121|09")
_DURATION_NAME = re.compile(r"(wait|run)/(\d{8})\|([^|]+)\|(b\d+|ms|n)")
_ENDED_NAME = re.compile(r"ended/(\d{8}\|\d{4})\|([^|]+)\|([^|]+)")


def waited(at: datetime, pool_name: str, seconds: float) -> tuple[Increment, ...]:
    """Return the increments for a job that was claimed after it had been ready for ``seconds``.

    Args:
        at: the moment of the claim.
        pool_name: of the job.
        seconds: below 0 counts as 0.
    """
    return _duration(WAIT, at, pool_name, seconds)


def ran(at: datetime, pool_name: str, seconds: float) -> tuple[Increment, ...]:
    """Return the increments for an execution that ended after ``seconds``.

    Args:
        at: the moment of its end.
        pool_name: of the job.
        seconds: below 0 counts as 0.
    """
    return _duration(RUN, at, pool_name, seconds)


def ended(at: datetime, pool_name: str, result: str) -> tuple[Increment, ...]:
    """Return the increments for a job, or an attempt of a job, that ended.

    Args:
        at: the moment of its end.
        pool_name: of the job.
        result: ``success``, ``failed``, ``timeout``, ``error``, ``cancelled`` or
            ``dead_lettered`` for a job; ``retried`` or ``released`` for an attempt that leads to
            another one.
    """
    return (Increment(f"{ENDED}/{slot_of(at)}|{pool_name}|{result}"),)


@frozen(kw_only=True)
class Durations:
    """A number of measured durations: their count, sum and histogram."""

    count: int = 0
    #: Their sum, in whole milliseconds, so that sums of sums stay exact.
    total_milliseconds: int = 0
    #: How many fell into each bucket of the histogram.
    buckets: Mapping[int, int] = field(factory=dict[int, int])

    @property
    def average_seconds(self) -> float | None:
        """The mean, without the histogram's error; None if there are no durations."""
        return self.total_milliseconds / 1000 / self.count if self.count else None

    def quantile_seconds(self, q: float) -> float | None:
        """Return the quantile, see :func:`cicd_core.queueing.histogram.quantile`.

        The longest duration is at least the average, and the shortest one at most that. So the
        average, which has no error, corrects them: of a single duration, each quantile is exact.
        """
        estimate, average = quantile(self.buckets, q), self.average_seconds
        if estimate is None or average is None:
            return estimate
        rank = rank_of(q, self.count)
        if rank == self.count:
            estimate = max(estimate, average)
        return min(estimate, average) if rank == 1 else estimate


@frozen(kw_only=True)
class Measured:
    """The measurements of one pool, or of several, over a time."""

    #: The time from ready to claimed, for each claim.
    waits: Durations = Factory(Durations)
    #: The time from start to end, for each attempt.
    runs: Durations = Factory(Durations)
    #: How many jobs and attempts ended with each result.
    ended: Mapping[str, int] = field(factory=dict[str, int])

    @property
    def failed(self) -> int:
        """The jobs that ended in failed, timeout, error or as a dead letter."""
        return sum(self.ended.get(result, 0) for result in FAILURES)

    @property
    def failure_rate(self) -> float | None:
        """The part, 0 to 1, of failures among successes and failures; None if there are neither.

        Cancelled jobs are neither; retried and released attempts do not count, since their job has
        not ended yet.
        """
        judged = self.failed + self.ended.get("success", 0)
        return self.failed / judged if judged else None


def slot_of(at: datetime) -> str:
    """Return the day and the quarter of an hour, in UTC, that hold ``at``: ``20261121|0915``.

    Slots sort in the order of time. A name that begins with its kind, ``/`` and a slot is in the
    group of that day.
    """
    utc = at.astimezone(UTC)
    return f"{_day(utc)}|{utc.hour:02d}{utc.minute - utc.minute % 15:02d}"


def begin_of_slot(at: datetime) -> datetime:
    """Return the first moment of the quarter of an hour that holds ``at``, the unit of ends."""
    utc = at.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def begin_of_day(at: datetime) -> datetime:
    """Return the first moment of the UTC day that holds ``at``, the unit of waits and runs."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def ended_by_hour(values: Mapping[str, int]) -> dict[str, Counter[str]]:
    """Return how many ended with each result, in all pools, by the UTC hour: ``20261121|09``.

    Args:
        values: counters; names of another kind are ignored.
    """
    hours: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, amount in values.items():
        if found := _ENDED_NAME.fullmatch(name):
            hours[found[1][:_HOUR_LENGTH]][found[3]] += amount
    return dict(hours)


def hour_of(at: datetime) -> str:
    """Return the day and the hour, in UTC, that hold ``at``: ``20261121|09``."""
    return slot_of(at)[:_HOUR_LENGTH]


def groups_between(kind: str, since: datetime, until: datetime) -> list[str]:
    """Return the prefixes of the groups that hold the counters of a time, one per UTC day.

    Args:
        kind: :data:`WAIT`, :data:`RUN` or :data:`ENDED`.
        since: the first moment.
        until: the first moment after that time.

    Raises:
        InvalidInput: ``until`` lies before ``since``.
    """
    return [f"{kind}/{day}|" for day in _days(since, until)]


def measured(
    values: Mapping[str, int], since: datetime, until: datetime, pool_name: str | None = None
) -> Measured:
    """Return the measurements of one pool, or of all of them.

    Args:
        values: the counters of all the groups of :func:`groups_between`; names of another kind,
            or of another time, are ignored.
        since: the first moment. Ends are counted from the begin of its quarter of an hour, waits
            and executions from the begin of its UTC day.
        until: the first moment after that time, rounded up in the same way.
        pool_name: None: all pools together.

    Raises:
        InvalidInput: ``until`` lies before ``since``.
    """
    pools = measured_by_pool(values, since, until)
    if pool_name is not None:
        return pools.get(pool_name, Measured())
    return merged(pools.values())


def measured_by_pool(
    values: Mapping[str, int], since: datetime, until: datetime
) -> dict[str, Measured]:
    """Return the measurements of each pool that the counters name; see :func:`measured`.

    Raises:
        InvalidInput: ``until`` lies before ``since``.
    """
    days = frozenset(_days(since, until))
    first, behind = slot_of(since), slot_of(until + _QUARTER - _MICROSECOND) if days else ""
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for name, amount in values.items():
        if found := _DURATION_NAME.fullmatch(name):
            kind, day, pool_name, part = found.groups()
            if day in days:
                tallies[pool_name].durations[kind][part] += amount
        elif (found := _ENDED_NAME.fullmatch(name)) and first <= found[1] < behind:
            tallies[found[2]].ended[found[3]] += amount
    return {pool_name: tally.measured() for pool_name, tally in tallies.items()}


def merged(parts: Iterable[Measured]) -> Measured:
    """Return the sum of measurements of different pools, or of different times."""
    waits, runs, results = list[Durations](), list[Durations](), Counter[str]()
    for part in parts:
        waits.append(part.waits)
        runs.append(part.runs)
        results.update(part.ended)
    return Measured(waits=_sum(waits), runs=_sum(runs), ended=dict(results))


class _Tally:
    """The sums of one pool while its counters are read."""

    def __init__(self) -> None:
        self.durations: dict[str, Counter[str]] = {WAIT: Counter(), RUN: Counter()}
        self.ended: Counter[str] = Counter()

    def measured(self) -> Measured:
        return Measured(
            waits=_durations(self.durations[WAIT]),
            runs=_durations(self.durations[RUN]),
            ended=dict(self.ended),
        )


def _durations(parts: Mapping[str, int]) -> Durations:
    return Durations(
        count=parts.get("n", 0),
        total_milliseconds=parts.get("ms", 0),
        buckets={int(part[1:]): n for part, n in parts.items() if part.startswith("b")},
    )


def _sum(parts: Iterable[Durations]) -> Durations:
    count, total, buckets = 0, 0, Counter[int]()
    for part in parts:
        count += part.count
        total += part.total_milliseconds
        buckets.update(part.buckets)
    return Durations(count=count, total_milliseconds=total, buckets=dict(buckets))


def _duration(kind: str, at: datetime, pool_name: str, seconds: float) -> tuple[Increment, ...]:
    elapsed = max(0.0, seconds)
    prefix = f"{kind}/{_day(at)}|{pool_name}|"
    return (
        Increment(f"{prefix}b{bucket_of(elapsed)}"),
        Increment(f"{prefix}ms", round(elapsed * 1000)),
        Increment(f"{prefix}n"),
    )


def _day(at: datetime) -> str:
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return f"{utc.year:04d}{utc.month:02d}{utc.day:02d}"


def _days(since: datetime, until: datetime) -> list[str]:
    """Return the UTC days that overlap that time."""
    if until < since:
        raise InvalidInput("until", until.isoformat(), f"give a time from {since.isoformat()} on")
    if until == since:
        return []
    first = since.astimezone(UTC).date()
    last = (until - _MICROSECOND).astimezone(UTC).date()
    return [f"{first + number * _DAY:%Y%m%d}" for number in range((last - first).days + 1)]
