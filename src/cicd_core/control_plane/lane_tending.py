"""Maintenance of lane lists: drops empty lanes and lists lost ones again.

A lane is dropped when no process has confirmed it for an hour and no job waits in it. A process
confirms a lane before it sends work there, and relies on that for much less than an hour; so no
work is on its way to a dropped lane. If a record was lost, a job may wait in a lane that no list
names: maintenance finds it by reading the queued jobs, a page at a time.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from cicd_core.control_plane.lanes import directory_of
from cicd_core.errors import InvalidInput
from cicd_core.model.instants import SECOND
from cicd_core.model.job import JobStatus
from cicd_core.persistence.collections import (
    ALL_LANES,
    BY_STATUS,
    JOBS,
    LANES,
    LANES_KIND,
    LATE,
)
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.queueing.lanes import disused, parse_lane, seen_at
from cicd_core.store.records import Partition, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.persistence.context import Context
    from cicd_core.queueing.lanes import Lane
    from cicd_core.store.records import Record, RecordPage

_log = logging.getLogger("cicd_core.maintenance")

#: Time between two checks of the lists, in seconds of the store's clock.
TENDING_SECONDS: Final = 30
#: Number of lists, and of queued jobs, read each time.
LISTS: Final = 64
_JOBS: Final = 100


class LaneTender:
    """Maintains the lists of lanes, a page at a time. Any number may run at once."""

    def __init__(self, context: Context, lanes: LaneBook) -> None:
        self._context = context
        self._lanes = lanes
        self._due = 0
        self._lists_after: str | None = None
        #: The index statuses of jobs that may wait in a lane; the first is read page by page.
        self._ready = deque([JobStatus.QUEUED.value, LATE])
        self._jobs_after: str | None = None

    async def tend(self) -> None:
        """Check the next page of lists and of queued jobs, every half minute.

        Cost: three pages, a read, and a count of the lanes that may be dropped; independent of the
            size of the store.
        """
        now = (await self._context.store.now()).micros
        if now < self._due:
            return
        self._due = now + TENDING_SECONDS * SECOND
        await self._drop_empty(now)
        await self._find_lost()

    async def _drop_empty(self, now: int) -> None:
        partition = Partition(LANES.name, ALL_LANES, LANES_KIND)
        page = await self._page(partition, LISTS, self._lists_after)
        self._lists_after = page.end(partition.index) if page.more else None
        for record in page.records:
            try:
                listed = directory_of(record.key, record)
            except UNREADABLE as broken:
                _log.error("skipped: %s", broken)
                continue
            if disused(listed, now):  # according to the page, which may lag behind
                await self._lanes.drop_empty(record.key)

    async def _find_lost(self) -> None:
        waiting = _lanes_of(await self._next_jobs())
        if not waiting:
            return
        lists = await self._lanes.records(waiting)
        for pool_name, lanes in waiting.items():
            try:
                directory = directory_of(pool_name, lists.get(pool_name))
            except UNREADABLE as broken:
                _log.error("skipped: %s", broken)
                continue
            lost = [lane for lane in lanes if seen_at(directory, lane.key) is None]
            if lost:
                await self._lanes.list_lanes(pool_name, lost, beyond=True)
                _log.warning(
                    "pool %s had lost %d lanes in which jobs wait; they are listed again",
                    pool_name,
                    len(lost),
                )

    async def _next_jobs(self) -> list[Record]:
        """Return the next page of jobs; at the end of a status, add the page of the next one."""
        found: list[Record] = []
        for _ in range(len(self._ready)):
            partition = Partition(JOBS.name, BY_STATUS, self._ready[0])
            page = await self._page(partition, _JOBS, self._jobs_after)
            found += page.records
            self._jobs_after = page.end(partition.index) if page.more else None
            if self._jobs_after is not None:
                break
            self._ready.rotate()
        return found

    async def _page(self, partition: Partition, limit: int, after: str | None) -> RecordPage:
        query = Query(partition=partition, limit=limit, after=after)
        return await self._context.store.page(query)


def _lanes_of(records: Iterable[Record]) -> dict[str, list[Lane]]:
    """Return the lanes in which these jobs wait, by pool, without decoding their bodies."""
    pools: dict[str, list[Lane]] = {}
    for key in dict.fromkeys(record.attributes.get("lane", "") for record in records):
        try:
            lane = parse_lane(key)
        except InvalidInput:  # it cannot be claimed now, or is damaged
            continue
        pools.setdefault(lane.pool_name, []).append(lane)
    return pools
