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
    """How deep a queue is, how long work waits and runs, and how often it fails.

    Durations are seconds, None where nothing was measured. Averages are exact to the millisecond,
    quantiles to 5 % (:mod:`cicd_core.queueing.histogram`).
    """

    #: When the depths were read, on the store's clock.
    as_of: datetime
    #: Waits and executions are those from here to ``as_of``. They are kept by whole UTC days, so
    #: that this is the midnight before the moment that was asked for.
    since: datetime
    #: The failure rate is that from here to ``as_of``, and so are the ended jobs of one pool. They
    #: are kept by quarter of an hour: this is where that of the moment that was asked for begins.
    failures_since: datetime
    #: None: all pools together.
    pool_name: str | None = None

    #: The jobs of each status; every status is there. Of one pool, what ended is counted since
    #: ``failures_since``, as the counters tell it.
    depth: Mapping[QueueStatus, int]
    #: The jobs among the queued that wait for their ``run_at`` or for a backoff.
    delayed: int
    #: False: the store answered estimates.
    exact: bool = True
    #: The ready jobs of each lane of the pool; empty for all pools together.
    by_lane: Mapping[str, int] = field(factory=dict[str, int])
    #: The keys of queued jobs that were looked at and do not decode: ``oldest_queued_seconds``
    #: leaves them out, every count has them.
    unreadable: tuple[str, ...] = ()

    average_wait_seconds: float | None
    p95_wait_seconds: float | None
    average_run_seconds: float | None
    p95_run_seconds: float | None
    #: 0 to 1: failed, timed out, errored and dead-lettered among all that succeeded or failed.
    failure_rate: float | None
    #: The longest time for which a job that is ready now has been ready: since its enqueue, or
    #: since its delay, backoff or release was over. None where no job is ready. Where more than
    #: 1,000 jobs became ready later than they were created, or jobs came after the calendar was
    #: set back, it is at least this.
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
    """Return the statistics of a queue; its cost does not grow with the queue.

    Args:
        as_of: now, on the store's clock.
        since: the moment that was asked for; ``measured`` covers what is counted from there on.
        depth: the counts by status; a status that is missing has no jobs.
        delayed: how many of the queued are not ready yet.
        measured: from the counters between ``since`` and ``as_of``.
        oldest_ready_at: since when the job that has been ready for longest is ready.
        pool_name: None: all pools together.
        exact: whether every count is exact.
        by_lane: the ready jobs of each lane, where they were counted.
        unreadable: the keys of jobs that were looked at and do not decode.
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
