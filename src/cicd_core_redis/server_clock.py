"""The server's clock, known from its answers: each script tells the time at which it ran."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cicd_core.clock import monotonic_seconds
from cicd_core.store.records import StoreTime

_MICROS: Final = 1_000_000
#: Seconds after which what was heard is not relied on any more.
_FRESH: Final = 10.0
#: How far two clocks drift apart in a second, at most: 200 millionths, a bad crystal.
_DRIFT: Final = 200e-6
#: A clock that is further back than this (µs) was set: there is no waiting for it.
_SET_BACK: Final = 5 * _MICROS


@frozen
class _Sample:
    #: The server's time in the middle between question and answer, and when that was here.
    micros: int
    heard: float
    #: The server's time may have been off by half of the round trip: in microseconds.
    error: float

    def error_at(self, now: float) -> float:
        return self.error + (now - self.heard) * _DRIFT * _MICROS

    def micros_at(self, now: float) -> int:
        return self.micros + round((now - self.heard) * _MICROS)


class ServerClock:
    """What time it is on the server, as well as this process can know."""

    def __init__(self, skew: int = 0) -> None:
        """Know nothing yet; ``skew`` is added to the uncertainty, in microseconds."""
        self._skew = skew
        self._best: _Sample | None = None
        self._last = 0

    def heard(self, micros: int, *, sent: float) -> None:
        """Take a time that the server told; ``sent`` is when it was asked."""
        now = monotonic_seconds()
        sample = _Sample(micros, (sent + now) / 2, (now - sent) / 2 * _MICROS)
        best = self._best
        if best is None or sample.error <= best.error_at(now) or self._has_jumped(best, sample):
            self._best = sample

    def read(self) -> StoreTime | None:
        """Return the time; None: nothing was heard for too long, so ask the server."""
        now = monotonic_seconds()
        best = self._best
        if best is None or now - best.heard > _FRESH:
            return None
        micros = best.micros_at(now)
        if self._last - _SET_BACK < micros < self._last:
            micros = self._last  # the contract: it never goes back
        self._last = micros
        return StoreTime(micros, uncertainty=self._skew + round(best.error_at(now)))

    def _has_jumped(self, best: _Sample, sample: _Sample) -> bool:
        """Whether two samples contradict each other: the server's clock was set, or is another."""
        apart = abs(best.micros_at(sample.heard) - sample.micros)
        return apart > best.error_at(sample.heard) + sample.error
