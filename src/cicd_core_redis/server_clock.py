"""The server's clocks, known from its answers: each script returns the time at which it ran.

Each call also sends bounds to the server: the least and the most that the time can be now, by
earlier answers and the clock of this machine. The server's own clock may have been set, or another
server may have taken over; see ``lua/clock.lua``.
"""

from __future__ import annotations

from typing import Final

from cicd_core.clock import boot_micros, monotonic_seconds, plausible
from cicd_core.model.instants import SECOND
from cicd_core.store.records import StoreTime
from cicd_core.values import frozen

#: Seconds after which an answer is too old to compute the time from.
_FRESH: Final = 10.0
#: How far two clocks drift apart in a second, at most: 200 millionths, a bad crystal.
_DRIFT: Final = 200e-6


@frozen
class _Sample:
    #: The server's time, and this machine's time half-way between the call and its answer.
    micros: int
    heard: float
    #: The largest error of the server's time: half of the round trip, in microseconds.
    error: float

    def error_at(self, now: float) -> float:
        return self.error + (now - self.heard) * _DRIFT * SECOND

    def micros_at(self, now: float) -> int:
        return self.micros + round((now - self.heard) * SECOND)


class _Bounds:
    """Bounds of the server's elapsed time, relative to this machine's time since its start."""

    def __init__(self) -> None:
        self._least = self._most = 0.0
        self._at: int | None = None

    def narrow(self, least: int, most: int, here: int) -> None:
        """Use an answer: the time was between ``least`` and ``most`` at ``here`` (all in µs)."""
        low, high = float(least - here), float(most - here)
        if self._at is not None:
            drift = (here - self._at) * _DRIFT
            kept = max(low, self._least - drift), min(high, self._most + drift)
            if kept[0] <= kept[1]:  # otherwise other processes have corrected the server
                low, high = kept
        self._least, self._most, self._at = low, high, here

    def now(self) -> tuple[int, int]:
        """Return the least and the most that the time may be now; 0 and 0: unknown."""
        if self._at is None:
            return 0, 0
        here = boot_micros()
        drift = (here - self._at) * _DRIFT
        return max(0, int(here + self._least - drift)), int(here + self._most + drift)


class ServerClock:
    """This process's estimate of the server's time."""

    def __init__(self, skew: int = 0) -> None:
        """Begin without an answer; ``skew`` is added to the uncertainty, in microseconds."""
        self._skew = skew
        self._best: _Sample | None = None
        self._bounds = _Bounds()
        self._last = 0
        self._ahead = 0

    def heard(self, micros: int, calendar: int, *, sent: float) -> None:
        """Use the two clocks of an answer; ``sent`` is when its call was sent."""
        now = monotonic_seconds()
        trip = round((now - sent) * SECOND)
        self._last = max(self._last, micros)  # the server has reached this time
        self._bounds.narrow(micros, micros + trip, boot_micros())
        self._ahead = plausible(calendar, micros) - micros
        sample = _Sample(micros, (sent + now) / 2, trip / 2)
        best = self._best
        if best is None or sample.error <= best.error_at(now) or self._contradicts(best, sample):
            self._best = sample

    def bounds(self) -> tuple[int, int]:
        """Return the least and the most (µs) that the server's time is now; 0 and 0: unknown."""
        return self._bounds.now()

    def read(self) -> StoreTime | None:
        """Return the time; None: the last answer is too old, so ask the server."""
        now = monotonic_seconds()
        best = self._best
        if best is None or now - best.heard > _FRESH:
            return None
        micros = max(self._last, best.micros_at(now))  # the contract: it never goes back
        error = best.error_at(now) + (micros - best.micros_at(now))
        self._last = micros
        return StoreTime(
            micros, uncertainty=self._skew + round(error), calendar=micros + self._ahead
        )

    def _contradicts(self, best: _Sample, sample: _Sample) -> bool:
        """Whether two samples contradict each other: other processes have corrected the server."""
        apart = abs(best.micros_at(sample.heard) - sample.micros)
        return apart > best.error_at(sample.heard) + sample.error
