"""A job that this agent holds: its newest handle, and whether its work must stop."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

if TYPE_CHECKING:
    from cicd_core.model.claim import Claimed
    from cicd_core.threads import RunSoon


class StopReason(StrEnum):
    """Why a run's scope fired."""

    #: Somebody asked for it.
    CANCEL = "cancel"
    #: It ran for longer than the job's ``timeout_seconds``.
    TIMEOUT = "timeout"
    #: Another agent may be running it: whatever this one reports would be refused.
    LEASE_LOST = "lease_lost"
    #: The agent goes; the job is given back.
    DRAIN = "drain"


@frozen
class Stop:
    """Why the work must stop, for programs and for people."""

    reason: StopReason
    why: str


class Holding:
    """One claim, from its grant to its report. Safe to use from several threads."""

    def __init__(self, claimed: Claimed, run_soon: RunSoon) -> None:
        """Make it in the event loop that runs the job, which ``run_soon`` leads to."""
        #: The newest handle: progress gives a new one. Only the job's own loop sets it.
        self.claimed = claimed
        #: What the handler runs in.
        self.scope = anyio.CancelScope()
        self._run_soon = run_soon
        self._lock = threading.Lock()
        self._stop: Stop | None = None

    @property
    def stop(self) -> Stop | None:
        """Why it must stop; None while it may go on."""
        return self._stop

    @property
    def lost(self) -> bool:
        """Whether the lease is lost, so that nothing may be reported any more."""
        return self._stop is not None and self._stop.reason is StopReason.LEASE_LOST

    def fire(self, reason: StopReason, why: str) -> bool:
        """Stop the work: the flag stands at once, the scope is cancelled soon, in its own loop.

        The first reason stands, but for a lost lease, which overrides every other one.

        Returns:
            Whether this reason stands now and did not before.
        """
        with self._lock:
            if self._stop is not None and (self.lost or reason is not StopReason.LEASE_LOST):
                return False
            self._stop = Stop(reason, why)
        self._run_soon(self.scope.cancel)
        return True

    def __str__(self) -> str:
        job = self.claimed.job
        return f"job {job.job_id} ({job.job_type}, attempt {job.attempt}, fence {job.fence})"
