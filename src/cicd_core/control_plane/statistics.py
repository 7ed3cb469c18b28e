"""Reading the queue's statistics: counts and counters, never a walk over jobs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import define, field

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import from_micros, to_micros
from cicd_core.model.job import JobStatus, QueueStatus
from cicd_core.persistence.collections import (
    BY_AGENT,
    BY_POOL,
    BY_STATUS,
    DEAD,
    DEAD_LETTERS,
    DELAYED,
    JOBS,
    LATE,
    LEASED,
    READY,
    TIMERS,
    TRACKED,
    job_statuses,
    of_pool,
)
from cicd_core.persistence.grants import load_job
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.queueing.measures import ENDED, RUN, WAIT, Measured, groups_between, measured
from cicd_core.queueing.scaling import load_of
from cicd_core.queueing.stats import QueueStats, queue_stats
from cicd_core.store.records import Partition, Query
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cicd_core.control_plane.agents import PresentAgents
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.queueing.scaling import Load
    from cicd_core.store.records import Count, Record, RecordPage, StoreTime

#: Default period.
_DAY = timedelta(days=1)
#: Maximum period: each day costs three calls to the store.
MAX_SINCE = timedelta(days=92)
#: Maximum number of held jobs that are read, of each kind.
_HELD = 500
#: Maximum number of queued jobs that are read in one call to find the one that has been ready the
#: longest, and of those in total that became ready after their creation.
_LOOKED_AT = 100
_MOST_LOOKED_AT = 1_000


async def read_stats(
    context: Context, lanes: LaneBook, pool_name: str | None, since: datetime | None
) -> QueueStats:
    """Return the statistics of one pool, or of all pools together.

    Raises:
        InvalidInput: ``since`` is in the future, or more than 92 days ago.
    """
    now = await context.calendar()
    begin = now - _DAY if since is None else since
    if begin > now:
        raise InvalidInput("since", begin, f"give a moment before now, {now.isoformat()}")
    if begin < now - MAX_SINCE:
        begins = (now - MAX_SINCE).isoformat()
        reason = f"give a moment within the last {MAX_SINCE.days} days, on or after {begins}"
        raise InvalidInput("since", begin, reason)
    seen = await read_measured(context, begin, now, pool_name)
    if pool_name is None:
        return await _all_pools(context, begin, now, seen)
    return await _one_pool(context, lanes, pool_name, since=begin, now=now, seen=seen)


async def read_measured(
    context: Context, since: datetime, until: datetime, pool_name: str | None
) -> Measured:
    """Return the counts of a period.

    Cost: one round trip; it grows with the days, and with the pools that had work on them.
    """
    end = until + timedelta(microseconds=1)
    # Counters of ended jobs are ordered by quarter of an hour, and have no prefix of a pool.
    behind = "" if pool_name is None else f"{pool_name}|"
    timed = [*groups_between(WAIT, since, end), *groups_between(RUN, since, end)]
    prefixes = [*(f"{group}{behind}" for group in timed), *groups_between(ENDED, since, end)]
    values = await context.counters(prefixes)
    return measured(values, since, end, pool_name)


async def read_load(
    context: Context, lanes: LaneBook, pool_name: str, present: PresentAgents, slots: int
) -> Load:
    """Return the load of a pool for its agents; ``slots`` is their capacity.

    Cost: grows with the held jobs, up to 1,000, and never with the waiting ones.
    """
    counts = await count_pool(context, pool_name, await lanes.of_pool(pool_name))
    held = await read_held(context, pool_name, counts)
    return load_of(
        ready=counts.ready,
        leased=counts.leased,
        delayed=counts.delayed,
        by_lane=counts.by_lane,
        held=held.by_agent if held.complete else None,
        agents=present.agents,
        unreadable=present.unreadable,
        slots=slots,
    )


@frozen(kw_only=True)
class PoolCounts:
    """The jobs of one pool that have not ended, counted in one call."""

    by_lane: Mapping[str, int]
    delayed: int
    claimed: int
    running: int
    tracked: int
    exact: bool

    @property
    def ready(self) -> int:
        """Jobs that can be claimed now."""
        return sum(self.by_lane.values())

    @property
    def leased(self) -> int:
        """Jobs that agents hold."""
        return self.claimed + self.running


async def count_pool(context: Context, pool_name: str, lane_keys: Sequence[str]) -> PoolCounts:
    """Return the counts of a pool with these lanes."""
    statuses = (JobStatus.QUEUED, LATE, DELAYED, JobStatus.RUNNING, TRACKED)
    parts = [_in_pool(pool_name, status) for status in statuses]
    counts = await _counts(context, [*parts, *map(_lane, lane_keys)])
    at_once, late, delayed, running, tracked, *in_lanes = (count.number for count in counts)
    return PoolCounts(
        by_lane=dict(zip(lane_keys, in_lanes, strict=True)),
        delayed=delayed,
        # A claimed job has status queued in the index, and is in no lane.
        claimed=max(0, at_once + late - sum(in_lanes)),
        running=running,
        tracked=tracked,
        exact=all(count.exact for count in counts),
    )


@frozen
class HeldJobs:
    """Number of a pool's jobs that each agent holds, and whether all were counted."""

    by_agent: Mapping[str, int]
    complete: bool


async def read_held(context: Context, pool_name: str, counts: PoolCounts) -> HeldJobs:
    """Return the holders of a pool's jobs, from at most 1,000 records."""
    running = await _page_of(context, _in_pool(pool_name, JobStatus.RUNNING))
    held = list(running.records)
    complete = not running.more
    if counts.claimed:  # they have no partition of their own
        leased = await _page_of(context, Partition(JOBS.name, TIMERS, LEASED))
        queued = {of_pool(pool_name, item) for item in (JobStatus.QUEUED, LATE)}
        held += [
            record for record in leased.records if record.attributes[BY_POOL.partition] in queued
        ]
        complete = complete and not leased.more
    agents = (item.attributes.get(BY_AGENT.partition, "") for item in held)
    return HeldJobs(Counter(agents), complete)


async def _page_of(context: Context, partition: Partition) -> RecordPage:
    query = Query(partition=partition, limit=_HELD)
    return await context.store.page(query)


async def _all_pools(
    context: Context, since: datetime, now: datetime, seen: Measured
) -> QueueStats:
    statuses = [Partition(JOBS.name, BY_STATUS, status) for status in job_statuses()]
    dead_letters = Partition(JOBS.name, DEAD_LETTERS, DEAD)
    held = Partition(JOBS.name, TIMERS, LEASED)
    counts = await _counts(context, [dead_letters, held, *statuses])
    dead, leased, *numbers = (count.number for count in counts)
    by_status = dict(zip(job_statuses(), numbers, strict=True))
    # A claimed job has status queued in the index, a dead letter its last verdict.
    claimed = max(0, leased - by_status[JobStatus.RUNNING])
    queued = sum(by_status[job_status] for job_status in job_statuses(JobStatus.QUEUED))
    failed = sum(by_status[item] for item in (JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR))
    oldest = await _longest_ready(
        context,
        Partition(JOBS.name, BY_STATUS, JobStatus.QUEUED),
        Partition(JOBS.name, BY_STATUS, LATE),
    )
    return queue_stats(
        as_of=now,
        since=since,
        depth={
            QueueStatus.QUEUED: max(0, queued - claimed),
            QueueStatus.CLAIMED: claimed,
            QueueStatus.RUNNING: by_status[JobStatus.RUNNING] + by_status[TRACKED],
            QueueStatus.COMPLETED: by_status[JobStatus.SUCCESS],
            QueueStatus.FAILED: max(0, failed - dead),
            QueueStatus.DEAD_LETTERED: dead,
            QueueStatus.CANCELLED: by_status[JobStatus.CANCELLED],
        },
        delayed=by_status[DELAYED],
        measured=seen,
        oldest_ready_at=oldest.ready_at,
        unreadable=tuple(oldest.unreadable),
        exact=all(count.exact for count in counts),
    )


async def _one_pool(
    context: Context,
    lanes: LaneBook,
    pool_name: str,
    *,
    since: datetime,
    now: datetime,
    seen: Measured,
) -> QueueStats:
    counts = await count_pool(context, pool_name, await lanes.of_pool(pool_name))
    ended = seen.ended
    oldest = await _longest_ready(
        context, _in_pool(pool_name, JobStatus.QUEUED), _in_pool(pool_name, LATE)
    )
    return queue_stats(
        as_of=now,
        since=since,
        pool_name=pool_name,
        depth={
            QueueStatus.QUEUED: counts.ready + counts.delayed,
            QueueStatus.CLAIMED: counts.claimed,
            QueueStatus.RUNNING: counts.running + counts.tracked,
            QueueStatus.COMPLETED: ended.get("success", 0),
            QueueStatus.FAILED: sum(ended.get(item, 0) for item in ("failed", "timeout", "error")),
            QueueStatus.DEAD_LETTERED: ended.get("dead_lettered", 0),
            QueueStatus.CANCELLED: ended.get("cancelled", 0),
        },
        delayed=counts.delayed,
        measured=seen,
        oldest_ready_at=oldest.ready_at,
        unreadable=tuple(oldest.unreadable),
        exact=counts.exact,
        by_lane={key: number for key, number in counts.by_lane.items() if number},
    )


def _in_pool(pool_name: str, status: str) -> Partition:
    return Partition(JOBS.name, BY_POOL, of_pool(pool_name, status))


def _lane(key: str) -> Partition:
    return Partition(JOBS.name, READY, key)


async def _counts(context: Context, partitions: Sequence[Partition]) -> list[Count]:
    return await context.store.count(partitions)


@define
class _Oldest:
    """The job that has been ready the longest, among the examined ones."""

    time: StoreTime
    #: On the current calendar.
    ready_at: datetime | None = None
    unreadable: list[str] = field(factory=list[str])

    def look(self, record: Record) -> None:
        """Consider the job of a record, unless an agent holds it."""
        if record.lease is not None:
            return
        try:
            job = load_job(record).value
        except UNREADABLE:
            self.unreadable.append(record.key)
            return
        ready_at = _ready_since(job, self.time)
        if ready_at is not None and (self.ready_at is None or ready_at < self.ready_at):
            self.ready_at = ready_at


def _ready_since(job: Job, time: StoreTime) -> datetime | None:
    """Return since when a job is ready, on the current calendar, which may have been set since.

    It is ready for no longer than the time since its enqueue, on the steady clock.
    """
    if job.ready_at is None or job.queued_stamp is None or job.queued_at is None:
        return job.ready_at
    queued_at = from_micros(time.calendar_of(job.queued_stamp))
    if job.ready_at <= from_micros(time.calendar_of(time.micros)):
        return max(job.ready_at, queued_at)
    return queued_at + max(timedelta(), job.ready_at - job.queued_at)  # the calendar was set back


async def _longest_ready(context: Context, at_once: Partition, late: Partition) -> _Oldest:
    """Return the job that has been ready the longest, of those ready at once and those ready later.

    The first of the former that no agent holds is the oldest of its kind. The latter become ready
    after their creation, so the search ends at the first one created after the oldest known, or
    after 1,000 jobs. While the calendar is behind its earlier time, it may end earlier.
    """
    oldest = _Oldest(await context.store.now())

    def is_found(record: Record) -> bool:
        oldest.look(record)
        return oldest.ready_at is not None

    def is_past(record: Record) -> bool:
        if oldest.ready_at is not None and _created(record) >= to_micros(oldest.ready_at):
            return True
        oldest.look(record)
        return False

    await _look_through(context, at_once, is_found)
    await _look_through(context, late, is_past, most=_MOST_LOOKED_AT)
    return oldest


def _created(record: Record) -> int:
    return int(record.attributes[BY_STATUS.sort].partition(":")[0])


async def _look_through(
    context: Context,
    partition: Partition,
    is_enough: Callable[[Record], bool],
    most: int | None = None,
) -> None:
    """Pass the records in order of creation, until one is enough or ``most`` were passed."""
    after: str | None = None
    shown, size = 0, 1
    while most is None or shown < most:
        query = Query(partition=partition, limit=size, after=after)
        page = await context.store.page(query)
        after = page.end(partition.index)
        if any(map(is_enough, page.records)) or not page.more or after is None:
            return
        shown, size = shown + len(page.records), min(2 * size, _LOOKED_AT)
