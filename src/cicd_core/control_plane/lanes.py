"""The lanes of each pool: one record a pool, append-only, cached where it is used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from cicd_core.errors import Contention
from cicd_core.model.instants import sort_key
from cicd_core.queueing.lanes import Lane, LaneDirectory, lanes_for, with_lane
from cicd_core.store.codec import LANE_DIRECTORY
from cicd_core.store.collections import ALL_LANES, JOBS, LANE_CHANGES, LANES, LANES_KIND, READY
from cicd_core.store.records import Commit, Committed, Partition, Put, Query, Watch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cicd_core.control_plane.writer import Writer
    from cicd_core.store.records import Record

#: How many lanes are remembered as known to exist: what goes over costs a read again.
_REMEMBERED = 65_536


@frozen
class _Listed:
    """A pool's lanes as they were read."""

    directory: LaneDirectory
    #: The newest change that the directory holds; None where the pool has no record.
    changed_at: str | None
    #: When it was read, in seconds of the event loop's clock.
    read_at: float


@frozen
class ServedLanes:
    """The lanes that an agent can serve, and what to wait for."""

    pool_name: str
    keys: tuple[str, ...]
    changed_at: str | None

    def watches(self) -> tuple[Watch, ...]:
        """Return what to wait for: work in one of these lanes, or a new lane of the pool."""
        return (
            *(Watch(Partition(JOBS.name, READY, key)) for key in self.keys),
            Watch(Partition(LANES.name, LANE_CHANGES, self.pool_name), after=self.changed_at),
        )


class LaneBook:
    """Knows which lanes exist, and writes down the new ones before work goes there."""

    def __init__(self, writer: Writer) -> None:
        """Remember nothing yet."""
        self._writer = writer
        self._known: set[tuple[str, str]] = set()
        self._listing = anyio.Lock()
        self._read: dict[str, _Listed] = {}

    async def ensure(self, lanes: Iterable[Lane]) -> None:
        """Make sure that each lane is listed: agents find work by the list alone.

        Raises:
            TooManyLanes: the pool has no room for another one.
        """
        for lane in lanes:
            if (lane.pool_name, lane.key) not in self._known:
                async with self._listing:  # within a process they need not race for the record
                    if (lane.pool_name, lane.key) not in self._known:
                        await self._list(lane)

    async def serving(
        self,
        pool_name: str,
        labels: Collection[str],
        job_types: Collection[str] | None,
        *,
        anew: bool = False,
    ) -> ServedLanes:
        """Return the lanes of a pool that such an agent serves.

        Unless it is to read ``anew``, what was read within ``lane_refresh_seconds`` is good
        enough: a claim then costs no read.
        """
        listed = self._read.get(pool_name)
        longest = self._writer.settings.lane_refresh_seconds
        if anew or listed is None or anyio.current_time() - listed.read_at > longest:
            listed = await self._read_anew(pool_name)
        keys = lanes_for(listed.directory, labels, job_types)
        return ServedLanes(pool_name, keys, listed.changed_at)

    async def of_pool(self, pool_name: str) -> tuple[str, ...]:
        """Return every lane that the pool lists, read anew."""
        return (await self._read_anew(pool_name)).directory.lanes

    async def pools(self) -> list[str]:
        """Return every pool that ever had work, in the order of their names."""
        partition = Partition(LANES.name, ALL_LANES, LANES_KIND)
        store, names = self._writer.store, list[str]()
        after: str | None = None
        while True:
            query = Query(partition=partition, limit=256, after=after)
            page = await self._writer.patiently(partial(store.page, query))
            names += [record.key for record in page.records]
            if not page.more or not page.records:
                return sorted(set(names))
            after = page.records[-1].attributes["changed_at"]

    async def _read_anew(self, pool_name: str) -> _Listed:
        record = await self._record(pool_name)
        listed = _Listed(
            _directory(pool_name, record),
            None if record is None else record.attributes["changed_at"],
            anyio.current_time(),
        )
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[pool_name] = listed
        return listed

    async def _record(self, pool_name: str) -> Record | None:
        store = self._writer.store
        found = await self._writer.patiently(lambda: store.get(LANES.name, [pool_name]))
        return found.get(pool_name)

    async def _list(self, lane: Lane) -> None:
        attempts = self._writer.settings.commit_attempts
        for attempt in range(attempts):
            record = await self._record(lane.pool_name)
            directory = with_lane(before := _directory(lane.pool_name, record), lane)
            if directory is before or await self._written(record, directory):
                self._remember(directory)
                return
            await self._writer.pause(attempt)
        raise Contention([f"lanes {lane.pool_name}"], attempts)

    async def _written(self, record: Record | None, directory: LaneDirectory) -> bool:
        micros = (await self._writer.store_time()).micros
        if record is not None:  # waiters look for a larger value: two additions in one µs differ
            micros = max(micros, int(record.attributes["changed_at"].partition(":")[0]) + 1)
        put = Put(
            collection=LANES.name,
            key=directory.pool_name,
            expected=0 if record is None else record.version,
            body=LANE_DIRECTORY.encode(directory),
            attributes={
                "pool_name": directory.pool_name,
                "kind": LANES_KIND,
                "changed_at": sort_key(micros, directory.pool_name),
            },
        )
        commit = Commit(commit_id=self._writer.ids.commit_id(), writes=(put,))
        (answer,) = await self._writer.commit([commit])
        return isinstance(answer, Committed)

    def _remember(self, directory: LaneDirectory) -> None:
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        self._known |= {(directory.pool_name, key) for key in directory.lanes}
        self._read.pop(directory.pool_name, None)


def _directory(pool_name: str, record: Record | None) -> LaneDirectory:
    if record is None:
        return LaneDirectory(pool_name)
    return LANE_DIRECTORY.decode(record.key, record.body).value
