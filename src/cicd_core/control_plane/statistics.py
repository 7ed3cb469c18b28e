"""Reading the queue's statistics: counts and counters, never a walk over jobs."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.repository import UNREADABLE
from cicd_core.control_plane.writer import together
from cicd_core.errors import InvalidInput
from cicd_core.model.job import JobStatus, Priority, QueueStatus
from cicd_core.queueing.measures import ENDED, RUN, WAIT, Measured, groups_between, measured
from cicd_core.queueing.scaling import Load
from cicd_core.queueing.stats import QueueStats, queue_stats
from cicd_core.store.collections import (
    BY_STATUS,
    DEAD,
    DEAD_LETTERS,
    DELAYED,
    JOBS,
    LEASED,
    PAUSED,
    READY,
    TIMERS,
    TRACKED,
    job_timer,
)
from cicd_core.store.overlay import load_job
from cicd_core.store.records import Partition, Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.control_plane.writer import Writer
    from cicd_core.store.records import Count, Record

#: How far back is measured when the caller does not say.
_DAY = timedelta(days=1)
#: How far back can be measured: each day costs three calls to the store.
MAX_SINCE = timedelta(days=92)
#: How many queued jobs are looked at in one call, for the oldest of them.
_LOOKED_AT = 100


async def read_stats(
    writer: Writer, lanes: LaneBook, pool_name: str | None, since: datetime | None
) -> QueueStats:
    """Return the statistics of one pool, or of all of them together.

    Raises:
        InvalidInput: ``since`` lies in the future, or more than 92 days ago.
    """
    now = await writer.now()
    begin = now - _DAY if since is None else since
    if begin > now:
        raise InvalidInput("since", begin, f"give a moment before now, {now}")
    if begin < now - MAX_SINCE:
        reason = f"give a moment within the last {MAX_SINCE.days} days, from {now - MAX_SINCE} on"
        raise InvalidInput("since", begin, reason)
    seen = await read_measured(writer, begin, now, pool_name)
    if pool_name is None:
        return await _all_pools(writer, lanes, begin, now, seen)
    return await _one_pool(writer, lanes, pool_name, since=begin, now=now, seen=seen)


async def read_measured(
    writer: Writer, since: datetime, until: datetime, pool_name: str | None
) -> Measured:
    """Return what the counters say of a time."""
    values: dict[str, int] = {}
    for kind in (WAIT, RUN, ENDED):
        for group in groups_between(kind, since, until + timedelta(microseconds=1)):
            values |= (await writer.patiently(partial(writer.store.counters, group))).values
    return measured(values, since, until + timedelta(microseconds=1), pool_name)


async def read_load(writer: Writer, lanes: LaneBook, pool_name: str) -> Load:
    """Return how much work a pool has, by count alone."""
    keys = await lanes.of_pool(pool_name)
    counts = await _counts(writer, [*_timers(pool_name), *map(_lane, keys)])
    delayed, paused, leased, _, *ready = (count.number for count in counts)
    return Load(ready=sum(ready), leased=leased, delayed=delayed + paused)


async def _all_pools(
    writer: Writer, lanes: LaneBook, since: datetime, now: datetime, seen: Measured
) -> QueueStats:
    pools = await lanes.pools()
    timers = [part for pool in pools for part in _timers(pool)]
    statuses = [Partition(JOBS.name, BY_STATUS, status.value) for status in JobStatus]
    dead_letters = Partition(JOBS.name, DEAD_LETTERS, DEAD)
    counts = await _counts(writer, [*statuses, dead_letters, *timers])
    numbers = [count.number for count in counts]
    by_status = dict(zip(JobStatus, numbers[: len(statuses)], strict=True))
    dead, *by_timer = numbers[len(statuses) :]
    delayed, paused, leased, tracked = (sum(by_timer[kind::4]) for kind in range(4))
    running = by_status[JobStatus.RUNNING]
    # Claimed reads as queued in the index, a dead letter as its last verdict.
    claimed = max(0, leased + tracked - running)
    failed = sum(by_status[each] for each in (JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR))
    return queue_stats(
        as_of=now,
        since=since,
        depth={
            QueueStatus.QUEUED: max(0, by_status[JobStatus.QUEUED] - claimed),
            QueueStatus.CLAIMED: claimed,
            QueueStatus.RUNNING: running,
            QueueStatus.COMPLETED: by_status[JobStatus.SUCCESS],
            QueueStatus.FAILED: max(0, failed - dead),
            QueueStatus.DEAD_LETTERED: dead,
            QueueStatus.CANCELLED: by_status[JobStatus.CANCELLED],
        },
        delayed=delayed + paused,
        measured=seen,
        oldest_queued_at=await _oldest_queued(writer),
        exact=all(count.exact for count in counts),
    )


async def _one_pool(
    writer: Writer,
    lanes: LaneBook,
    pool_name: str,
    *,
    since: datetime,
    now: datetime,
    seen: Measured,
) -> QueueStats:
    keys = await lanes.of_pool(pool_name)
    counts = await _counts(writer, [*_timers(pool_name), *map(_lane, keys)])
    delayed, paused, leased, tracked, *ready = (count.number for count in counts)
    delayed += paused
    ended = seen.ended
    return queue_stats(
        as_of=now,
        since=since,
        pool_name=pool_name,
        depth={
            QueueStatus.QUEUED: sum(ready) + delayed,
            # No index tells the two apart within a pool: what is claimed counts as running.
            QueueStatus.RUNNING: leased + tracked,
            QueueStatus.COMPLETED: ended.get("success", 0),
            QueueStatus.FAILED: sum(ended.get(each, 0) for each in ("failed", "timeout", "error")),
            QueueStatus.DEAD_LETTERED: ended.get("dead_lettered", 0),
            QueueStatus.CANCELLED: ended.get("cancelled", 0),
        },
        delayed=delayed,
        measured=seen,
        oldest_queued_at=await _oldest_ready(writer, keys),
        exact=all(count.exact for count in counts),
        by_lane={key: number for key, number in zip(keys, ready, strict=True) if number},
    )


def _timers(pool_name: str) -> list[Partition]:
    kinds = (DELAYED, PAUSED, LEASED, TRACKED)
    return [Partition(JOBS.name, TIMERS, job_timer(kind, pool_name)) for kind in kinds]


def _lane(key: str) -> Partition:
    return Partition(JOBS.name, READY, key)


async def _counts(writer: Writer, partitions: Sequence[Partition]) -> list[Count]:
    return await writer.patiently(lambda: writer.store.count(partitions))


async def _oldest_queued(writer: Writer) -> datetime | None:
    """Return the enqueue of the queued job that was created first.

    What is claimed reads as queued in the index: it is passed over, and never more than the agents
    hold at once.
    """
    partition = Partition(JOBS.name, BY_STATUS, JobStatus.QUEUED.value)
    after: str | None = None
    while True:
        query = Query(partition=partition, limit=_LOOKED_AT, after=after)
        page = await writer.patiently(partial(writer.store.page, query))
        found = _first_enqueue(page.records)
        if found is not None or not page.more or not page.records:
            return found
        after = page.records[-1].attributes[BY_STATUS.sort]


async def _oldest_ready(writer: Writer, keys: Sequence[str]) -> datetime | None:
    """Return the enqueue of the oldest job of the lanes: the first of each priority in each."""

    async def first(query: Query) -> datetime | None:
        page = await writer.patiently(lambda: writer.store.page(query))
        return _first_enqueue(page.records)

    queries = [
        Query(partition=_lane(key), limit=2, after=f"{priority:d}", before=f"{priority + 1:d}")
        for key in keys
        for priority in Priority
    ]
    found = await together([partial(first, query) for query in queries])
    return min((instant for instant in found if instant is not None), default=None)


def _first_enqueue(records: Sequence[Record]) -> datetime | None:
    """Return when the first of the jobs that nobody holds, and that can be read, was enqueued."""
    for record in records:
        if record.lease is not None:
            continue
        try:
            job = load_job(record).value
        except UNREADABLE:
            continue
        return job.queued_at or job.created_at
    return None
