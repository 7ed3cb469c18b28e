"""DynamoDB's clock, known from the Date of its answers: whole seconds, and more than that.

An answer that says second ``d`` was made between question and answer, at a moment in [d, d + 1).
Each one bounds how far the server's clock is ahead of this process's monotonic one, and all of
them must hold at once: a few answers around the turn of a second tell the time to hundredths.
"""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime
from typing import Final

from cicd_core.clock import monotonic_seconds
from cicd_core.model.instants import to_micros
from cicd_core.store.records import StoreTime

_MICROS: Final = 1_000_000
#: Seconds after which what was heard is not relied on any more.
_FRESH: Final = 60.0
#: How far two clocks drift apart in a second, at most: 200 millionths, a bad crystal.
_DRIFT: Final = 200e-6
#: How far the clocks of the machines behind one endpoint may be apart, in seconds.
_SKEW: Final = 0.01
#: A clock that is further back than this (µs) was set: there is no waiting for it.
_SET_BACK: Final = 5 * _MICROS


class ServerClock:
    """What time it is at one endpoint, as well as this process can know. Safe for threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        #: How many seconds the server's clock is ahead of ours: at least, and at most.
        self._least = self._most = 0.0
        self._heard: float | None = None
        self._last = 0

    def heard(self, date: str, *, sent: float) -> None:
        """Take the Date of an answer; ``sent`` is when it was asked for."""
        now = monotonic_seconds()
        try:
            second = to_micros(parsedate_to_datetime(date)) / _MICROS
        except (TypeError, ValueError):
            return  # something between us and the server wrote it
        with self._lock:
            self._narrow(second - now - _SKEW, second + 1 - sent + _SKEW, now)

    def read(self) -> StoreTime | None:
        """Return the time; None: nothing was heard for too long, so ask the server."""
        now = monotonic_seconds()
        with self._lock:
            if self._heard is None or now - self._heard > _FRESH:
                return None
            drift = (now - self._heard) * _DRIFT
            micros = round((now + (self._least + self._most) / 2) * _MICROS)
            if self._last - _SET_BACK < micros < self._last:
                micros = self._last  # the contract: it never goes back
            self._last = micros
            return StoreTime(micros, round(((self._most - self._least) / 2 + drift) * _MICROS))

    def _narrow(self, least: float, most: float, now: float) -> None:
        if self._heard is not None:
            drift = (now - self._heard) * _DRIFT
            low, high = max(least, self._least - drift), min(most, self._most + drift)
            if low <= high:  # else they contradict each other: the clock was set
                least, most = low, high
        self._least, self._most, self._heard = least, most, now


_clocks: dict[str, ServerClock] = {}
_lock = threading.Lock()


def clock_of(endpoint: str) -> ServerClock:
    """Return the clock of an endpoint: one for all stores in this process."""
    with _lock:
        return _clocks.setdefault(endpoint, ServerClock())
