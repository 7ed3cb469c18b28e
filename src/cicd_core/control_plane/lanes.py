"""The lanes of each pool: one record a pool, cached where it is used.

Agents find work only through this list, so work may go to a lane only while the list confirms it.
A process relies on its last read for ``lane_refresh_seconds``, at most a minute, and then reads
again: it restores a lost list (after a failover, a restore, a flush) with every lane that it has
sent work to meanwhile. :mod:`cicd_core.control_plane.lane_tending` finds the rest and drops empty
lanes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
from attrs import define, field

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreError, TooManyConflicts, TooManyLanes
from cicd_core.model.instants import SECOND, sort_key
from cicd_core.model.job import JobState
from cicd_core.persistence.codec import LANE_DIRECTORY
from cicd_core.persistence.collections import (
    JOBS,
    LANE_CHANGES,
    LANES,
    LANES_KIND,
    READY,
)
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.queueing.lanes import (
    TRUSTED_SECONDS,
    VOUCHED_MICROS,
    Lane,
    LaneDirectory,
    disused,
    lane_of,
    lanes_for,
    parse_lane,
    retired,
    seen_at,
    vouched,
    with_lane,
    without_lanes,
)
from cicd_core.store.records import Commit, Committed, Partition, Put, Watch
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.store.records import Record, StoreTime

_log = logging.getLogger("cicd_core.control_plane")

#: Number of cached pools; others cost a read.
_REMEMBERED = 4_096
#: Retention of an empty list (µs).
_EMPTY_MICROS = 60 * SECOND


@frozen
class _Listed:
    """A pool's lanes, as read from the store."""

    directory: LaneDirectory
    #: The newest change of the directory; None if the pool has no record.
    changed_at: str | None
    #: When it was read, in seconds of this process's clock.
    read_at: float


@frozen
class _Moment:
    """One moment, on the store's clock (µs) and on this process's (s)."""

    micros: int
    seconds: float


@define(eq=False)
class _Sent:
    """The cache of a pool whose lanes this process sends work to."""

    #: The time of the last read of the list.
    read: _Moment
    #: The lanes that the list confirmed.
    vouched: frozenset[str] = frozenset()
    #: The lanes that work went to, with the last time (µs).
    used: dict[str, int] = field(factory=dict[str, int])


@frozen
class ServedLanes:
    """The lanes that an agent can serve, and the changes to wait for."""

    pool_name: str
    keys: tuple[str, ...]
    changed_at: str | None

    def watches(self, turn: str) -> tuple[Watch, ...]:
        """Return the changes to wait for: work in one of these lanes, or a new lane of the pool.

        A job wakes one waiting call, in turn; a new lane wakes all of them.
        """
        return (
            *(Watch(Partition(JOBS.name, READY, key), turn=turn) for key in self.keys),
            Watch(Partition(LANES.name, LANE_CHANGES, self.pool_name), after=self.changed_at),
        )


class LaneBook:
    """Caches the existing lanes, and lists new ones before work goes there."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sent: dict[str, _Sent] = {}
        self._listing = anyio.Lock()
        self._read: dict[str, _Listed] = {}

    async def unlisted(self, lanes: Iterable[Lane], time: StoreTime) -> list[Lane]:
        """Return the lanes to which work may not go yet; this lists none of them.

        Cost: nothing if the pool was read recently, else a read per pool.
        """
        longest = min(self._context.settings.lane_refresh_seconds, TRUSTED_SECONDS)
        missing: list[Lane] = []
        for pool_name, wanted in _by_pool(lanes).items():
            now = _Moment(time.micros, monotonic_seconds())
            sent = self._sent.get(pool_name)
            if sent is None or not _is_recent(sent.read, now, longest):
                sent = await self._look(pool_name, now)
            for key, lane in wanted.items():
                if key in sent.vouched:
                    sent.used[key] = now.micros
                else:
                    missing.append(lane)
        return missing

    async def ensure(self, lanes: Iterable[Lane], *, beyond: bool = False) -> None:
        """Make sure that the list confirms each lane: agents find work only through the list.

        Args:
            lanes: those that work will go to.
            beyond: list them even if there is no room, and skip a list that does not decode:
                for existing work, which must not be lost.

        Raises:
            TooManyLanes: the pool has no room for another lane.
        """
        for pool_name, wanted in _by_pool(lanes).items():
            try:
                await self._ensure(pool_name, wanted.values(), beyond=beyond)
            except UNREADABLE as broken:
                if not beyond:
                    raise
                _log.error("jobs are in lanes that cannot be listed: %s", broken)

    async def ensure_for(self, job: Job) -> None:
        """Make sure that agents find an existing job when it is queued."""
        if job.state is JobState.QUEUED:
            await self.ensure([lane_of(job)], beyond=True)

    async def confirm(self, lanes: Iterable[Lane], at: int) -> None:
        """Make sure, after a commit at a time of the store (µs), that its work is in listed lanes.

        If the commit took longer than a list may be relied on, others may have dropped its lanes
        meanwhile. The work exists in any case, so a failure is only logged.
        """
        now = _Moment(at, monotonic_seconds())
        stale = [
            lane
            for pool_name, wanted in _by_pool(lanes).items()
            for lane in wanted.values()
            if (sent := self._sent.get(pool_name)) is None
            or not _is_recent(sent.read, now, TRUSTED_SECONDS)
        ]
        if not stale:
            return
        try:
            await self.ensure(stale, beyond=True)
        except StoreError as failed:
            _log.warning("maintenance will check that these lanes are listed: %s", failed)

    async def serving(
        self,
        pool_name: str,
        labels: Collection[str],
        job_types: Collection[str] | None,
        *,
        refresh: bool = False,
    ) -> ServedLanes:
        """Return the lanes of a pool that an agent serves.

        Without ``refresh``, a read within the last ``lane_refresh_seconds`` is good
        enough: a claim then costs no read.
        """
        listed = self._read.get(pool_name)
        longest = self._context.settings.lane_refresh_seconds
        if refresh or listed is None or monotonic_seconds() - listed.read_at > longest:
            listed = await self._refresh(pool_name)
        keys = lanes_for(listed.directory, labels, job_types)
        return ServedLanes(pool_name, keys, listed.changed_at)

    async def of_pool(self, pool_name: str) -> tuple[str, ...]:
        """Return every lane that the pool lists."""
        return (await self._refresh(pool_name)).directory.lanes

    async def records(self, pool_names: Collection[str]) -> Mapping[str, Record]:
        """Return the records of the lists, by pool name."""
        return await self._context.store.get(LANES.name, tuple(pool_names))

    async def list_lanes(
        self, pool_name: str, lanes: Collection[Lane], *, beyond: bool = False
    ) -> None:
        """Write a pool's list so that it confirms the lanes.

        Raises:
            TooManyLanes: the pool has no room for another lane.
            TooManyConflicts: other writers changed the list each time.
        """
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            now = await self._moment()
            record = (await self.records([pool_name])).get(pool_name)
            grown = before = directory_of(pool_name, record)
            for lane in lanes:
                grown = with_lane(grown, lane, now=now.micros, beyond=beyond)
            if grown is before or await self._write(record, grown, now.micros):
                self._remember(grown, now, used=[lane.key for lane in lanes])
                self._read.pop(pool_name, None)
                return
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"lanes {pool_name}"], attempts)

    async def drop_empty(self, pool_name: str) -> None:
        """Drop the lanes of a pool that are disused and empty."""
        now = (await self._context.store.now()).micros
        record = (await self.records([pool_name])).get(pool_name)
        directory = directory_of(pool_name, record)
        empty = await self._empty(disused(directory, now))
        if empty and await self._write(record, without_lanes(directory, empty), now):
            _log.info("pool %s: %d empty lanes were dropped", pool_name, len(empty))

    async def _retire_empty(self, pool_name: str) -> None:
        """Make room in the list of a pool by dropping empty lanes."""
        now = (await self._context.store.now()).micros
        record = (await self.records([pool_name])).get(pool_name)
        directory = directory_of(pool_name, record)
        empty = await self._empty(directory.lanes)
        gone = {*empty} & {*disused(directory, now)}
        left = retired(without_lanes(directory, gone), empty, now)
        if left != directory:  # if another process was first, the next try sees it
            await self._write(record, left, now)

    async def _empty(self, keys: Sequence[str]) -> list[str]:
        """Return the lanes without waiting jobs."""
        if not keys:
            return []
        partitions = [Partition(JOBS.name, READY, key) for key in keys]
        counts = await self._context.store.count(partitions)
        return [key for key, count in zip(keys, counts, strict=True) if not count.number]

    async def _ensure(self, pool_name: str, lanes: Collection[Lane], *, beyond: bool) -> None:
        missing = await self.unlisted(lanes, await self._context.store.now())
        if not missing:
            return
        async with self._listing:  # tasks of one process do not race for the record
            try:
                await self.list_lanes(pool_name, missing)
            except TooManyLanes:
                await self._retire_empty(pool_name)
                await self.list_lanes(pool_name, missing, beyond=beyond)

    async def _write(self, record: Record | None, directory: LaneDirectory, now: int) -> bool:
        """Replace a pool's list; False if another writer was first.

        Only a newly listed lane changes ``changed_at``, which agents wait for. An empty
        list expires after a minute: only pools with current or recent work have one.
        """
        changed_at = None if record is None else record.attributes["changed_at"]
        before = directory_of(directory.pool_name, record)
        if changed_at is None or not set(directory.lanes) <= set(before.lanes):
            # Waiters look for a larger value, so two additions in one µs must differ.
            least = 0 if changed_at is None else int(changed_at.partition(":")[0]) + 1
            changed_at = sort_key(max(now, least), directory.pool_name)
        put = Put(
            collection=LANES.name,
            key=directory.pool_name,
            expected=0 if record is None else record.version,
            body=LANE_DIRECTORY.encode(directory),
            attributes={
                "pool_name": directory.pool_name,
                "kind": LANES_KIND,
                "changed_at": changed_at,
            },
            expires_at=None if directory.lanes else now + _EMPTY_MICROS,
        )
        commit = Commit(commit_id=self._context.ids.commit_id(), writes=(put,))
        (answer,) = await self._context.store.commit([commit])
        return isinstance(answer, Committed)

    async def _look(self, pool_name: str, now: _Moment) -> _Sent:
        """Read a pool's list, and the lost lanes that work went to since the last read."""
        record = (await self.records([pool_name])).get(pool_name)
        directory = directory_of(pool_name, record)
        known = self._sent.get(pool_name)
        lost = [] if known is None else _lost(known, directory, now.micros)
        if lost:
            _log.warning(
                "pool %s has lost %d of its lanes; they are listed again", pool_name, len(lost)
            )
            await self.list_lanes(pool_name, lost, beyond=True)
            return self._sent[pool_name]
        return self._remember(directory, now)

    def _remember(
        self, directory: LaneDirectory, now: _Moment, used: Collection[str] = ()
    ) -> _Sent:
        if len(self._sent) > _REMEMBERED:
            self._sent.clear()
        sent = self._sent.setdefault(directory.pool_name, _Sent(now))
        sent.read, sent.vouched = now, vouched(directory, now.micros)
        sent.used = {key: at for key, at in sent.used.items() if now.micros - at < VOUCHED_MICROS}
        sent.used |= dict.fromkeys(used, now.micros)
        return sent

    async def _refresh(self, pool_name: str) -> _Listed:
        record = (await self.records([pool_name])).get(pool_name)
        listed = _Listed(
            directory_of(pool_name, record),
            None if record is None else record.attributes["changed_at"],
            monotonic_seconds(),
        )
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[pool_name] = listed
        return listed

    async def _moment(self) -> _Moment:
        return _Moment((await self._context.store.now()).micros, monotonic_seconds())


def directory_of(pool_name: str, record: Record | None) -> LaneDirectory:
    """Return the list in a pool's record.

    Raises:
        CorruptRecord: it does not decode.
    """
    if record is None:
        return LaneDirectory(pool_name)
    return LANE_DIRECTORY.decode(record.key, record.body).value


def _by_pool(lanes: Iterable[Lane]) -> dict[str, dict[str, Lane]]:
    pools: dict[str, dict[str, Lane]] = {}
    for lane in lanes:
        pools.setdefault(lane.pool_name, {})[lane.key] = lane
    return pools


def _is_recent(read: _Moment, now: _Moment, longest: float) -> bool:
    """Return whether little time has passed on both clocks: one of them may have stood still."""
    passed = (now.micros - read.micros) / SECOND
    return passed <= longest and now.seconds - read.seconds <= longest


def _lost(sent: _Sent, directory: LaneDirectory, now: int) -> list[Lane]:
    """Return lanes that work went to so recently that no process can have dropped them."""
    return [
        parse_lane(key)
        for key, at in sent.used.items()
        if now - at < VOUCHED_MICROS and seen_at(directory, key) is None
    ]
