"""Instants: aware UTC datetimes outside, microseconds since the epoch at the store's edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cicd_core.errors import InvalidInput

#: A second in microseconds, the unit of instants and durations at the store's edge.
SECOND: Final = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: The first time that needs more digits than a sort key has.
_END = _EPOCH + 10**16 * _MICROSECOND
#: How many instants are remembered in each direction: the few of a job come by many times, and one
#: that is remembered takes a tenth of the time. An instant never changes.
_REMEMBERED: Final = 1024


def micros(seconds: float) -> int:
    """Return a duration in microseconds, as the store contract requires."""
    return round(seconds * SECOND)


def to_micros(instant: datetime) -> int:
    """Return microseconds since the Unix epoch; ``instant`` must be aware."""
    if instant.tzinfo is UTC:
        return _utc_to_micros(instant)
    # Not remembered: the two hours around the end of summer time are equal, and are not the same.
    return (instant - _EPOCH) // _MICROSECOND


@lru_cache(_REMEMBERED)
def _utc_to_micros(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


@lru_cache(_REMEMBERED)
def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of microseconds since the Unix epoch."""
    return _EPOCH + timedelta(0, 0, micros)


def sort_key(micros: int, key: str) -> str:
    """Return ``micros`` in fixed width (16 digits, to the year 2286), then the key.

    It sorts by time and is unique in its partition, so every store has the same order.
    """
    return f"{micros:016d}:{key}"


def sort_bound(instant: datetime) -> str:
    """Return the bound below every sort key of that instant and above every earlier one."""
    return f"{to_micros(instant):016d}"


def in_utc(field: str, instant: datetime) -> datetime:
    """Return an aware ``instant`` in UTC.

    Raises:
        InvalidInput: in UTC it is before the year 1, or after the year 9999.
    """
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(field, instant, "give a time in the years 1 to 9999, in UTC") from None


def require_aware(field: str, instant: datetime | None) -> datetime | None:
    """Return ``instant`` in UTC.

    Raises:
        InvalidInput: it has no time zone, so it is ambiguous; or it is
            outside of 1970 to 2286, the range of sort keys.
    """
    if instant is None:
        return None
    if not isinstance(instant, datetime) or instant.utcoffset() is None:
        raise InvalidInput(field, instant, "give an aware datetime, with a time zone")
    if not _EPOCH <= instant < _END:
        raise InvalidInput(field, instant, "give a time from 1970 to 2286")
    return instant.astimezone(UTC)
