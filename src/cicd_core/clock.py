"""The only module that reads a clock.

Decisions take ``now`` as a parameter; the store's own time
(:meth:`cicd_core.store.contract.Store.now`) decides leases. This module has the clocks that stores
use.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

#: A wall clock outside 2026 to 2200 was never set: a machine without a battery starts in 1970, or
#: at the build date of its firmware.
_EARLIEST: Final = 1_767_225_600_000_000
_LATEST: Final = 7_258_118_400_000_000


class Clock(Protocol):
    """A source of elapsed time for a store without its own clock."""

    def micros(self) -> int:
        """Return microseconds that grow only as time passes.

        The value never decreases. It begins near the number of microseconds since the Unix epoch,
        so that values derived from it grow over restarts.
        """
        ...


@runtime_checkable
class CalendarClock(Clock, Protocol):
    """A clock with a separate calendar; a clock without one is used for both."""

    def calendar(self) -> int:
        """Return microseconds since the Unix epoch (UTC): it may step forward or back."""
        ...


def calendar_reader(clock: Clock) -> Callable[[], int]:
    """Return the function that reads the clock's calendar; call this once, and keep the result."""
    return clock.calendar if isinstance(clock, CalendarClock) else clock.micros


def calendar_of(clock: Clock) -> int:
    """Return microseconds since the Unix epoch (UTC) by the clock's calendar."""
    return calendar_reader(clock)()


class SystemClock:
    """Elapsed time, beginning with the wall clock's value at the start, and the wall clock."""

    def __init__(self) -> None:
        self._offset = plausible(wall_micros(), _EARLIEST) - boot_micros()

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC), if the wall clock was right at first."""
        return self._offset + boot_micros()

    def calendar(self) -> int:
        """Return the wall clock: microseconds since the Unix epoch (UTC)."""
        wall = wall_micros()
        return wall if _EARLIEST <= wall < _LATEST else self.micros()


def plausible(wall: int, otherwise: int = _EARLIEST) -> int:
    """Return a wall clock's microseconds, or ``otherwise`` if that clock was clearly never set."""
    return wall if _EARLIEST <= wall < _LATEST else otherwise


def wall_micros() -> int:
    """Return the machine's wall clock: microseconds since the Unix epoch (UTC); it may jump."""
    return time.time_ns() // 1000


def boot_micros() -> int:
    """Return microseconds since this machine started, the same in every process on it.

    It is ``CLOCK_BOOTTIME`` (which also counts while the machine sleeps) if the system has it,
    otherwise the monotonic clock.
    """
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    if clock_id is None:
        return time.monotonic_ns() // 1000
    return time.clock_gettime_ns(clock_id) // 1000


def monotonic_seconds() -> float:
    """Return seconds on this process's monotonic clock, only for its own deadlines."""
    return time.monotonic()
