"""Which leases this agent holds, until when, and what is due: plain bookkeeping, no waiting."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.agent.holding import StopReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.agent.holding import Holding
    from cicd_core.model.claim import LeaseStatus

#: A lease is renewed when this part of its life has passed.
RENEWAL_PART: Final = 1 / 3


@define
class _Entry:
    holding: Holding
    #: Until when the lease holds for certain: counted from before the call that got it was sent.
    valid_until: float
    renew_at: float
    timeout_at: float


class LeaseBook:
    """The leases held. Safe to use from several threads; instants are seconds of one clock."""

    def __init__(self) -> None:
        """Begin with none."""
        self._entries: dict[Holding, _Entry] = {}
        self._lock = threading.Lock()

    def hold(self, holding: Holding, *, sent_at: float, timeout_at: float) -> None:
        """Add a lease; its claim, or its last renewal, was sent at ``sent_at``."""
        seconds = holding.claimed.lease_seconds
        entry = _Entry(holding, sent_at + seconds, sent_at + seconds * RENEWAL_PART, timeout_at)
        with self._lock:
            self._entries[holding] = entry

    def drop(self, holding: Holding) -> None:
        """Forget a lease, if it is there."""
        with self._lock:
            self._entries.pop(holding, None)

    def held(self) -> list[Holding]:
        """Return all that are held."""
        with self._lock:
            return list(self._entries)

    def renewed(
        self, holdings: Sequence[Holding], statuses: Sequence[LeaseStatus], sent_at: float
    ) -> None:
        """Take the answers to a renewal that was sent at ``sent_at``; stop what must stop."""
        for holding, status in zip(holdings, statuses, strict=True):
            with self._lock:
                entry = self._entries.get(holding)
                if entry is None:  # reported meanwhile: what became of its lease is all right
                    continue
                if status.held:
                    seconds = holding.claimed.lease_seconds
                    entry.valid_until = sent_at + seconds
                    entry.renew_at = sent_at + seconds * RENEWAL_PART
                else:
                    del self._entries[holding]
            if not status.held:
                holding.fire(StopReason.LEASE_LOST, "the queue has given the job to another")
            elif status.cancel_requested:
                why = status.cancel_reason or "a cancel was requested"
                holding.fire(StopReason.CANCEL, why)

    def fire_overdue(self, now: float) -> None:
        """Stop what has run out of its lease or of its time."""
        with self._lock:
            lapsed = [entry for entry in self._entries.values() if entry.valid_until <= now]
            late = [entry for entry in self._entries.values() if entry.timeout_at <= now]
            for entry in lapsed:
                del self._entries[entry.holding]
            for entry in late:
                entry.timeout_at = math.inf
        for entry in lapsed:
            holding = entry.holding
            why = f"it could not be renewed for {holding.claimed.lease_seconds:g} s"
            holding.fire(StopReason.LEASE_LOST, why)
        for entry in late:
            seconds = entry.holding.claimed.job.timeout_seconds
            entry.holding.fire(StopReason.TIMEOUT, f"ran longer than its {seconds:g} s")

    def renewal_at(self) -> float:
        """Return when the next renewal is due; infinity if nothing is held."""
        with self._lock:
            return min((entry.renew_at for entry in self._entries.values()), default=math.inf)

    def alarm_at(self) -> float:
        """Return when a lease or a job's time runs out next; infinity if nothing is held."""
        with self._lock:
            return min(
                (min(entry.valid_until, entry.timeout_at) for entry in self._entries.values()),
                default=math.inf,
            )

    def shortest(self) -> float:
        """Return the shortest lease held, in seconds; infinity if nothing is held."""
        with self._lock:
            return min(
                (holding.claimed.lease_seconds for holding in self._entries), default=math.inf
            )
