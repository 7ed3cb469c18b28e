"""The only module that reads a clock.

Decisions take ``now`` as a parameter; the time that decides leases is the store's own
(:meth:`cicd_core.store.contract.Store.now`). What stands here are the sources that stores use.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time for a store that has none of its own."""

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC); never smaller than the answer before."""
        ...


class SystemClock:
    """The wall clock at the start, moved on by the monotonic clock: a jump hurts nobody."""

    def __init__(self) -> None:
        """Read the wall clock once."""
        self._offset = time.time_ns() - time.monotonic_ns()

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC)."""
        return (self._offset + time.monotonic_ns()) // 1000


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
