"""DynamoDB's clock, known from the Date of its answers: whole seconds, and more than that.

An answer that says second ``d`` was made between question and answer, at a moment in [d, d + 1).
Each one bounds how far the server's clock is ahead of this machine's, which counts its sleep too,
and all of them must hold at once: a few answers around the turn of a second tell the time to
hundredths. If the machine's wall clock jumps against that one, a virtual machine was stopped
perhaps, and what was heard before tells nothing any more.
"""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime
from typing import Final

from cicd_core.model.instants import to_micros
from cicd_core.store.records import StoreTime
from cicd_core_dynamodb.stopwatch import awake_or_asleep, wall_ahead

_MICROS: Final = 1_000_000
#: Seconds after which what was heard is not relied on any more.
_FRESH: Final = 60.0
#: How far two clocks drift apart in a second, at most: 200 millionths, a bad crystal.
_DRIFT: Final = 200e-6
#: How far the clocks of the machines behind one endpoint may be apart, in seconds.
_SKEW: Final = 0.01
#: What is not known better than this (µs) is not known.
UNCERTAIN: Final = 2 * _MICROS
#: A jump of the wall clock (s) that is more than a correction of it.
_JUMP: Final = 1.0
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
        self._wall_ahead = 0.0
        self._last = 0

    def heard(self, date: str, *, sent: float) -> None:
        """Take the Date of an answer; ``sent`` is when it was asked for (``awake_or_asleep``)."""
        now = awake_or_asleep()
        try:
            second = to_micros(parsedate_to_datetime(date)) / _MICROS
        except (TypeError, ValueError):
            return  # something between us and the server wrote it
        with self._lock:
            self._narrow(second - now - _SKEW, second + 1 - sent + _SKEW, now)

    def read(self) -> StoreTime | None:
        """Return the time; None: too little was heard, or too long ago, so ask the server."""
        now = awake_or_asleep()
        with self._lock:
            if self._heard is None or now - self._heard > _FRESH or self._was_stopped():
                return None
            drift = (now - self._heard) * _DRIFT
            micros = round((now + (self._least + self._most) / 2) * _MICROS)
            uncertainty = round(((self._most - self._least) / 2 + drift) * _MICROS)
            if uncertainty > UNCERTAIN:
                return None
            if self._last - _SET_BACK < micros < self._last:
                # The contract: it never goes back. So what was said too high stays for a while.
                uncertainty += self._last - micros
                micros = self._last
            self._last = micros
            return StoreTime(micros, uncertainty)

    def _was_stopped(self) -> bool:
        return abs(wall_ahead() - self._wall_ahead) > _JUMP

    def _narrow(self, least: float, most: float, now: float) -> None:
        if self._heard is not None and not self._was_stopped():
            drift = (now - self._heard) * _DRIFT
            low, high = max(least, self._least - drift), min(most, self._most + drift)
            if low <= high:  # else they contradict each other: the clock was set
                least, most = low, high
        self._least, self._most, self._heard = least, most, now
        self._wall_ahead = wall_ahead()


_clocks: dict[str, ServerClock] = {}
_lock = threading.Lock()


def clock_of(endpoint: str) -> ServerClock:
    """Return the clock of an endpoint: one for all stores in this process."""
    with _lock:
        return _clocks.setdefault(endpoint, ServerClock())
