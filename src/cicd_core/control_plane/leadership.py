"""Leadership: one of all control planes on the same data does the shared duties.

It is a lease on one record, like that on a job: taken by a commit, kept by renewals, and free for
others after its expiry. It saves work and is not needed for safety: two leaders at once, such as
after a suspend, do no harm, because the record of each step guards that step.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.errors import CicdError
from cicd_core.model.instants import SECOND, micros
from cicd_core.persistence.collections import COORDINATION
from cicd_core.store.records import Commit, Committed, Guard, Lease, Put, Renewal

if TYPE_CHECKING:
    from cicd_core.persistence.context import Context
    from cicd_core.store.records import StoreTime

#: The longest and the shortest lease of a leader without a renewal, in seconds.
_LONGEST: Final = 15.0
_SHORTEST: Final = 1.0
#: Renewals per lease.
RENEWALS: Final = 3
#: A renewal is never too late: the limit of the lease is a century ahead.
_CENTURY: Final = 100 * 365 * 24 * 3600 * SECOND
#: Maximum wait for the release of the lease at the end of a program, in seconds.
_PATIENCE: Final = 1.0


def leadership_of(lease_seconds: float, heartbeat_timeout_seconds: float) -> float:
    """Return the time until a crashed leader is replaced, in seconds.

    It is half the time allowed for a job's holder or an agent.
    """
    return max(_SHORTEST, min(_LONGEST, lease_seconds / 2, heartbeat_timeout_seconds / 2))


class Leadership:
    """Whether this control plane leads for a duty."""

    def __init__(self, context: Context, duty: str) -> None:
        self._context = context
        self._duty = duty
        lasts = leadership_of(
            context.settings.lease_seconds, context.settings.heartbeat_timeout_seconds
        )
        self._duration = micros(lasts)
        self._leads = False
        self._version = 0
        #: The store is not asked again before this time (µs, steady).
        self._asks_at = 0

    @cached_property
    def _claim_id(self) -> str:
        return self._context.ids.claim_id()

    async def is_mine(self) -> bool:
        """Whether this one leads; takes over if there is no leader.

        Cost: for the leader three renewals per lease; for each of the others a read about every
            one and a half leases; otherwise nothing.
        """
        now = await self._context.store.now()
        if now.micros >= self._asks_at:
            self._leads = (self._leads and await self._renew()) or await self._take(now)
        return self._leads

    async def rest_seconds(self) -> float:
        """Return the seconds during which :meth:`is_mine` keeps its answer."""
        now = await self._context.store.now()
        return max(0, self._asks_at - now.micros) / SECOND

    async def resign(self) -> None:
        """Release the lease, if held, so that another process need not wait for its expiry.

        It takes at most a second, and completes even if the caller is cancelled.
        """
        if not self._leads:
            return
        self._leads, self._asks_at = False, 0
        with anyio.move_on_after(_PATIENCE, shield=True):
            try:
                await self._context.store.commit([self._commit(self._version, None)])
            except CicdError:
                return  # it expires by itself

    async def _renew(self) -> bool:
        renewal = Renewal(
            collection=COORDINATION.name,
            key=self._duty,
            claim_id=self._claim_id,
            duration=self._duration,
        )
        (answer,) = await self._context.store.renew([renewal])
        if answer is not None:
            self._asks_at = answer.renewed + self._duration // RENEWALS
        return answer is not None

    async def _take(self, now: StoreTime) -> bool:
        """Take the lease if it is free; else wait for its expiry, with a random spread."""
        found = await self._context.store.get(COORDINATION.name, [self._duty])
        record = found.get(self._duty)
        lease = None if record is None else record.lease
        if record is not None and lease is not None and lease.claim_id == self._claim_id:
            self._version = record.version  # an own commit whose answer was lost
            return await self._renew()
        free_at = 0 if lease is None else lease.expires + now.uncertainty + 1
        if free_at <= now.micros:
            commit = self._commit(0 if record is None else record.version, self._lease(now))
            (answer,) = await self._context.store.commit([commit])
            if isinstance(answer, Committed):
                self._version = answer.versions[COORDINATION.name, self._duty]
                self._asks_at = now.micros + self._duration // RENEWALS
                return True
            free_at = now.micros + self._duration
        self._asks_at = free_at + round(self._duration * self._context.ids.jitter())
        return False

    def _lease(self, now: StoreTime) -> Lease:
        return Lease(
            claim_id=self._claim_id,
            granted=now.micros,
            renewed=now.micros,
            expires=now.micros + self._duration,
            limit=now.micros + _CENTURY,
        )

    def _commit(self, expected: int, lease: Lease | None) -> Commit:
        put = Put(
            collection=COORDINATION.name,
            key=self._duty,
            expected=expected,
            body=b"{}",
            lease=lease,
            guard=Guard.NONE if lease is None else Guard.LEASE_EXPIRED,
        )
        return Commit(commit_id=self._context.ids.commit_id(), writes=(put,))
