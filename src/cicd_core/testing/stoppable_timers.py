"""Timers that can be stopped, so that polls sleep while pushes still arrive.

It stops the timers of one event loop, and the sleeps and waits of every thread meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.clock import monotonic_seconds
from cicd_core.testing.replacing import replaced_everywhere

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator


_REAL_SLEEP: Final = time.sleep
#: How often to check whether timers continue, in seconds.
_TURN: Final = 0.005


class StoppableTimers:
    """The clock of one event loop, which runs in its own thread. Thread-safe."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None
        self._going = threading.Event()
        self._going.set()

    def stop(self) -> None:
        """Stop all timers of the loop; data from sockets still arrives."""
        self._stopped_at = monotonic_seconds()
        self._going.clear()

    def resume(self) -> None:
        """Let the timers continue; overdue ones fire at once."""
        self._stopped_at = None
        self._going.set()

    @contextmanager
    def held_in_threads(self) -> Generator[None, None, None]:
        """While stopped, let no thread end a sleep, or a wait by its timeout."""
        sleep, wait = time.sleep, threading.Condition.wait

        def held_sleep(seconds: float) -> None:
            sleep(seconds)
            self._hold()

        def held_wait(condition: threading.Condition, timeout: float | None = None) -> bool:
            came = wait(condition, timeout)
            if not came:
                self._hold()
            return came

        threading.Condition.wait = held_wait  # type: ignore[method-assign,assignment]  # on purpose
        try:
            with replaced_everywhere([(sleep, held_sleep)]):
                yield
        finally:
            threading.Condition.wait = wait  # type: ignore[method-assign]  # as it was

    def _hold(self) -> None:
        while not self._going.is_set():
            _REAL_SLEEP(_TURN)

    def seconds(self) -> float:
        """Return the time of the loop's timers."""
        return monotonic_seconds() if self._stopped_at is None else self._stopped_at

    def run(self, function: Callable[[], Awaitable[None]], backend: str) -> None:
        """Run a coroutine function to its end on such a loop, in the calling thread.

        Args:
            function: the function to run.
            backend: ``asyncio`` or ``trio``.
        """
        anyio.run(function, backend=backend, backend_options=self._options(backend))

    def _options(self, backend: str) -> dict[str, Any]:
        if backend == "asyncio":
            return {"loop_factory": lambda: _Loop(self)}
        from trio.abc import Clock  # noqa: PLC0415 - only for trio

        timers = self

        class TrioClock(Clock):
            def start_clock(self) -> None:
                """Begin: there is nothing to do."""

            def current_time(self) -> float:
                return timers.seconds()

            def deadline_to_sleep_time(self, deadline: float) -> float:
                return deadline - self.current_time()

        return {"clock": TrioClock()}


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, timers: StoppableTimers) -> None:
        self._timers = timers
        super().__init__()

    def time(self) -> float:
        return self._timers.seconds()


class Signal:
    """An event that happens once, in any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Set the signal."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the signal is set."""
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait in the caller's own loop; return whether it was set within ``seconds``."""
        with anyio.move_on_after(seconds):
            while not self.is_set():  # noqa: ASYNC110 - it is set in another thread
                await anyio.sleep(_TURN)
        return self.is_set()
