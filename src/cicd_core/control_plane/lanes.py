"""The lanes of each pool: one record a pool, cached where it is used.

Agents find work by this list alone, so work goes to a lane only while the list vouches for it. A
process relies on what it has read for ``lane_refresh_seconds``, a minute at most, and then reads it
again: a list that was lost (a failover, a restore, a flush) is written again then, with every lane
that this process sent work to meanwhile. :mod:`cicd_core.control_plane.lane_tending` finds the rest
and drops what is empty.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
from attrs import define, field, frozen

from cicd_core.errors import StoreError, TooManyConflicts, TooManyLanes
from cicd_core.model.instants import sort_key
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.store.records import Record

_log = logging.getLogger("cicd_core.control_plane")

#: How many pools are remembered: what goes over costs a read again.
_REMEMBERED = 4_096
#: How long an empty list is kept (µs).
_EMPTY_MICROS = 60 * 1_000_000


@frozen
class _Listed:
    """A pool's lanes as they were read."""

    directory: LaneDirectory
    #: The newest change that the directory holds; None where the pool has no record.
    changed_at: str | None
    #: When it was read, in seconds of the event loop's clock.
    read_at: float


@frozen
class _Moment:
    """One moment, on the store's clock (µs) and on the event loop's (s)."""

    micros: int
    seconds: float


@define(eq=False)
class _Sent:
    """What this process knows of a pool whose lanes it sends work to."""

    #: When the list was read last.
    read: _Moment
    #: The lanes that it vouched for.
    vouched: frozenset[str] = frozenset()
    #: The lanes that work went to, and when last (µs).
    used: dict[str, int] = field(factory=dict[str, int])


@frozen
class ServedLanes:
    """The lanes that an agent can serve, and what to wait for."""

    pool_name: str
    keys: tuple[str, ...]
    changed_at: str | None

    def watches(self, turn: str) -> tuple[Watch, ...]:
        """Return what to wait for: work in one of these lanes, or a new lane of the pool.

        A job wakes one of those who wait for it, by their turns; a new lane concerns all of them.
        """
        return (
            *(Watch(Partition(JOBS.name, READY, key), turn=turn) for key in self.keys),
            Watch(Partition(LANES.name, LANE_CHANGES, self.pool_name), after=self.changed_at),
        )


class LaneBook:
    """Knows which lanes exist, and writes down the new ones before work goes there."""

    def __init__(self, context: Context) -> None:
        """Remember nothing yet."""
        self._context = context
        self._sent: dict[str, _Sent] = {}
        self._listing = anyio.Lock()
        self._read: dict[str, _Listed] = {}

    async def unlisted(self, lanes: Iterable[Lane]) -> list[Lane]:
        """Return those of the lanes that work may not go to yet; it lists none of them.

        Cost: nothing where the pool was read a moment ago, else a read a pool.
        """
        longest = min(self._context.settings.lane_refresh_seconds, TRUSTED_SECONDS)
        missing: list[Lane] = []
        for pool_name, wanted in _by_pool(lanes).items():
            now = await self._moment()
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
        """Make sure that the list vouches for each lane: agents find work by the list alone.

        Args:
            lanes: where work is to go.
            beyond: list them also where there is no room, and let a list that does not decode be:
                for work that exists already, which must not be lost over it.

        Raises:
            TooManyLanes: the pool has no room for another one.
        """
        for pool_name, wanted in _by_pool(lanes).items():
            try:
                await self._ensure(pool_name, wanted.values(), beyond=beyond)
            except UNREADABLE as broken:
                if not beyond:
                    raise
                _log.error("work goes to lanes that cannot be listed: %s", broken)

    async def ensure_for(self, job: Job) -> None:
        """Make sure that agents find a job that exists already, when it is queued."""
        if job.state is JobState.QUEUED:
            await self.ensure([lane_of(job)], beyond=True)

    async def confirm(self, lanes: Iterable[Lane]) -> None:
        """Make sure, after a commit, that its work went to lanes that are listed.

        One that took longer than a list may be relied on came to lanes that others may have
        dropped meanwhile. The work is there all the same: a failure is only logged.
        """
        now = await self._moment()
        stale = [
            lane
            for pool_name, wanted in _by_pool(lanes).items()
            for lane in wanted.values()
            if (sent := self._sent.get(pool_name)) is None
            or not _is_recent(sent.read, now, TRUSTED_SECONDS)
        ]
        try:
            await self.ensure(stale, beyond=True)
        except StoreError as failed:
            _log.warning("maintenance will look whether these lanes are listed: %s", failed)

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
        longest = self._context.settings.lane_refresh_seconds
        if anew or listed is None or anyio.current_time() - listed.read_at > longest:
            listed = await self._read_anew(pool_name)
        keys = lanes_for(listed.directory, labels, job_types)
        return ServedLanes(pool_name, keys, listed.changed_at)

    async def of_pool(self, pool_name: str) -> tuple[str, ...]:
        """Return every lane that the pool lists, read anew."""
        return (await self._read_anew(pool_name)).directory.lanes

    async def records(self, pool_names: Collection[str]) -> Mapping[str, Record]:
        """Return the records of some pools' lists, by the pools' names."""
        return await self._context.store.get(LANES.name, tuple(pool_names))

    async def list_lanes(
        self, pool_name: str, lanes: Collection[Lane], *, beyond: bool = False
    ) -> None:
        """Write a pool's list so that it vouches for the lanes.

        Raises:
            TooManyLanes: the pool has no room for another one.
            TooManyConflicts: others wrote the list each time.
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
        """Make room in the list of a pool by the lanes that are empty now."""
        now = (await self._context.store.now()).micros
        record = (await self.records([pool_name])).get(pool_name)
        directory = directory_of(pool_name, record)
        empty = await self._empty(directory.lanes)
        gone = {*empty} & {*disused(directory, now)}
        left = retired(without_lanes(directory, gone), empty, now)
        if left != directory:  # where another process was first, the next try sees it
            await self._write(record, left, now)

    async def _empty(self, keys: Sequence[str]) -> list[str]:
        """Return the lanes in which nothing waits."""
        if not keys:
            return []
        partitions = [Partition(JOBS.name, READY, key) for key in keys]
        counts = await self._context.store.count(partitions)
        return [key for key, count in zip(keys, counts, strict=True) if not count.number]

    async def _ensure(self, pool_name: str, lanes: Collection[Lane], *, beyond: bool) -> None:
        missing = await self.unlisted(lanes)
        if not missing:
            return
        async with self._listing:  # within a process they need not race for the record
            try:
                await self.list_lanes(pool_name, missing)
            except TooManyLanes:
                await self._retire_empty(pool_name)
                await self.list_lanes(pool_name, missing, beyond=beyond)

    async def _write(self, record: Record | None, directory: LaneDirectory, now: int) -> bool:
        """Replace a pool's list; False where another one was first.

        Only a lane that was not listed before moves ``changed_at``, which agents wait for. An empty
        list goes by itself after a minute: only pools with work, or that had some lately, have one.
        """
        changed_at = None if record is None else record.attributes["changed_at"]
        before = directory_of(directory.pool_name, record)
        if changed_at is None or not set(directory.lanes) <= set(before.lanes):
            # Waiters look for a larger value: two additions in one µs differ.
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
        """Read a pool's list; lanes that work went to since the last time, and that were lost."""
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

    async def _read_anew(self, pool_name: str) -> _Listed:
        record = (await self.records([pool_name])).get(pool_name)
        listed = _Listed(
            directory_of(pool_name, record),
            None if record is None else record.attributes["changed_at"],
            anyio.current_time(),
        )
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[pool_name] = listed
        return listed

    async def _moment(self) -> _Moment:
        return _Moment((await self._context.store.now()).micros, anyio.current_time())


def directory_of(pool_name: str, record: Record | None) -> LaneDirectory:
    """Return the list that a pool's record holds.

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
    """Return whether little time went by on either clock: one of them may have stood still."""
    passed = (now.micros - read.micros) / 1_000_000
    return passed <= longest and now.seconds - read.seconds <= longest


def _lost(sent: _Sent, directory: LaneDirectory, now: int) -> list[Lane]:
    """Return lanes that work went to so lately that nobody can have dropped them."""
    return [
        parse_lane(key)
        for key, at in sent.used.items()
        if now - at < VOUCHED_MICROS and seen_at(directory, key) is None
    ]
