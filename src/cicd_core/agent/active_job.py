"""A job that this agent holds: its newest handle, and whether its work must stop."""

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
    """Why a run's scope fired."""

    #: Somebody asked for it.
    CANCEL = "cancel"
    #: It ran for longer than the job's ``timeout_seconds``.
    TIMEOUT = "timeout"
    #: The lease is lost, or can't be renewed and is about to end: another agent may run the job
    #: soon, or runs it already.
    LEASE_LOST = "lease_lost"
    #: The agent goes; the job is given back.
    DRAIN = "drain"


@frozen
class Stop:
    """Why the work must stop, for programs and for people."""

    reason: StopReason
    why: str


class ActiveJob:
    """One claim, from its grant to its report. Safe to use from several threads."""

    def __init__(
        self, claimed: ClaimedJob, run_soon: RunSoon, *, stop_seconds: float = 0.0
    ) -> None:
        """Make it in the event loop that runs the job, which ``run_soon`` leads to.

        ``stop_seconds``: how long its handler takes to end once its scope has fired.
        """
        #: The newest handle: progress gives a new one. Only the job's own loop sets it.
        self.claimed = claimed
        #: What the handler runs in.
        self.scope = anyio.CancelScope()
        self.stop_seconds = stop_seconds
        #: Whether the other side has said that the lease is lost; until it has, it is asked.
        self.gone = False
        #: Whether its handler runs now.
        self.at_work = False
        #: Whether its handler was called. Only the job's own loop sets it.
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
        """Why it must stop; None while it may go on."""
        return self._stop

    @property
    def first_stop(self) -> Stop | None:
        """Why its scope fired in the first place: what it ends with, if the lease still holds."""
        return self._first_stop

    @property
    def stopped_at(self) -> float:
        """When its scope fired, on the lease clock; infinity if it has not."""
        return self._stopped_at

    @property
    def is_stuck(self) -> bool:
        """Whether its handler goes on though it was stopped, and has had the time to end."""
        return self.at_work and lease_clock() - self._stopped_at > self.stop_seconds

    @property
    def lost(self) -> bool:
        """Whether the lease is lost, or believed to be: the work must not go on."""
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
            if self._first_stop is None:
                self._first_stop = self._stop
                self._stopped_at = lease_clock()
        self._run_soon(self.scope.cancel)
        return True

    def lose(self, why: str) -> None:
        """Stop the work of a lease that is lost for certain: the other side says so.

        The job may have its next owner already: little time is left to end.
        """
        self.gone = True
        self.fire(StopReason.LEASE_LOST, why)
        with self._lock:
            if self._times is not None:
                self._set_times(self._times.lost(lease_clock()))

    def keep_to(self, times: LeaseTimes) -> None:
        """Take when the lease ends from now on, and tell those that follow it."""
        with self._lock:
            self._set_times(times)

    def _set_times(self, times: LeaseTimes) -> None:
        self._times = times
        for follower in self._followers:
            follower(times.end_at)

    @property
    def times(self) -> LeaseTimes | None:
        """When the lease ends; None before the work begins."""
        return self._times

    @property
    def next_stop_at(self) -> float:
        """When its lease or its time stops it next; infinity: not at all."""
        times = self._times
        if times is None or self.lost:
            return math.inf
        return times.end_at if self._stop else min(times.timeout_at, times.stop_at)

    def stop_if_overdue(self) -> None:
        """Stop the work if its lease or its time is over now, whatever the keeper is doing.

        A process that was suspended may wake up in the middle of a handler: the lost time must be
        noticed before the handler goes on.
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
        """Tell ``follower`` by when all must have ended: now, and whenever that moves.

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
