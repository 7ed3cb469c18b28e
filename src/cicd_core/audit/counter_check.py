"""Recount of the counters from the log."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from cicd_core.audit.report import Promise
from cicd_core.audit.transition_check import FINAL, HELD, states_of
from cicd_core.lifecycle.deployment_counts import DEPLOYMENTS as DEPLOYMENT_COUNTS
from cicd_core.lifecycle.deployment_counts import counted
from cicd_core.model.deployment import DeploymentStatus
from cicd_core.model.job import JobState
from cicd_core.persistence.collections import DEPLOYMENTS, JOBS
from cicd_core.queueing.histogram import LAST_BUCKET, RELATIVE_ERROR, value_of
from cicd_core.queueing.measures import ENDED, RUN, WAIT, ended, ran, waited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.audit.history import Trail
    from cicd_core.audit.record_summary import Known
    from cicd_core.audit.report import Findings
    from cicd_core.model.event import Event

_NAME: Final = re.compile(rf"({WAIT}|{RUN}|{ENDED}|{DEPLOYMENT_COUNTS})/(\d{{8}})\|.+")
#: The part of the waits that the log does not have: since when each job was ready.
_UNREPORTED: Final = re.compile(rf"({WAIT}/\d{{8}}\|.+)\|(b\d+|ms)")
_DEPLOYMENT_RESULTS: Final = {
    DeploymentStatus.PENDING.value: "created",
    DeploymentStatus.LIVE.value: "live",
    DeploymentStatus.FAILED.value: "failed",
    DeploymentStatus.ROLLED_BACK.value: "rolled_back",
}


class Recount:
    """The expected counters, from the events added so far."""

    def __init__(self) -> None:
        self._expected: Counter[str] = Counter()
        self._unknown: str | None = None

    def add(self, event: Event, trail: Trail, known: Known | None) -> None:
        """Count an event; ``trail`` is the state of its subject before it."""
        collection, _ = event.subject
        if collection == JOBS.name:
            self._add_job(event, trail, known)
        elif collection == DEPLOYMENTS.name:
            result = _DEPLOYMENT_RESULTS.get(states_of(event)[1] or "")
            if result is not None:
                self._expected[counted(event.at, result).name] += 1

    def compare(self, values: Mapping[str, int], findings: Findings, first_day: str) -> None:
        """Compare the counters of all days from ``first_day`` (such as 20261121) on."""
        if self._unknown is not None:
            findings.skip(Promise.COUNTERS, self._unknown)
            return
        for name in sorted(values.keys() | self._expected.keys()):
            found = _NAME.fullmatch(name)
            if found is None or found[2] < first_day or _UNREPORTED.fullmatch(name):
                continue
            findings.examine(Promise.COUNTERS)
            number, recounted = values.get(name, 0), self._expected[name]
            findings.require(
                Promise.COUNTERS,
                number == recounted,
                f"{name} is {number}, a recount of the log gives {recounted}",
            )
        _check_waits(values, findings, first_day)

    def _add_job(self, event: Event, trail: Trail, known: Known | None) -> None:
        pool_name = _pool_of(event, trail, known)
        if event.type == "job.claimed":
            self._expected[waited(event.at, pool_name, 0.0)[-1].name] += 1
        result = _result_of(event)
        if result is None:
            return
        started, finished = self._span(event, trail, known)
        for increment in ended(finished, pool_name, result):
            self._expected[increment.name] += increment.amount
        if started is not None:
            dated = max(0.0, (finished - started).total_seconds())
            seconds = event.data.get("ran", dated)  # present if the calendar was set meanwhile
            runs = () if seconds is None else ran(finished, pool_name, seconds)
            for increment in runs:
                self._expected[increment.name] += increment.amount

    def _span(
        self, event: Event, trail: Trail, known: Known | None
    ) -> tuple[datetime | None, datetime]:
        """Return the start (None: it never ran) and the end of an execution."""
        tracked = event.data.get("tracked") is True or (known is not None and known.tracked)
        if not tracked:
            ran_before = states_of(event)[0] == JobState.RUNNING.value
            if ran_before and trail.started_at is None:
                self._unknown = "the log holds the end of an execution but not its start"
            return (trail.started_at if ran_before else None), event.at
        if known is None or known.completed_at is None:
            self._unknown = "the times of a tracked run are no longer known"
            return None, event.at
        return known.started_at, known.completed_at


def _pool_of(event: Event, trail: Trail, known: Known | None) -> str:
    said = event.data.get("pool")
    return str(said or trail.pool_name or (known.pool_name if known is not None else None))


def _result_of(event: Event) -> str | None:
    """Return the verdict with which an attempt or a job ended by an event; None if none ended."""
    source, target = states_of(event)
    if target in FINAL or target == JobState.DEAD_LETTERED.value:
        return target
    if source in HELD and target == JobState.QUEUED.value:
        return "released" if event.type == "job.released" else "retried"
    return None


def _check_waits(values: Mapping[str, int], findings: Findings, first_day: str) -> None:
    """Check that the number, the sum and the buckets of wait histograms agree."""
    buckets: dict[str, Counter[int]] = {}
    for name, number in values.items():
        found = _UNREPORTED.fullmatch(name)
        if found is not None and found[1].partition("/")[2][:8] >= first_day:
            tally = buckets.setdefault(found[1], Counter())
            if found[2] != "ms":
                tally[int(found[2][1:])] += number
    for group, tally in sorted(buckets.items()):
        findings.examine(Promise.COUNTERS)
        count, total = values.get(f"{group}|n", 0), values.get(f"{group}|ms", 0)
        findings.require(
            Promise.COUNTERS,
            tally.total() == count,
            f"{group}: the buckets hold {tally.total()} waits, but {count} were counted",
        )
        findings.require(
            Promise.COUNTERS,
            _may_be_sum(tally, total),
            f"{group}: the waits in the buckets cannot add up to {total} ms",
        )


def _may_be_sum(tally: Mapping[int, int], milliseconds: int) -> bool:
    """Return whether durations in these buckets can have that sum."""
    if any(bucket >= LAST_BUCKET and number for bucket, number in tally.items()):
        return True  # it has no upper bound
    middle = sum(1000 * value_of(bucket) * number for bucket, number in tally.items())
    rounding = sum(tally.values())  # the shortest durations count as 0, and each is rounded
    return abs(milliseconds - middle) <= RELATIVE_ERROR * middle + rounding
