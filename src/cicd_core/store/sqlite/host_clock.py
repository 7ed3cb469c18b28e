"""The store's time: one for all processes on the host, and deaf to jumps of the wall clock.

It is the time since the machine started plus an offset that the file keeps. The first process
after a start sets the offset by the wall clock, or by the highest instant that the file knows if
that is later, so that the time never goes back, whatever the wall clock says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from cicd_core.clock import boot_micros, wall_micros
from cicd_core.store.sqlite.schema import transaction

if TYPE_CHECKING:
    import sqlite3

#: Linux tells each start of the machine apart here.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: Elsewhere a machine was started anew if its uptime is less than the file has seen, or if its
#: wall clock is further ahead of the store's time than this (microseconds).
_DRIFT: Final = 10 * 60 * 1_000_000
#: How far ahead of the time ``high`` is written (microseconds), so that few batches write it.
_AHEAD: Final = 1_000_000


@frozen
class HostClock:
    """Microseconds since the epoch, from the time since the machine started."""

    offset: int

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC)."""
        return self.offset + boot_micros()


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
        high = 0 if row is None else row[2]
        offset = max(wall_micros(), high) - boot
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
    known, offset, high = row
    if known != boot_id:
        return False
    if boot_id:
        return True
    now = offset + boot
    return now >= high - _AHEAD and wall_micros() - now < _DRIFT


def _boot_id() -> str:
    """Return what tells this start of the machine from others; empty: it does not say."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
