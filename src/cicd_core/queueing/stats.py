"""The state of a queue in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - cattrs resolves annotations
from datetime import datetime  # noqa: TC003 - cattrs resolves annotations
from typing import TYPE_CHECKING

from attrs import field

from cicd_core.model.job import QueueStatus
from cicd_core.queueing.measures import begin_of_day, begin_of_slot
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.queueing.measures import Measured


@frozen(kw_only=True)
class QueueStats:
    """How many jobs a queue holds, how long they wait and run, and how often they fail.

    Durations are seconds, and None if nothing was measured. Averages are exact to the millisecond,
    quantiles to 5 % (:mod:`cicd_core.queueing.histogram`).
    """

    #: When the depths were read, on the store's clock.
    as_of: datetime
    #: Waits and executions are measured from here to ``as_of``. They are kept by UTC day, so this
    #: is the midnight before the moment that the caller asked for.
    since: datetime
    #: The failure rate covers the time from here to ``as_of``, as do the ended jobs of one pool.
    #: They are kept by quarter of an hour: this is the begin of the quarter that holds the moment
    #: that the caller asked for.
    failures_since: datetime
    #: None: all pools together.
    pool_name: str | None = None

    #: The number of jobs in each status; it has every status. Ended jobs of one pool are counted
    #: since ``failures_since``, by the counters.
    depth: Mapping[QueueStatus, int]
    #: The number of queued jobs that wait for their ``run_at`` or for a backoff.
    delayed: int
    #: False: the store returned estimates.
    exact: bool = True
    #: The ready jobs of each lane of the pool; empty for all pools together.
    by_lane: Mapping[str, int] = field(factory=dict[str, int])
    #: The keys of queued jobs that were read and do not decode: ``oldest_queued_seconds`` leaves
    #: them out, but every count includes them.
    unreadable: tuple[str, ...] = ()

    average_wait_seconds: float | None
    p95_wait_seconds: float | None
    average_run_seconds: float | None
    p95_run_seconds: float | None
    #: 0 to 1: the part of failed, timed out, errored and dead-lettered jobs among all that
    #: succeeded or failed.
    failure_rate: float | None
    #: For how long the oldest ready job has been ready: since its enqueue, or since the end of its
    #: delay, backoff or release. None if no job is ready. The true value may be greater if more
    #: than 1,000 jobs became ready later than they were created, or if jobs came after the calendar
    #: was set back.
    oldest_queued_seconds: float | None

    @property
    def ready(self) -> int:
        """The jobs that could be claimed now."""
        return max(0, self.depth[QueueStatus.QUEUED] - self.delayed)

    @property
    def leased(self) -> int:
        """The jobs that agents hold: claimed or running."""
        return self.depth[QueueStatus.CLAIMED] + self.depth[QueueStatus.RUNNING]


def queue_stats(
    *,
    as_of: datetime,
    since: datetime,
    depth: Mapping[QueueStatus, int],
    delayed: int,
    measured: Measured,
    oldest_ready_at: datetime | None,
    pool_name: str | None = None,
    exact: bool = True,
    by_lane: Mapping[str, int] | None = None,
    unreadable: tuple[str, ...] = (),
) -> QueueStats:
    """Return the statistics of a queue.

    Args:
        as_of: now, on the store's clock.
        since: the moment that the caller asked for.
        depth: the counts by status; a missing status has no jobs.
        delayed: how many of the queued jobs are not ready yet.
        measured: from the counters between ``since`` and ``as_of``.
        oldest_ready_at: when the oldest ready job became ready.
        pool_name: None: all pools together.
        exact: whether every count is exact.
        by_lane: the number of ready jobs in each lane, if they were counted.
        unreadable: the keys of jobs that were read and do not decode.
    """
    age = None if oldest_ready_at is None else (as_of - oldest_ready_at).total_seconds()
    return QueueStats(
        as_of=as_of,
        since=begin_of_day(since),
        failures_since=begin_of_slot(since),
        pool_name=pool_name,
        depth={status: depth.get(status, 0) for status in QueueStatus},
        delayed=delayed,
        exact=exact,
        by_lane=dict(by_lane or {}),
        unreadable=unreadable,
        average_wait_seconds=measured.waits.average_seconds,
        p95_wait_seconds=measured.waits.quantile_seconds(0.95),
        average_run_seconds=measured.runs.average_seconds,
        p95_run_seconds=measured.runs.quantile_seconds(0.95),
        failure_rate=measured.failure_rate,
        # It may have been enqueued after the clock was read.
        oldest_queued_seconds=None if age is None else max(0.0, age),
    )
