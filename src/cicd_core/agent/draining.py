"""How an agent is asked to go: by a call, by the control plane, or by a signal."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")

#: What service managers and terminals send.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """Whether the agent shall go, and why. ``ask`` is for any thread, the rest for the main loop.

    Ask before the agent runs, and it goes as soon as it does.
    """

    def __init__(self) -> None:
        """Begin with nobody asking."""
        self._lock = threading.Lock()
        self._run_soon: RunSoon | None = None
        self._at_once = False
        #: Why; None while nobody has asked.
        self.reason: str | None = None
        self.begun: anyio.Event
        self.immediate: anyio.Event

    def attach(self) -> None:
        """Make the events, in the event loop that the agent runs in."""
        self.begun = anyio.Event()
        self.immediate = anyio.Event()
        with self._lock:
            self._run_soon = run_soon_here()
        self._tell()

    def ask(self, reason: str, *, at_once: bool = False) -> None:
        """Ask the agent to go; with ``at_once``, to stop what runs without a time of grace."""
        with self._lock:
            self.reason = self.reason or reason
            self._at_once = self._at_once or at_once
            run_soon = self._run_soon
        if run_soon is not None:
            run_soon(self._tell)

    def _tell(self) -> None:
        if self.reason is not None:
            self.begun.set()
        if self._at_once:
            self.immediate.set()


async def drain_on_signals(
    drain: Drain, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Drain at the first SIGTERM or SIGINT, and stop everything at the second one.

    Signals reach the main thread alone; in any other one this does nothing. The handlers that were
    there before come back when it is cancelled.
    """
    if threading.current_thread() is not threading.main_thread():
        _log.debug("not in the main thread: signals are left to whoever has it")
        task_status.started()
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            again = False
            async for number in signals:
                _log.info("%s: %s", number.name, "stopping at once" if again else "draining")
                drain.ask(f"{number.name} was received", at_once=again)
                again = True
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: installed from C, and out of reach
                signal.signal(number, handler)
