"""Whether this machine can run jobs at all: judged by set-ups that failed in a row."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from cicd_core.agent.answers import reason_of
from cicd_core.agent.retry import Backoff

_log = logging.getLogger("cicd_core.agent")

#: Returns if the machine can run a job of the handler that brings it; raises SetupFailed if not.
Probe = Callable[[], Awaitable[object]]

#: How many set-ups fail in a row before the agent is unhealthy.
MOST_FAILURES: Final = 3
#: The first and the longest pause after a failure, in seconds. A job that was given back waits one
#: second at least, and half of the first pause is longer: another agent is there before this one.
_FIRST_PAUSE: Final = 4.0
_LONGEST_PAUSE: Final = 60.0


class Fitness:
    """Counts set-ups that failed, and finds out when they may work again.

    For the main loop; :attr:`fault` may be read by any thread.
    """

    def __init__(self, slots: int, on_change: Callable[[], object]) -> None:
        """Begin fit; ``on_change`` is called when :attr:`fault` comes or goes."""
        self._slots = slots
        self._on_change = on_change
        #: How many jobs may run at once: half as many after a failure, one more after each job
        #: that began, up to the slots. It finds out what a machine has room for.
        self.most = slots
        self._failures = 0
        self._backoff = Backoff(first=_FIRST_PAUSE, most=_LONGEST_PAUSE)
        self._must_pause = False
        self._probe: Probe | None = None
        #: Why no job can be run here; None while that is not certain.
        self.fault: str | None = None
        #: Why the newest set-up failed; None if it worked. As long as it stands, one job at a time
        #: is enough to see.
        self.doubt: str | None = None

    def worked(self) -> None:
        """Note that a job's set-up worked."""
        self.most = min(self._slots, self.most + 1)
        if self.doubt is not None:
            self.doubt = None
            self._failures = 0
            self._backoff.reset()

    def failed(self, failed: BaseException, probe: Probe | None) -> None:
        """Note that a set-up failed; the probe, if there is one, tells when it may work again.

        What fails before the agent has paused, on many slots at once, counts as one.
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
        """Return when the agent may claim: at once, unless a set-up has failed since it did."""
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
        except Exception as failed:  # noqa: BLE001 - it may be the embedder's
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
