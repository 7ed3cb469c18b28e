"""Which leases this agent holds, until when, and what is due: plain bookkeeping, no waiting."""

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

#: A lease is renewed when this part of its life has passed.
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
            seconds_left: what the answer said is left of the lease, counted from then.
            timeout_at: when the job's own time is over.
            at_limit: whether no renewal moves the lease's end any further.
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
        """Forget a lease, if it is there."""
        with self._lock:
            self._entries.pop(holding, None)

    def held(self) -> list[ActiveJob]:
        """Return all that are held."""
        with self._lock:
            return list(self._entries)

    def renewed(
        self, holdings: Sequence[ActiveJob], statuses: Sequence[LeaseStatus], sent_at: float
    ) -> None:
        """Take the answers to a renewal that was sent at ``sent_at``; stop what must stop."""
        for holding, status in zip(holdings, statuses, strict=True):
            with self._lock:
                entry = self._entries.get(holding)
                if entry is None:  # reported meanwhile: what became of its lease is all right
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
        """Stop what has run out of its lease or of its time.

        It stays: as long as the other side has not said that a lease is lost it may be renewed
        again, so that the job has no second owner while the first one still ends.
        """
        for holding in self.held():
            holding.stop_if_overdue()

    def renew_soon(self, now: float) -> None:
        """Let every lease be due for a renewal now."""
        with self._lock:
            for entry in self._entries.values():
                entry.renew_at = min(entry.renew_at, now)

    def renewal_at(self) -> float:
        """Return when the next renewal is due; infinity if nothing is held."""
        with self._lock:
            return min((entry.renew_at for entry in self._entries.values()), default=math.inf)

    def alarm_at(self) -> float:
        """Return when a lease or a job's time runs out next; infinity if nothing is held."""
        return min((holding.next_stop_at for holding in self.held()), default=math.inf)

    def shortest(self) -> float:
        """Return the shortest lease held, in seconds; infinity if nothing is held."""
        return min((holding.claimed.lease_seconds for holding in self.held()), default=math.inf)


def _prolong(entry: _Entry, status: LeaseStatus, sent_at: float) -> None:
    """Take what a renewal came to."""
    holding = entry.holding
    seconds = holding.claimed.lease_seconds
    left = seconds if status.seconds_left is None else status.seconds_left
    times = holding.times
    if times is not None:
        holding.keep_to(times.renewed(valid_until=sent_at + left, at_limit=status.at_limit))
    # At its limit a lease is renewed for the sake of the answer alone, and not ever more often.
    lasts = seconds if status.at_limit else min(left, seconds)
    entry.renew_at = _renewal_after(sent_at, lasts, times)


def _renewal_after(sent_at: float, lasts: float, times: LeaseTimes | None) -> float:
    """Return when to renew next: in time, and once when the job's own time is over.

    That renewal tells the other side that this agent was alive then: a job that goes on ran for too
    long, and was not lost.
    """
    renew_at = sent_at + lasts * RENEWAL_PART
    if times is not None and sent_at < times.timeout_at < renew_at:
        return times.timeout_at
    return renew_at
