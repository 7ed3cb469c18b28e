"""Lanes: the jobs of a pool that the same agents can run.

A job's pool, job type and required labels name its lane. Jobs with the same needs wait in the same
lane, so an agent asks only for the lanes that it can serve, and never sees a job that it cannot
run. A job that no agent can run blocks no other job.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from attrs import field

from cicd_core.errors import InvalidInput, TooLarge, TooManyLanes
from cicd_core.model.checks import check_name, check_names
from cicd_core.model.instants import SECOND
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cicd_core.model.job import Job

#: The most lanes that one pool may have.
MAX_LANES: Final = 256
#: The most bytes of a lane's key: it is a partition of an index, and stores put prefixes before it.
MAX_LANE_BYTES: Final = 900

#: Work goes to a lane only while the directory vouches for it: for this long after ``seen``. A
#: process that enqueues later vouches for it again first, which is one write per lane in that time.
VOUCHED_MICROS: Final = 15 * 60 * SECOND
#: How long a process may rely on a directory that it has read, in seconds of its own clock.
TRUSTED_SECONDS: Final = 60.0
#: An empty lane may be deleted if no process has vouched for it for this long. That is far more
#: than the two times above together, so that no process relies on an older reading by then.
DISUSED_MICROS: Final = 60 * 60 * SECOND
#: A retired lane stays listed for this long, which is more than a process relies on a reading.
RETIRED_MICROS: Final = 2 * 60 * SECOND
#: The most lanes that one pool lists, the retired ones included.
MAX_LISTED: Final = 4 * MAX_LANES

# Names contain neither of them, so that no two lanes share a key.
_BETWEEN_PARTS = "|"
_BETWEEN_LABELS = ","


def _canonical(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))


@frozen
class Lane:
    """The pool, the handler and the labels that an agent needs to run a job.

    The names must be checked.

    Raises:
        TooLarge: its key would have more than 900 bytes.
    """

    pool_name: str
    job_type: str
    #: An agent needs all of them. Sorted, without duplicates.
    labels: tuple[str, ...] = field(default=(), converter=_canonical)

    def __attrs_post_init__(self) -> None:
        """Refuse a lane whose key is too long for a store."""
        size = len(self.key.encode())
        if size > MAX_LANE_BYTES:
            raise TooLarge("labels", size, MAX_LANE_BYTES)

    @property
    def key(self) -> str:
        """The name of its partition in the ready index, such as ``default|build|gpu,linux``."""
        labels = _BETWEEN_LABELS.join(self.labels)
        return _BETWEEN_PARTS.join((self.pool_name, self.job_type, labels))


# Nearly all work goes to the same few lanes.
@lru_cache(maxsize=4 * MAX_LANES)
def lane_named(pool_name: str, job_type: str, labels: tuple[str, ...]) -> Lane:
    """Return the lane of checked names.

    Raises:
        TooLarge: its key would have more than 900 bytes.
    """
    return Lane(pool_name, job_type, labels)


def lane_of(job: Job) -> Lane:
    """Return the lane that the job waits in.

    Raises:
        TooLarge: its labels are so long that the lane's key would have more than 900 bytes.
    """
    return lane_named(job.pool_name, job.job_type, job.labels)


# Agents read the same few lanes again and again, each time that work may have come.
@lru_cache(maxsize=4 * MAX_LANES)
def parse_lane(key: str) -> Lane:
    """Return the lane of a key.

    Raises:
        InvalidInput: it is not the key of any lane.
    """
    parts = key.split(_BETWEEN_PARTS)
    if len(parts) != 3:  # noqa: PLR2004 - the pool, the job type and the labels
        raise InvalidInput("lane", key, "give pool|job type|label,label")
    pool_name, job_type, labels = parts
    lane = Lane(
        check_name("lane.pool_name", pool_name),
        check_name("lane.job_type", job_type),
        check_names("lane.labels", labels.split(_BETWEEN_LABELS) if labels else ()),
    )
    if lane.key != key:
        raise InvalidInput("lane", key, f"its labels must be sorted and distinct: {lane.key!r}")
    return lane


def serves(lane: Lane, labels: Collection[str], job_types: Collection[str] | None) -> bool:
    """Return whether an agent with those labels and handlers can run the jobs of the lane.

    Args:
        lane: of the agent's own pool.
        labels: all labels of the agent.
        job_types: the job types for which it has handlers; None: it takes every type.
    """
    handled = job_types is None or lane.job_type in job_types
    return handled and all(label in labels for label in lane.labels)


@frozen
class LaneDirectory:
    """The lanes of a pool that may hold work: one record per pool."""

    pool_name: str
    #: Keys, in the order in which the lanes appeared.
    lanes: tuple[str, ...] = ()
    #: When each lane was last vouched for, because work went there or waited there (µs, the store's
    #: steady clock). If there are fewer times than lanes, the others count as 0.
    seen: tuple[int, ...] = ()


def _seen(directory: LaneDirectory) -> dict[str, int]:
    """Return when each lane was last vouched for (µs), in the order of the directory."""
    return dict.fromkeys(directory.lanes, 0) | dict(
        zip(directory.lanes, directory.seen, strict=False)
    )


def seen_at(directory: LaneDirectory, key: str) -> int | None:
    """Return when a lane was last vouched for (µs); None if it is not listed."""
    if key not in directory.lanes:
        return None
    position = directory.lanes.index(key)
    return directory.seen[position] if position < len(directory.seen) else 0


def is_vouched_for(directory: LaneDirectory, key: str, now: int) -> bool:
    """Return whether work may go to a lane now (µs), by this directory."""
    seen = seen_at(directory, key)
    return seen is not None and now - seen <= VOUCHED_MICROS


def vouched(directory: LaneDirectory, now: int) -> frozenset[str]:
    """Return the keys of all lanes to which work may go now (µs)."""
    return frozenset(key for key, at in _seen(directory).items() if now - at <= VOUCHED_MICROS)


def with_lane(
    directory: LaneDirectory, lane: Lane, *, now: int = 0, beyond: bool = False
) -> LaneDirectory:
    """Return the directory with the lane listed and vouched for; unchanged if it is so already.

    Args:
        directory: the directory of the pool.
        lane: the lane to list.
        now: on the store's steady clock (µs).
        beyond: list it even beyond the limit: for work that exists already.

    Raises:
        InvalidInput: the lane belongs to another pool.
        TooManyLanes: the pool has 256 lanes already, or 1,024 with the lanes that were retired
            lately.
    """
    if lane.pool_name != directory.pool_name:
        raise InvalidInput(
            "pool_name", lane.pool_name, f"give a lane of the pool {directory.pool_name!r}"
        )
    if is_vouched_for(directory, lane.key, now):
        return directory
    seen = _seen(directory)
    if lane.key not in seen and not beyond and not _has_room(seen, now):
        raise TooManyLanes(directory.pool_name, MAX_LANES)
    seen[lane.key] = now
    return _with_seen(directory, seen)


def _has_room(seen: Mapping[str, int], now: int) -> bool:
    """Return whether another lane may be listed: retired ones do not count, up to a limit."""
    kept = sum(now - at <= DISUSED_MICROS - RETIRED_MICROS for at in seen.values())
    return kept < MAX_LANES and len(seen) < MAX_LISTED


def retired(directory: LaneDirectory, keys: Collection[str], now: int) -> LaneDirectory:
    """Return the directory with some lanes retired that are empty now (µs).

    They no longer count at once, and may be deleted two minutes later unless work came. Until then,
    a process that relies on an older reading may still send work there; a process that reads the
    directory again vouches for the lane first.
    """
    oldest = now - DISUSED_MICROS + RETIRED_MICROS - 1
    seen = _seen(directory)
    seen |= {key: min(at, oldest) for key, at in seen.items() if key in keys}
    return _with_seen(directory, seen)


def without_lanes(directory: LaneDirectory, keys: Collection[str]) -> LaneDirectory:
    """Return the directory without some lanes."""
    left = {key: at for key, at in _seen(directory).items() if key not in keys}
    return _with_seen(directory, left)


def _with_seen(directory: LaneDirectory, seen: Mapping[str, int]) -> LaneDirectory:
    moments = tuple(seen.values()) if any(seen.values()) else ()
    return evolve(directory, lanes=tuple(seen), seen=moments)


def disused(directory: LaneDirectory, now: int) -> tuple[str, ...]:
    """Return the keys of the lanes that may be deleted now (µs), if no work waits in them."""
    return tuple(key for key, at in _seen(directory).items() if now - at > DISUSED_MICROS)


def lanes_for(
    directory: LaneDirectory, labels: Collection[str], job_types: Collection[str] | None
) -> tuple[str, ...]:
    """Return the keys of the lanes that such an agent serves, see :func:`serves`.

    Raises:
        InvalidInput: the directory lists a text that is not the key of a lane.
    """
    return tuple(key for key in directory.lanes if serves(parse_lane(key), labels, job_types))
