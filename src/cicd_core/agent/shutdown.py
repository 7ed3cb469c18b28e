"""The request that an agent drains."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio

from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from cicd_core.threads import RunSoon


class Drain:
    """Whether the agent must drain, and why.

    Any thread may call ``ask``; the rest is for the main loop. If it is called before the agent
    runs, the agent drains as soon as it runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run_soon: RunSoon | None = None
        self._at_once = False
        #: The reason; None before a request.
        self.reason: str | None = None
        self.begun: anyio.Event
        self.immediate: anyio.Event

    def attach(self) -> None:
        """Create the events, in the event loop that the agent runs in."""
        self.begun = anyio.Event()
        self.immediate = anyio.Event()
        with self._lock:
            self._run_soon = run_soon_here()
        self._tell()

    def ask(self, reason: str, *, at_once: bool = False) -> None:
        """Request a drain; with ``at_once``, stop running jobs without a grace period."""
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
