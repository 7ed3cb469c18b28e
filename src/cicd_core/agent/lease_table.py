"""The leases that this agent holds, with their ends and renewals: plain bookkeeping."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.agent.active_job import StopReason
from cicd_core.agent.lease_times import LeaseTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.model.claim import LeaseStatus

#: A lease is renewed after this part of its length.
RENEWAL_PART: Final = 1 / 3


@define
class _Entry:
    holding: ActiveJob
    renew_at: float


class LeaseTable:
    """The leases held. Safe to use from several threads; instants are seconds of one clock."""

    def __init__(self) -> None:
        self._entries: dict[ActiveJob, _Entry] = {}
        self._lock = threading.Lock()

    def hold(
        self,
        holding: ActiveJob,
        *,
        sent_at: float,
        seconds_left: float,
        timeout_at: float,
        at_limit: bool = False,
    ) -> None:
        """Add a lease.

        Args:
            holding: the job.
            sent_at: when its claim, or its last renewal, was sent.
            seconds_left: the rest of the lease that the answer reported, counted from then.
            timeout_at: when the job times out.
            at_limit: whether no renewal can extend the lease further.
        """
        seconds = holding.claimed.lease_seconds
        times = LeaseTimes(
            valid_until=sent_at + seconds_left,
            at_limit=at_limit,
            lease_seconds=seconds,
            timeout_at=timeout_at,
            stop_seconds=holding.stop_seconds,
        )
        holding.keep_to(times)
        entry = _Entry(holding, _renewal_after(sent_at, min(seconds_left, seconds), times))
        with self._lock:
            self._entries[holding] = entry

    def drop(self, holding: ActiveJob) -> None:
        """Remove a lease, if it is there."""
        with self._lock:
            self._entries.pop(holding, None)

    def held(self) -> list[ActiveJob]:
        """Return all jobs held."""
        with self._lock:
            return list(self._entries)

    def renewed(
        self, holdings: Sequence[ActiveJob], statuses: Sequence[LeaseStatus], sent_at: float
    ) -> None:
        """Apply the answers to a renewal sent at ``sent_at``; stop the jobs that must stop."""
        for holding, status in zip(holdings, statuses, strict=True):
            with self._lock:
                entry = self._entries.get(holding)
                if entry is None:  # reported in the meantime: its lease no longer matters
                    continue
                if status.held:
                    _prolong(entry, status, sent_at)
                else:
                    del self._entries[holding]
            if not status.held:
                holding.lose("the queue gave the job to another agent")
            elif status.cancel_requested:
                why = status.cancel_reason or "a cancel was requested"
                holding.fire(StopReason.CANCEL, why)

    def stop_overdue(self) -> None:
        """Stop the jobs whose lease or timeout is over.

        They stay in the table: until the control plane reports a lease as lost, a renewal may
        still succeed, so that the job gets no second owner while the first one ends.
        """
        for holding in self.held():
            holding.stop_if_overdue()

    def renew_soon(self, now: float) -> None:
        """Make every lease due for a renewal now."""
        with self._lock:
            for entry in self._entries.values():
                entry.renew_at = min(entry.renew_at, now)

    def renewal_at(self) -> float:
        """Return when the next renewal is due; infinity if nothing is held."""
        with self._lock:
            return min((entry.renew_at for entry in self._entries.values()), default=math.inf)

    def alarm_at(self) -> float:
        """Return when the next lease or timeout ends; infinity if nothing is held."""
        return min((holding.next_stop_at for holding in self.held()), default=math.inf)

    def shortest(self) -> float:
        """Return the shortest lease held, in seconds; infinity if nothing is held."""
        return min((holding.claimed.lease_seconds for holding in self.held()), default=math.inf)


def _prolong(entry: _Entry, status: LeaseStatus, sent_at: float) -> None:
    """Apply the answer to a successful renewal."""
    holding = entry.holding
    seconds = holding.claimed.lease_seconds
    left = seconds if status.seconds_left is None else status.seconds_left
    times = holding.times
    if times is not None:
        holding.keep_to(times.renewed(valid_until=sent_at + left, at_limit=status.at_limit))
    # At its limit, a renewal only learns the status of the lease, so it needs no shorter interval.
    lasts = seconds if status.at_limit else min(left, seconds)
    entry.renew_at = _renewal_after(sent_at, lasts, times)


def _renewal_after(sent_at: float, lasts: float, times: LeaseTimes | None) -> float:
    """Return when to renew next: in time, and once at the job's timeout.

    That renewal proves that this agent was alive at the timeout: if the job still runs, it ran for
    too long, and was not lost.
    """
    renew_at = sent_at + lasts * RENEWAL_PART
    if times is not None and sent_at < times.timeout_at < renew_at:
        return times.timeout_at
    return renew_at
