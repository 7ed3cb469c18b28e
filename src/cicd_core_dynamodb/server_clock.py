"""DynamoDB's clock, computed from the Date of its answers, which has whole seconds.

An answer with the Date ``d`` was made between call and answer, at a moment in [d, d + 1). Each
answer bounds how far the server's clock is ahead of this machine's clock, which also counts while
it sleeps. All these bounds must hold at once, so a few answers around the turn of a second give the
time to hundredths. An answer that is far from the others, ahead or behind, is ignored, unless for
ten minutes no answer agrees with them. Leases and retention use elapsed time, so no wall clock may
end them, least of all the clock of one machine among many behind the endpoint.

If this machine's wall clock jumps against its elapsed time, a virtual machine may have been
suspended. Then earlier answers are not used any more.
"""

from __future__ import annotations

import threading
from email.utils import parsedate_to_datetime
from typing import Final

from cicd_core.model.instants import SECOND, to_micros
from cicd_core.store.records import StoreTime
from cicd_core.values import frozen
from cicd_core_dynamodb.elapsed import awake_or_asleep, wall_ahead

#: Seconds after which earlier answers are not used any more.
_FRESH: Final = 60.0
#: How far two clocks drift apart in a second, at most: 200 millionths, a bad crystal.
_DRIFT: Final = 200e-6
#: How far the clocks of the machines behind one endpoint may be apart, in seconds.
_SKEW: Final = 0.01
#: Uncertainty (µs) above which the time counts as unknown.
UNCERTAIN: Final = 2 * SECOND
#: A jump of the wall clock (s) that is more than a correction.
_JUMP: Final = 1.0
#: Answers that are further from the others than this (s) come from a clock that was set.
_FAR: Final = 5.0
#: Time (s) without an agreeing answer after which the known time is dropped.
_CONFIRMED: Final = 600.0


@frozen
class _Window:
    """By how many seconds the server's clock is ahead of this machine's: at least, and at most."""

    least: float
    most: float
    #: The time of this observation, by this machine's clock.
    at: float

    def narrowed(self, by: _Window) -> _Window | None:
        """Return the overlap of both windows at the later one's time; None: they do not overlap."""
        drift = (by.at - self.at) * _DRIFT
        low, high = max(by.least, self.least - drift), min(by.most, self.most + drift)
        return _Window(low, high, by.at) if low <= high else None

    def is_far_from(self, other: _Window) -> bool:
        """Whether the two differ by more than the clocks of several machines do."""
        return max(self.least - other.most, other.least - self.most) > _FAR


class ServerClock:
    """This process's estimate of the time at one endpoint. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: _Window | None = None
        #: The contradicting window, and the time since which no answer agrees with the known one.
        self._rival: tuple[_Window, float] | None = None
        self._heard = 0.0
        self._wall_ahead = 0.0
        self._last = 0

    def heard(self, date: str, *, sent: float) -> None:
        """Use the Date of an answer; ``sent`` is when its call was sent (``awake_or_asleep``)."""
        now = awake_or_asleep()
        try:
            second = to_micros(parsedate_to_datetime(date)) / SECOND
        except (TypeError, ValueError):
            return  # a proxy wrote it
        with self._lock:
            self._take(_Window(second - now - _SKEW, second + 1 - sent + _SKEW, now))

    def read(self) -> StoreTime | None:
        """Return the time; None: there are too few answers, or too old ones: ask the server."""
        now = awake_or_asleep()
        with self._lock:
            known = self._known
            if known is None or now - self._heard > _FRESH or self._was_stopped():
                return None
            drift = (now - known.at) * _DRIFT
            micros = round((now + (known.least + known.most) / 2) * SECOND)
            uncertainty = round(((known.most - known.least) / 2 + drift) * SECOND)
            if uncertainty > UNCERTAIN:
                return None
            if self._last - _FAR * SECOND < micros < self._last:
                # By the contract it never goes back: a time that was too high stays for a while.
                uncertainty += self._last - micros
                micros = self._last
            self._last = micros
            return StoreTime(micros, uncertainty)

    def _was_stopped(self) -> bool:
        return abs(wall_ahead() - self._wall_ahead) > _JUMP

    def _take(self, window: _Window) -> None:
        known = None if self._was_stopped() else self._known
        self._heard, self._wall_ahead = window.at, wall_ahead()
        agreed = None if known is None else known.narrowed(window)
        if known is None or agreed is not None or not window.is_far_from(known):
            self._known, self._rival = agreed or window, None
            return
        rival, since = self._rival or (window, window.at)
        rival = rival.narrowed(window) or window
        if window.at - since < _CONFIRMED:
            self._rival = rival, since
        else:  # the contradicting answers are the rule now
            self._known, self._rival = rival, None


_clocks: dict[str, ServerClock] = {}
_lock = threading.Lock()


def clock_of(endpoint: str) -> ServerClock:
    """Return the clock of an endpoint: one for all stores in this process."""
    with _lock:
        return _clocks.setdefault(endpoint, ServerClock())
