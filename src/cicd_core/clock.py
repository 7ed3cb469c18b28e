"""The only module that reads a clock.

Decisions take ``now`` as a parameter; the time that decides leases is the store's own
(:meth:`cicd_core.store.contract.Store.now`). What stands here are the sources that stores use.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

#: A wall clock that shows a moment outside of 2026 to 2200 is not set: a machine without a battery
#: starts in 1970, or when its firmware was built.
_EARLIEST: Final = 1_767_225_600_000_000
_LATEST: Final = 7_258_118_400_000_000


class Clock(Protocol):
    """A source of elapsed time for a store that has none of its own."""

    def micros(self) -> int:
        """Return microseconds that grow as time passes, and with nothing else.

        It is never smaller than the answer before, and begins near the Unix epoch's count, so that
        what is derived from it grows over restarts.
        """
        ...


@runtime_checkable
class CalendarClock(Clock, Protocol):
    """A clock that tells the calendar apart; one that does not stands for both."""

    def calendar(self) -> int:
        """Return microseconds since the Unix epoch (UTC): it may step forward or back."""
        ...


def calendar_reader(clock: Clock) -> Callable[[], int]:
    """Return what reads the clock's calendar; asked once, it spares a look at each reading."""
    return clock.calendar if isinstance(clock, CalendarClock) else clock.micros


def calendar_of(clock: Clock) -> int:
    """Return microseconds since the Unix epoch (UTC), as the clock's calendar tells them."""
    return calendar_reader(clock)()


class SystemClock:
    """Elapsed time from the wall clock's value at the start on, and the wall clock as it is."""

    def __init__(self) -> None:
        self._offset = plausible(wall_micros(), _EARLIEST) - boot_micros()

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC) if the wall clock was right at first."""
        return self._offset + boot_micros()

    def calendar(self) -> int:
        """Return the wall clock: microseconds since the Unix epoch (UTC)."""
        return plausible(wall_micros(), 0) or self.micros()


def plausible(wall: int, otherwise: int = _EARLIEST) -> int:
    """Return a wall clock's microseconds, or ``otherwise`` if that clock was clearly not set."""
    return wall if _EARLIEST <= wall < _LATEST else otherwise


def wall_micros() -> int:
    """Return the machine's wall clock: microseconds since the Unix epoch (UTC); it may jump."""
    return time.time_ns() // 1000


def boot_micros() -> int:
    """Return microseconds since this machine started, the same in every process on it.

    ``CLOCK_BOOTTIME`` (it counts while the machine sleeps) where there is one, else the
    monotonic clock.
    """
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    if clock_id is None:
        return time.monotonic_ns() // 1000
    return time.clock_gettime_ns(clock_id) // 1000


def monotonic_seconds() -> float:
    """Return seconds on this process's monotonic clock: for deadlines of its own only."""
    return time.monotonic()
