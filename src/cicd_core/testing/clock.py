"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from typing import Final

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import SECOND

#: The default start of a clock: 2027-01-15, 08:00 UTC, in microseconds.
START: Final = 1_800_000_000_000_000


class VirtualClock:
    """Elapsed time and a calendar that only a test moves. Thread-safe."""

    def __init__(self, start: int = START) -> None:
        """Start at ``start``, in microseconds since the Unix epoch (UTC)."""
        self._micros = start
        self._ahead = 0
        self._lock = threading.Lock()

    def micros(self) -> int:
        """Return the elapsed time in microseconds, beginning with ``start``."""
        return self._micros

    def calendar(self) -> int:
        """Return the wall clock: microseconds since the Unix epoch (UTC)."""
        with self._lock:
            return self._micros + self._ahead

    def step_calendar(self, seconds: float) -> None:
        """Set the wall clock forward or back (below 0), as an administrator or NTP does."""
        with self._lock:
            self._ahead += round(seconds * SECOND)

    def advance(self, seconds: float = 0.0, *, micros: int = 0) -> None:
        """Advance by some seconds and microseconds.

        Raises:
            InvalidInput: the step is negative.
        """
        step = round(seconds * SECOND) + micros
        if step < 0:
            raise InvalidInput("seconds", seconds, "a clock cannot go back: give 0 or more")
        with self._lock:
            self._micros += step
