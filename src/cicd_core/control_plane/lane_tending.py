"""Looking after the lists of lanes: empty lanes are dropped, lost ones are listed again.

A lane is dropped when no list vouched for it for an hour and nothing waits in it. Whoever sends
work there vouches for it first, and relies on that for far less than an hour; so no work is on its
way to a lane that is dropped. A job that waits in a lane that no list names, since a record was
lost, is found by walking over the queued jobs, a page at a time.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from cicd_core.control_plane.lanes import directory_of
from cicd_core.errors import InvalidInput
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

#: How often the lists are looked after, in seconds of the store's clock.
TENDING_SECONDS: Final = 30
_MICROS: Final = 1_000_000
#: How many lists, and how many queued jobs, are looked at each time.
LISTS: Final = 64
_JOBS: Final = 100


class LaneTender:
    """Looks after the lists of lanes, a page at a time. Any number may run at once."""

    def __init__(self, context: Context, lanes: LaneBook) -> None:
        """Take the way to the store, and the lanes."""
        self._context = context
        self._lanes = lanes
        self._due = 0
        self._lists_after: str | None = None
        #: The statuses, in the index, of jobs that may wait in a lane: the first is walked over.
        self._ready = deque([JobStatus.QUEUED.value, LATE])
        self._jobs_after: str | None = None

    async def tend(self) -> None:
        """Look at the next page of lists and of queued jobs, every half a minute.

        Cost: three pages, a read, and a count of the lanes that may be dropped; the same whatever
            the store holds.
        """
        now = (await self._context.store.now()).micros
        if now < self._due:
            return
        self._due = now + TENDING_SECONDS * _MICROS
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
                _log.error("left alone: %s", broken)
                continue
            if disused(listed, now):  # as the page shows it, which may lag behind
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
                _log.error("left alone: %s", broken)
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
        """Return the next page of jobs; where one status ends, that of the next one with it."""
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
    """Return the lanes in which these jobs wait, by pool; the bodies are not looked at."""
    pools: dict[str, list[Lane]] = {}
    for key in dict.fromkeys(each.attributes.get("lane", "") for each in records):
        try:
            lane = parse_lane(key)
        except InvalidInput:  # it cannot be claimed now, or is damaged
            continue
        pools.setdefault(lane.pool_name, []).append(lane)
    return pools
