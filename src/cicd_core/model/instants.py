"""Instants: aware UTC datetimes outside, microseconds since the epoch at the store's edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cicd_core.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: The first moment that needs more digits than a sort key has.
_END = _EPOCH + 10**16 * _MICROSECOND


def to_micros(instant: datetime) -> int:
    """Return microseconds since the Unix epoch; ``instant`` must be aware."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of microseconds since the Unix epoch."""
    return _EPOCH + timedelta(microseconds=micros)


def sort_key(micros: int, key: str) -> str:
    """Return ``micros`` in fixed width (16 digits, to the year 2286), then the key.

    It sorts as the instants do and is unique in its partition, so that every store orders alike.
    """
    return f"{micros:016d}:{key}"


def sort_bound(instant: datetime) -> str:
    """Return the bound below every sort key of that instant and above every earlier one."""
    return f"{to_micros(instant):016d}"


def require_aware(field: str, instant: datetime | None) -> datetime | None:
    """Return ``instant`` in UTC.

    Raises:
        InvalidInput: it has no time zone, so that nobody can say which moment is meant; or it is
            outside of 1970 to 2286, which is what sort keys can hold.
    """
    if instant is None:
        return None
    if not isinstance(instant, datetime) or instant.utcoffset() is None:
        raise InvalidInput(field, instant, "give an aware datetime, with a time zone")
    if not _EPOCH <= instant < _END:
        raise InvalidInput(field, instant, "give a moment from 1970 to 2286")
    return instant.astimezone(UTC)
