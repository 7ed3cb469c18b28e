"""Measures the calls at two sizes, and distinguishes growth from noise.

Counts of rows or requests are the same on a busy machine, and may grow only by their bound. Times
are medians of many calls, alternating between the small and the large store, so that other load on
the machine affects both. A median that has grown is measured again with four times the calls
before it counts.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cicd_core.clock import monotonic_seconds
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.testing.cost.verbs import Filled

#: Factor of calls in the second measurement.
_SECOND_LOOK: Final = 4
#: Milliseconds by which any median may grow: the precision of a timer.
TICK: Final = 0.05


@frozen(kw_only=True)
class Bounds:
    """The number of calls, and the allowed growth of their cost."""

    #: Calls of each kind at each size.
    calls: int = 41
    #: Allowed factor of the larger median. A tree of records is one level deeper with two hundred
    #: times as many, and fewer of its pages are cached.
    time: float = 3.0
    #: Allowed factor of the larger count.
    count: float = 1.5


@frozen(kw_only=True)
class VerbCost:
    """The cost of a call at both sizes."""

    call: str
    #: Medians, in milliseconds.
    small_ms: float
    large_ms: float
    #: Medians of the store's counts; None: it has none.
    small_count: float | None = None
    large_count: float | None = None

    @property
    def ratio(self) -> float:
        """The factor by which the median has grown."""
        return self.large_ms / max(self.small_ms, 1e-9)

    def grows(self, bounds: Bounds) -> bool:
        """Whether it costs more than the bounds allow; counts take precedence over times."""
        if self.small_count is not None and self.large_count is not None:
            return self.large_count > bounds.count * max(1.0, self.small_count)
        return self.large_ms > bounds.time * self.small_ms + TICK


@define
class _Samples:
    seconds: list[float] = field(factory=list[float])
    counts: list[int] = field(factory=list[int])


class Measurement:
    """The same calls on a store with few records and on one with many."""

    def __init__(
        self,
        small: Filled,
        large: Filled,
        *,
        bounds: Bounds,
        work: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._stores = (small, large)
        self._bounds = bounds
        self._work = work

    async def run(self, report: Callable[[str], object]) -> list[VerbCost]:
        """Measure each call; report its name first."""
        costs: list[VerbCost] = []
        for call in self._stores[0].calls:
            report(call)
            cost = await self._measure(call, self._bounds.calls)
            if cost.grows(self._bounds):
                report(f"{call}, again")
                cost = await self._measure(call, _SECOND_LOOK * self._bounds.calls)
            costs.append(cost)
        return costs

    async def _measure(self, call: str, times: int) -> VerbCost:
        samples = (_Samples(), _Samples())
        for _ in range(times):
            for store, found in zip(self._stores, samples, strict=True):
                await self._sample(store.calls[call], found)
        small, large = samples
        return VerbCost(
            call=call,
            small_ms=1000 * median(small.seconds),
            large_ms=1000 * median(large.seconds),
            small_count=median(small.counts) if small.counts else None,
            large_count=median(large.counts) if large.counts else None,
        )

    async def _sample(self, call: Callable[[], Awaitable[object]], samples: _Samples) -> None:
        before, begun = self._work(), monotonic_seconds()
        await call()
        samples.seconds.append(monotonic_seconds() - begun)
        after = self._work()
        if before is not None and after is not None:
            samples.counts.append(after - before)
