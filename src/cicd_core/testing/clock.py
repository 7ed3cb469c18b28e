"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from typing import Final

from cicd_core.errors import InvalidInput

#: Where a clock starts by default: 2027-01-15, 08:00 UTC, in microseconds.
START: Final = 1_800_000_000_000_000


class VirtualClock:
    """A :class:`cicd_core.clock.Clock` that goes only when it is told to. Safe for threads."""

    def __init__(self, start: int = START) -> None:
        """Stand at ``start``, in microseconds since the Unix epoch (UTC)."""
        self._micros = start
        self._lock = threading.Lock()

    def micros(self) -> int:
        """Return microseconds since the Unix epoch (UTC)."""
        return self._micros

    def advance(self, seconds: float = 0.0, *, micros: int = 0) -> None:
        """Move on by some seconds and microseconds.

        Raises:
            InvalidInput: that would be a step back.
        """
        step = round(seconds * 1_000_000) + micros
        if step < 0:
            raise InvalidInput("seconds", seconds, "a clock does not go back")
        with self._lock:
            self._micros += step
