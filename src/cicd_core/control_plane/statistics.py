"""Reading the queue's statistics: counts and counters, never a walk over jobs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import define, field, frozen

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cicd_core.control_plane.agents import PresentAgents
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.persistence.context import Context
    from cicd_core.queueing.scaling import Load
    from cicd_core.store.records import Count, Record, RecordPage, StoreTime

#: How far back is measured when the caller does not say.
_DAY = timedelta(days=1)
#: How far back can be measured: each day costs three calls to the store.
MAX_SINCE = timedelta(days=92)
#: How many of the jobs that agents hold are looked at, of a kind.
_HELD = 500
#: How many queued jobs are looked at in one call at most, for the one that has been ready for
#: longest, and how many of those that became ready later than they were created in all.
_LOOKED_AT = 100
_MOST_LOOKED_AT = 1_000


async def read_stats(
    context: Context, lanes: LaneBook, pool_name: str | None, since: datetime | None
) -> QueueStats:
    """Return the statistics of one pool, or of all of them together.

    Raises:
        InvalidInput: ``since`` lies in the future, or more than 92 days ago.
    """
    now = await context.calendar()
    begin = now - _DAY if since is None else since
    if begin > now:
        raise InvalidInput("since", begin, f"give a moment before now, {now}")
    if begin < now - MAX_SINCE:
        reason = f"give a moment within the last {MAX_SINCE.days} days, from {now - MAX_SINCE} on"
        raise InvalidInput("since", begin, reason)
    seen = await read_measured(context, begin, now, pool_name)
    if pool_name is None:
        return await _all_pools(context, begin, now, seen)
    return await _one_pool(context, lanes, pool_name, since=begin, now=now, seen=seen)


async def read_measured(
    context: Context, since: datetime, until: datetime, pool_name: str | None
) -> Measured:
    """Return what the counters say of a time.

    Cost: it grows with the days, and with the pools that had work on them.
    """
    values: dict[str, int] = {}
    for kind in (WAIT, RUN, ENDED):
        # What ended is kept by the quarter of an hour first, and has no prefix of one pool.
        behind = "" if pool_name is None or kind == ENDED else f"{pool_name}|"
        for group in groups_between(kind, since, until + timedelta(microseconds=1)):
            prefix = f"{group}{behind}"
            values |= (await context.store.counters(prefix)).values
    return measured(values, since, until + timedelta(microseconds=1), pool_name)


async def read_load(
    context: Context, lanes: LaneBook, pool_name: str, present: PresentAgents, slots: int
) -> Load:
    """Return how much work a pool has, for agents such as it has; ``slots`` are their capacity's.

    Cost: it grows with the jobs that are held, up to 1,000, and never with those that wait.
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
        """Those that could be claimed now."""
        return sum(self.by_lane.values())

    @property
    def leased(self) -> int:
        """Those that agents hold."""
        return self.claimed + self.running


async def count_pool(context: Context, pool_name: str, lane_keys: Sequence[str]) -> PoolCounts:
    """Return the counts of a pool, whose lanes these are."""
    statuses = (JobStatus.QUEUED, LATE, DELAYED, JobStatus.RUNNING, TRACKED)
    parts = [_in_pool(pool_name, status) for status in statuses]
    counts = await _counts(context, [*parts, *map(_lane, lane_keys)])
    at_once, late, delayed, running, tracked, *in_lanes = (count.number for count in counts)
    return PoolCounts(
        by_lane=dict(zip(lane_keys, in_lanes, strict=True)),
        delayed=delayed,
        # What is claimed reads as queued in the index, and is in no lane.
        claimed=max(0, at_once + late - sum(in_lanes)),
        running=running,
        tracked=tracked,
        exact=all(count.exact for count in counts),
    )


@frozen
class Held:
    """How many of a pool's jobs each agent holds, and whether all were counted."""

    by_agent: Mapping[str, int]
    complete: bool


async def read_held(context: Context, pool_name: str, counts: PoolCounts) -> Held:
    """Return who holds the jobs of a pool: up to 1,000 records are looked at."""
    running = await _page_of(context, _in_pool(pool_name, JobStatus.RUNNING))
    held = list(running.records)
    complete = not running.more
    if counts.claimed:  # those are in no partition of their own
        leased = await _page_of(context, Partition(JOBS.name, TIMERS, LEASED))
        queued = {of_pool(pool_name, each) for each in (JobStatus.QUEUED, LATE)}
        held += [each for each in leased.records if each.attributes[BY_POOL.partition] in queued]
        complete = complete and not leased.more
    agents = (each.attributes.get(BY_AGENT.partition, "") for each in held)
    return Held(Counter(agents), complete)


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
    # A claimed job reads as queued in the index, a dead letter as its last verdict.
    claimed = max(0, leased - by_status[JobStatus.RUNNING])
    queued = sum(by_status[each] for each in job_statuses(JobStatus.QUEUED))
    failed = sum(by_status[each] for each in (JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR))
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
            QueueStatus.FAILED: sum(ended.get(each, 0) for each in ("failed", "timeout", "error")),
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
    """The ready job that has been ready for longest, as far as was looked."""

    ready_at: datetime | None = None
    #: The stamp of its enqueue, on the steady clock (µs).
    queued_stamp: int | None = None
    unreadable: list[str] = field(factory=list[str])

    def look(self, record: Record) -> None:
        """Take the job of a record into account, unless an agent holds it."""
        if record.lease is not None:
            return
        try:
            job = load_job(record).value
        except UNREADABLE:
            self.unreadable.append(record.key)
            return
        if job.ready_at is not None and (self.ready_at is None or job.ready_at < self.ready_at):
            self.ready_at, self.queued_stamp = job.ready_at, job.queued_stamp

    def bounded(self, time: StoreTime) -> _Oldest:
        """Return it with a wait that is no longer than what has passed since its enqueue."""
        if self.ready_at is not None and self.queued_stamp is not None:
            queued_at = from_micros(time.calendar_of(self.queued_stamp))
            self.ready_at = max(self.ready_at, queued_at)
        return self


async def _longest_ready(context: Context, at_once: Partition, late: Partition) -> _Oldest:
    """Return which job has been ready for longest, of those ready at once and those ready later.

    The first of the former that no agent holds is the oldest of its kind. Among the latter none
    was ready before it was created, so that the search ends at the first one created after the
    oldest known, or after 1,000 jobs.
    """
    oldest = _Oldest()

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
    return oldest.bounded(await context.store.now())


def _created(record: Record) -> int:
    return int(record.attributes[BY_STATUS.sort].partition(":")[0])


async def _look_through(
    context: Context,
    partition: Partition,
    is_enough: Callable[[Record], bool],
    most: int | None = None,
) -> None:
    """Show the records, the first created first, until one is enough, or ``most`` were shown."""
    after: str | None = None
    shown, size = 0, 1
    while most is None or shown < most:
        query = Query(partition=partition, limit=size, after=after)
        page = await context.store.page(query)
        after = page.end(partition.index)
        if any(map(is_enough, page.records)) or not page.more or after is None:
            return
        shown, size = shown + len(page.records), min(2 * size, _LOOKED_AT)
