"""Decides whether this machine can run jobs, from consecutive set-ups that failed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from cicd_core.agent.answers import reason_of
from cicd_core.agent.retry import Backoff

_log = logging.getLogger("cicd_core.agent")

#: Returns if the machine can run a job of the handler that has the probe; else it raises.
Probe = Callable[[], Awaitable[object]]

#: Number of consecutive failed set-ups that make the agent unhealthy.
MOST_FAILURES: Final = 3
#: The first and the longest pause after a failure, in seconds. A released job waits at least one
#: second, and half of the first pause is longer, so another agent can claim the job first.
_FIRST_PAUSE: Final = 4.0
_LONGEST_PAUSE: Final = 60.0


class Fitness:
    """Counts failed set-ups, and finds out when they may succeed again.

    Only the main loop may use it; any thread may read :attr:`fault`.
    """

    def __init__(self, slots: int, on_change: Callable[[], object]) -> None:
        """Start healthy; ``on_change`` is called when :attr:`fault` is set or cleared."""
        self._slots = slots
        self._on_change = on_change
        #: How many jobs may run at once. It is halved after a failure and grows by one after each
        #: job that began, up to the slots: it adapts to what the machine has room for.
        self.most = slots
        self._failures = 0
        self._backoff = Backoff(first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
        self._must_pause = False
        self._probe: Probe | None = None
        #: Why this machine can't run any job; None while it can, or that is not certain.
        self.fault: str | None = None
        #: Why the last set-up failed; None if it succeeded. While it is set, the agent tries one
        #: job at a time.
        self.doubt: str | None = None

    def worked(self) -> None:
        """Note that a job's set-up succeeded."""
        self.most = min(self._slots, self.most + 1)
        if self.doubt is not None:
            self.doubt = None
            self._failures = 0
            self._backoff.reset()

    def failed(self, failed: BaseException, probe: Probe | None) -> None:
        """Note that a set-up failed; a probe tells when it may succeed again.

        Failures on several slots before the next pause count as one.
        """
        if not self._must_pause:
            self._failures += 1
            self.most = max(1, self.most // 2)
        self._must_pause = True
        self._probe = probe
        why = self.doubt = reason_of(failed)
        if self._failures < MOST_FAILURES:
            _log.warning("this machine could not start a job: %s", why)
        else:
            self._set_fault(why)

    async def recover(self) -> None:
        """Return when the agent may claim: at once, or after a failure when the probe passes."""
        while self._must_pause:
            await anyio.sleep(self._backoff.next_delay())
            if await self._probe_passes():
                self._must_pause = False
                self._set_fault(None)

    async def _probe_passes(self) -> bool:
        if self._probe is None:  # the next job is the probe
            return True
        try:
            await self._probe()
        except Exception as failed:  # noqa: BLE001 - the probe may be the embedder's code
            self._must_pause = False
            self.failed(failed, self._probe)
            return False
        return True

    def _set_fault(self, fault: str | None) -> None:
        if fault == self.fault:
            return
        if fault is None:
            _log.warning("this machine can run jobs again")
        else:
            _log.error("this machine cannot run jobs, the agent is unhealthy: %s", fault)
        self.fault = fault
        self._on_change()
