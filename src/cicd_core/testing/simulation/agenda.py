"""The agenda: a queue of actions by virtual time, without sleeps."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.testing.clock import VirtualClock


class Agenda:
    """A heap of (time, order of the request, action); the clock moves to each action's time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Callable[[], Awaitable[None]]]] = []
        self._order = count()
        #: The number of actions started.
        self.steps = 0

    def __bool__(self) -> bool:
        """Whether any action is left."""
        return bool(self._heap)

    @property
    def next_at(self) -> int:
        """When the next action is due, in µs."""
        return self._heap[0][0]

    def at(self, micros: int, action: Callable[[], Awaitable[None]]) -> None:
        """Schedule an action at an instant; at once, if that has passed."""
        heapq.heappush(self._heap, (micros, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """Schedule an action some seconds from now."""
        self.at(self._clock.micros() + round(seconds * SECOND), action)

    async def step(self) -> None:
        """Move the clock to the next action, and run it."""
        micros, _, action = heapq.heappop(self._heap)
        self._clock.advance(micros=max(0, micros - self._clock.micros()))
        self.steps += 1
        await action()
