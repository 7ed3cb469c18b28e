"""Counters of a day: which of them a store drops, and when.

A group of counters whose name ends in a day, such as ``wait/20261121``, belongs to that day. A
store drops it when the day is more than :data:`COUNTER_DAYS` days ago; all other counters stay.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    from cicd_core.store.records import StoreTime

#: How many days counters are kept: two more than statistics need.
COUNTER_DAYS: Final = 94

_DAY = re.compile(r"[^|]*/([0-9]{8})(?:\||$)")


def day_of(name: str) -> str | None:
    """Return the day, such as ``20261121``, of a counter or a group; None: it has no day."""
    found = _DAY.match(name)
    return None if found is None else found[1]


def first_kept_day(now: StoreTime) -> str:
    """Return the first day whose counters are kept.

    The earlier of the two clocks decides: a calendar that was set forward, or a steady clock that
    began too far ahead, drops nothing.
    """
    today = from_micros(min(now.micros, now.calendar))
    return f"{max(today, _EARLIEST) - timedelta(days=COUNTER_DAYS):%Y%m%d}"


def end_of(day: str) -> int:
    """Return when the counters of a day may be dropped, in seconds since 1970; 0: not a day."""
    try:
        begin = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int((begin + timedelta(days=COUNTER_DAYS + 1)).timestamp())


_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=COUNTER_DAYS)
