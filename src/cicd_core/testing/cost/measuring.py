"""Measuring the calls at two sizes, and telling growth from noise.

What is counted, a row or a request, is the same on a busy machine, and may grow by its bound
alone. What is timed is the median of many calls, made in turn on the small and on the large store,
so that whatever else the machine does meets both. A median that has grown is measured again, with
four times the calls, before it is believed.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from cicd_core.clock import monotonic_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.testing.cost.verbs import Filled

#: How many times more calls a second look makes.
_SECOND_LOOK: Final = 4
#: Milliseconds that a median may grow by whatever it was: a timer tells no less.
TICK: Final = 0.05


@frozen(kw_only=True)
class Bounds:
    """How many calls are made, and by how much their cost may grow."""

    #: Calls of each kind at each size.
    calls: int = 41
    #: The larger median may be so many times the smaller one. A tree of records is deeper by one
    #: level where it has two hundred times as many, and its pages are in fewer caches.
    time: float = 3.0
    #: The larger count may be so many times the smaller one.
    count: float = 1.5


@frozen(kw_only=True)
class VerbCost:
    """What one call costs at both sizes."""

    call: str
    #: Medians, in milliseconds.
    small_ms: float
    large_ms: float
    #: Medians of what the store counts; None: it counts nothing.
    small_count: float | None = None
    large_count: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the median has grown."""
        return self.large_ms / max(self.small_ms, 1e-9)

    def grows(self, bounds: Bounds) -> bool:
        """Whether it costs more than the bounds allow; what is counted is believed, not timed."""
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
        """Take two stores that are filled, and what tells how much work they have done so far."""
        self._stores = (small, large)
        self._bounds = bounds
        self._work = work

    async def run(self, report: Callable[[str], object]) -> list[VerbCost]:
        """Measure each call; report the name of each before its turn."""
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
