"""The store's two clocks: elapsed time, the same for all processes on the host, and the wall clock.

Elapsed time is the time since the machine started plus an offset that the file keeps. The very
first process sets the offset by the wall clock. After each later start of the machine, elapsed
time continues from the highest instant in the file. So no wall clock ever moves it, right or wrong.
The time that the machine was off does not count: no process held a lease in that time.
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

#: Linux has an id for each start of the machine here.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: How far ahead of the time ``high`` is written, in microseconds, so that few batches write it.
_AHEAD: Final = SECOND


@frozen
class HostClock:
    """Elapsed time by the time since the machine started; the calendar by its wall clock."""

    offset: int

    def micros(self) -> int:
        """Return the steady clock, in microseconds."""
        return self.offset + boot_micros()

    def calendar(self) -> int:
        """Return the wall clock, in microseconds since the Unix epoch (UTC).

        If the wall clock was clearly never set, return elapsed time, which is a better estimate.
        """
        return plausible(wall_micros(), 0) or self.micros()


def host_clock(
    connection: sqlite3.Connection, *, boot_id: str | None = None, boot: int | None = None
) -> HostClock:
    """Return the clock of this file on this host; set it if this start of the machine has not.

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
    """Keep the highest time in the file, about once a second.

    ``high`` is the last time that this process noted; pass the returned value the next time.
    """
    if now <= high:
        return high
    connection.execute("UPDATE clock SET high = max(high, ?)", (now + _AHEAD,))
    return now + _AHEAD


def _is_set(row: tuple[str, int, int], boot_id: str, boot: int) -> bool:
    """Whether the offset belongs to this start of the machine, or is as good as one that does.

    If the machine has no boot id, an uptime that gives an earlier time than the file's highest one
    reveals a new start. A later time is accepted: at most some time is lost, as at every start.
    """
    known, offset, high = row
    return known == boot_id and (bool(boot_id) or offset + boot >= high - _AHEAD)


def _boot_id() -> str:
    """Return the id of this start of the machine; empty: the machine has none."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
