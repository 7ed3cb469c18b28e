"""The store's two clocks: elapsed time, one for all processes on the host, and the wall clock.

Elapsed time is the time since the machine started plus an offset that the file keeps. The first
process of all sets the offset by the wall clock; after each later start of the machine it goes on
from the highest instant that the file knows. So no wall clock ever moves it, right or wrong, and
the time that the machine was off does not count: nobody held anything then, and nothing was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cicd_core.clock import boot_micros, plausible, wall_micros
from cicd_core.model.instants import SECOND
from cicd_core.store.sqlite.schema import transaction
from cicd_core.values import frozen

if TYPE_CHECKING:
    import sqlite3

#: Linux tells each start of the machine apart here.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: How far ahead of the time ``high`` is written (microseconds), so that few batches write it.
_AHEAD: Final = SECOND


@frozen
class HostClock:
    """Elapsed time from the time since the machine started; the calendar from its wall clock."""

    offset: int

    def micros(self) -> int:
        """Return the steady clock, in microseconds."""
        return self.offset + boot_micros()

    def calendar(self) -> int:
        """Return the wall clock, in microseconds since the Unix epoch (UTC).

        Where that was clearly never set, what the file knows is nearer to the truth.
        """
        return plausible(wall_micros(), 0) or self.micros()


def host_clock(
    connection: sqlite3.Connection, *, boot_id: str | None = None, boot: int | None = None
) -> HostClock:
    """Return the clock of this file on this host, set if nobody has since the machine started.

    ``boot_id`` and ``boot`` (microseconds since the start) are read from the machine by default.
    """
    boot_id = _boot_id() if boot_id is None else boot_id
    with transaction(connection):
        boot = boot_micros() if boot is None else boot
        row = connection.execute("SELECT boot, boot_offset, high FROM clock").fetchone()
        if row is not None and _is_set(row, boot_id, boot):
            return HostClock(row[1])
        offset = (plausible(wall_micros()) if row is None else row[2]) - boot
        connection.execute(
            "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (boot_id, offset, boot + offset)
        )
    return HostClock(offset)


def note_time(connection: sqlite3.Connection, now: int, high: int) -> int:
    """Keep in the file that the time has come this far, about once a second.

    ``high`` is what this process noted last; the answer is what to give the next time.
    """
    if now <= high:
        return high
    connection.execute("UPDATE clock SET high = max(high, ?)", (now + _AHEAD,))
    return now + _AHEAD


def _is_set(row: tuple[str, int, int], boot_id: str, boot: int) -> bool:
    """Whether the offset is of this start of the machine, or as good as one that is.

    Where no start is told from another, an uptime that has come less far than the file knows tells
    it. One that has come further lost some time at most, as every start does.
    """
    known, offset, high = row
    return known == boot_id and (bool(boot_id) or offset + boot >= high - _AHEAD)


def _boot_id() -> str:
    """Return what tells this start of the machine from others; empty: it does not say."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
