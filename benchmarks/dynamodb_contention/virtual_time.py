"""An event loop whose time passes at once: it never waits, it sets its clock forward."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

Answer = TypeVar("Answer")


class _Hurried(selectors.SelectSelector):
    """A selector that does not wait, and notes how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.passed += timeout
        return super().select(0)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return super().get_map()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for what does not speak to the world: sleeping takes no time."""

    def __init__(self) -> None:
        """Begin at second zero."""
        self._hurried = _Hurried()
        super().__init__(self._hurried)

    def time(self) -> float:
        """Return the seconds that have passed for the running task."""
        return self._hurried.passed


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine on a loop of its own whose time is virtual."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
