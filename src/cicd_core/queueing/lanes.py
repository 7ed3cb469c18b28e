"""Lanes: the jobs of a pool that the same agents can run.

A job's pool, job type and required labels name its lane. Jobs that need the same things wait in
the same line, so an agent asks for the lanes that it can serve and never meets a job that it
cannot run; a job that nobody can run blocks nobody.
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
#: The most bytes of a lane's key: it is a partition of an index, whose limit leaves room for the
#: prefixes that stores put before it.
MAX_LANE_BYTES: Final = 900

#: Work goes to a lane only while the directory vouches for it: for this long after ``seen``. Who
#: comes later vouches for it again first, which is one write a lane in that time.
VOUCHED_MICROS: Final = 15 * 60 * SECOND
#: How long a process may rely on a directory that it has read, in seconds of its own clock.
TRUSTED_SECONDS: Final = 60.0
#: A lane that nobody vouched for since, and that is empty, may be dropped. By then nobody relies on
#: an older reading: it is far more than the two above together.
DISUSED_MICROS: Final = 60 * 60 * SECOND
#: A lane that was retired is listed for this long yet, more than anybody relies on a reading.
RETIRED_MICROS: Final = 2 * 60 * SECOND
#: The most lanes that one pool lists, those that were retired among them.
MAX_LISTED: Final = 4 * MAX_LANES

# Neither is in the alphabet of names, so that no two lanes share a key.
_BETWEEN_PARTS = "|"
_BETWEEN_LABELS = ","


def _canonical(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))


@frozen
class Lane:
    """What an agent must be and have to run a job. The names were checked at the edge.

    Raises:
        TooLarge: its key would have more than 900 bytes.
    """

    pool_name: str
    job_type: str
    #: All of them are required. Sorted, without repetition.
    labels: tuple[str, ...] = field(default=(), converter=_canonical)

    def __attrs_post_init__(self) -> None:
        """Refuse a lane that no store could keep."""
        size = len(self.key.encode())
        if size > MAX_LANE_BYTES:
            raise TooLarge("labels", size, MAX_LANE_BYTES)

    @property
    def key(self) -> str:
        """The name of its partition in the ready index, such as ``default|build|gpu,linux``."""
        labels = _BETWEEN_LABELS.join(self.labels)
        return _BETWEEN_PARTS.join((self.pool_name, self.job_type, labels))


def lane_of(job: Job) -> Lane:
    """Return the lane that the job waits in.

    Raises:
        TooLarge: its labels are so long that the lane's key would have more than 900 bytes.
    """
    return Lane(job.pool_name, job.job_type, job.labels)


# Agents read the same few lanes again and again, each time that work may have come.
@lru_cache(maxsize=4 * MAX_LANES)
def parse_lane(key: str) -> Lane:
    """Return the lane whose key that is.

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
        labels: all that the agent has.
        job_types: those that it has handlers for; None: it takes every type.
    """
    handled = job_types is None or lane.job_type in job_types
    return handled and all(label in labels for label in lane.labels)


@frozen
class LaneDirectory:
    """The lanes of a pool that may hold work: one record a pool."""

    pool_name: str
    #: Keys, in the order in which the lanes appeared.
    lanes: tuple[str, ...] = ()
    #: When each lane was last vouched for: work went there, or was there (µs, the store's steady
    #: clock). Where there are fewer than lanes, 0 stands for the others.
    seen: tuple[int, ...] = ()


def _seen(directory: LaneDirectory) -> dict[str, int]:
    """Return when each lane was last vouched for (µs), in the order of the directory."""
    return dict.fromkeys(directory.lanes, 0) | dict(
        zip(directory.lanes, directory.seen, strict=False)
    )


def seen_at(directory: LaneDirectory, key: str) -> int | None:
    """Return when a lane was last vouched for (µs); None where it is not listed."""
    if key not in directory.lanes:
        return None
    position = directory.lanes.index(key)
    return directory.seen[position] if position < len(directory.seen) else 0


def is_vouched_for(directory: LaneDirectory, key: str, now: int) -> bool:
    """Return whether work may go to a lane now (µs), as the directory stands."""
    seen = seen_at(directory, key)
    return seen is not None and now - seen <= VOUCHED_MICROS


def vouched(directory: LaneDirectory, now: int) -> frozenset[str]:
    """Return the keys of all lanes that work may go to now (µs)."""
    return frozenset(key for key, at in _seen(directory).items() if now - at <= VOUCHED_MICROS)


def with_lane(
    directory: LaneDirectory, lane: Lane, *, now: int = 0, beyond: bool = False
) -> LaneDirectory:
    """Return the directory with the lane in it, vouched for; the same one when it needs no change.

    Args:
        directory: the pool's.
        lane: to be listed.
        now: on the store's steady clock (µs).
        beyond: list it also where there is no room: for work that exists already.

    Raises:
        InvalidInput: the lane belongs to another pool.
        TooManyLanes: the pool has 256 lanes, and this would be one more; or it has 1,024 with those
            that were retired lately.
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
    """Return whether another lane may be listed: retired ones take no room, up to a limit."""
    kept = sum(now - at <= DISUSED_MICROS - RETIRED_MICROS for at in seen.values())
    return kept < MAX_LANES and len(seen) < MAX_LISTED


def retired(directory: LaneDirectory, keys: Collection[str], now: int) -> LaneDirectory:
    """Return the directory with some lanes retired, which are empty now (µs).

    They make room at once, and are dropped two minutes later unless work came: whoever relies on an
    older reading may send some until then, and who reads the list vouches for the lane first.
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
    """Return the keys of the lanes that may be dropped if nothing waits in them, now (µs)."""
    return tuple(key for key, at in _seen(directory).items() if now - at > DISUSED_MICROS)


def lanes_for(
    directory: LaneDirectory, labels: Collection[str], job_types: Collection[str] | None
) -> tuple[str, ...]:
    """Return the keys of the lanes that such an agent serves, see :func:`serves`.

    Raises:
        InvalidInput: the directory holds a text that is not the key of a lane.
    """
    return tuple(key for key in directory.lanes if serves(parse_lane(key), labels, job_types))
