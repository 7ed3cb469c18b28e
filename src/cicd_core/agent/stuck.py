"""Slots that can't be freed because a stopped handler still runs: a thread, or a blocked loop.

A process can't end one of its threads. So the agent reports such slots, and may end the process for
its supervisor to start another one.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.model.agent import StuckReport
from cicd_core.model.amounts import amount
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.agent.active_job import ActiveJob

_log = logging.getLogger("cicd_core.agent")

#: The exit code of a process that ends because slots are stuck (``EX_TEMPFAIL``: try again).
EXIT_STUCK: Final = 75


@frozen(kw_only=True)
class StuckLimit:
    """When the process of an agent must end because of stuck slots."""

    #: The number of stuck slots at which it ends.
    slots: int
    #: How long each must be stuck, beyond the time that its handler has to stop.
    seconds: float


def stuck_reports(stuck: Sequence[ActiveJob]) -> list[StuckReport]:
    """Return the reports of stuck slots for a heartbeat."""
    now = lease_clock()
    return [
        StuckReport(
            job_id=holding.claimed.job.job_id,
            seconds=max(0.0, now - holding.stopped_at),
            reason=holding.stop.reason.value,
        )
        for holding in stuck
        if holding.stop is not None
    ]


class StuckWatch:
    """Decides when the process must end. For the renewer's thread, which is never blocked."""

    def __init__(
        self,
        limit: StuckLimit,
        *,
        stuck: Callable[[], Sequence[ActiveJob]],
        running: Callable[[], int],
        on_drain: Callable[[str], object],
        patience_seconds: float,
    ) -> None:
        """Watch the jobs that ``stuck`` returns.

        Args:
            limit: how many stuck slots are too many.
            stuck: returns the jobs whose stopped handlers still run.
            running: counts the jobs that run or are not reported yet.
            on_drain: drains the agent, so that the other jobs can finish.
            patience_seconds: how long that may take.
        """
        self._limit = limit
        self._stuck = stuck
        self._running = running
        self._on_drain = on_drain
        self._patience_seconds = patience_seconds
        self._ends_at = 0.0
        #: Why the process must end; None while it need not.
        self.reason: str | None = None

    def look(self) -> bool:
        """Return whether the process must end now; the agent drains first."""
        now = lease_clock()
        if self.reason is None:
            self.reason = self._found(now)
            if self.reason is None:
                return False
            _log.critical("%s: the process will exit with code %d", self.reason, EXIT_STUCK)
            self._ends_at = now + self._patience_seconds
            self._on_drain(self.reason)
        return self._running() <= len(self._stuck()) or now >= self._ends_at

    def _found(self, now: float) -> str | None:
        limit = self._limit
        stuck = [
            holding
            for holding in self._stuck()
            if now - holding.stopped_at - holding.stop_seconds > limit.seconds
        ]
        if len(stuck) < limit.slots:
            return None
        jobs = ", ".join(holding.claimed.job.job_id for holding in stuck[:5])
        slots = amount(len(stuck), "slot is", "slots are")
        return f"{slots} stuck for more than {limit.seconds:g} s (job {jobs})"


def end_process(reason: str) -> NoReturn:
    """End this process at once, without waiting for threads and without cleaning up."""
    _log.critical("%s: the process exits now with code %d", reason, EXIT_STUCK)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(EXIT_STUCK)
