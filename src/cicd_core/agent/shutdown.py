"""How an agent is asked to go, and whether it was."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio

from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from cicd_core.threads import RunSoon


class Drain:
    """Whether the agent shall go, and why. ``ask`` is for any thread, the rest for the main loop.

    Ask before the agent runs, and it goes as soon as it does.
    """

    def __init__(self) -> None:
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
