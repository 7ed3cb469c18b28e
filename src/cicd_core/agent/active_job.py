"""A job that this agent holds: its newest claim, and whether its work must stop."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from cicd_core.agent.lease_times import LeaseTimes
    from cicd_core.model.claim import ClaimedJob
    from cicd_core.threads import RunSoon


class StopReason(StrEnum):
    """Why the scope of a run fired."""

    #: A caller requested it.
    CANCEL = "cancel"
    #: It ran longer than the job's ``timeout_seconds``.
    TIMEOUT = "timeout"
    #: The lease is lost, or it can't be renewed and is about to end. Another agent may run the job
    #: soon, or runs it already.
    LEASE_LOST = "lease_lost"
    #: The agent drains and releases the job.
    DRAIN = "drain"


@frozen
class Stop:
    """Why the work must stop: a reason for programs, and a text for people."""

    reason: StopReason
    why: str


class ActiveJob:
    """One claim, from its grant to its report. Safe to use from several threads."""

    def __init__(
        self, claimed: ClaimedJob, run_soon: RunSoon, *, stop_seconds: float = 0.0
    ) -> None:
        """Create it in the event loop that runs the job, which ``run_soon`` reaches.

        ``stop_seconds``: how long the handler takes to end after its scope has fired.
        """
        #: The newest claim; each progress report returns a new one. Only the job's loop sets it.
        self.claimed = claimed
        #: The scope of the handler.
        self.scope = anyio.CancelScope()
        self.stop_seconds = stop_seconds
        #: Whether the control plane confirmed the loss of the lease; until then, renewals go on.
        self.gone = False
        #: Whether the handler is running.
        self.at_work = False
        #: Whether the handler was called. Only the job's own loop sets it.
        self.began = False
        self._run_soon = run_soon
        self._lock = threading.RLock()
        self._stop: Stop | None = None
        self._first_stop: Stop | None = None
        self._stopped_at = math.inf
        self._times: LeaseTimes | None = None
        self._followers: list[Callable[[float], object]] = []

    @property
    def stop(self) -> Stop | None:
        """Why the work must stop; None while it may continue."""
        return self._stop

    @property
    def first_stop(self) -> Stop | None:
        """The first reason for which the scope fired; it sets the verdict if the lease holds."""
        return self._first_stop

    @property
    def stopped_at(self) -> float:
        """When the scope fired, on the lease clock; infinity if it has not."""
        return self._stopped_at

    @property
    def is_stuck(self) -> bool:
        """Whether the handler still runs although it was stopped and its time to end is over."""
        return self.at_work and lease_clock() - self._stopped_at > self.stop_seconds

    @property
    def lost(self) -> bool:
        """Whether the lease is lost, or presumed lost: the work must stop."""
        return self._stop is not None and self._stop.reason is StopReason.LEASE_LOST

    def fire(self, reason: StopReason, why: str) -> bool:
        """Stop the work: set the flag now, and cancel the scope soon, in its own event loop.

        The first reason stands. Only a lost lease overrides another reason.

        Returns:
            Whether this reason was set by this call.
        """
        with self._lock:
            if self._stop is not None and (self.lost or reason is not StopReason.LEASE_LOST):
                return False
            self._stop = Stop(reason, why)
            if self._first_stop is None:
                self._first_stop = self._stop
                self._stopped_at = lease_clock()
        self._run_soon(self.scope.cancel)
        return True

    def lose(self, why: str) -> None:
        """Stop the work of a lease that the control plane reports as lost.

        Another agent may already run the job, so the handler has little time to end.
        """
        self.gone = True
        self.fire(StopReason.LEASE_LOST, why)
        with self._lock:
            if self._times is not None:
                self._set_times(self._times.lost(lease_clock()))

    def keep_to(self, times: LeaseTimes) -> None:
        """Set the new end of the lease, and pass it to the followers."""
        with self._lock:
            self._set_times(times)

    def _set_times(self, times: LeaseTimes) -> None:
        self._times = times
        for follower in self._followers:
            follower(times.end_at)

    @property
    def times(self) -> LeaseTimes | None:
        """The times of the lease; None before the work begins."""
        return self._times

    @property
    def next_stop_at(self) -> float:
        """When the lease or the timeout stops the job next; infinity: never."""
        times = self._times
        if times is None or self.lost:
            return math.inf
        return times.end_at if self._stop else min(times.timeout_at, times.stop_at)

    def stop_if_overdue(self) -> None:
        """Stop the work if its lease or its timeout is over now, without the lease renewer.

        A process that was suspended may wake up in the middle of a handler: it must notice the lost
        time before the handler continues.
        """
        times = self._times
        if times is None or (now := lease_clock()) < self.next_stop_at:
            return
        if self._stop is None and times.times_out_first:
            seconds = self.claimed.job.timeout_seconds
            self.fire(StopReason.TIMEOUT, f"ran longer than its {seconds:g} s")
        if self._stop is None or times.end_at <= now:
            why = f"its lease of {times.lease_seconds:g} s could not be renewed in time"
            self.fire(StopReason.LEASE_LOST, why)

    @contextmanager
    def followed(self, follower: Callable[[float], object]) -> Generator[None]:
        """Call ``follower`` with the time by which all work must end, now and at each change.

        It is called in any thread with an instant of the lease clock, and must not block.
        """
        with self._lock:
            self._followers.append(follower)
            if self._times is not None:
                follower(self._times.end_at)
        try:
            yield
        finally:
            with self._lock:
                self._followers.remove(follower)

    def __str__(self) -> str:
        job = self.claimed.job
        return f"job {job.job_id} ({job.job_type}, attempt {job.attempt}, fence {job.fence})"
