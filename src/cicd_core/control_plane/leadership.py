"""Leadership: of all control planes on the same data, one does what need not be done by several.

It is a lease on one record, like that on a job: taken by a commit, kept by renewals, and free for
others once it has run out. It saves work and decides nothing: two leaders for a moment, one of them
stopped in its sleep say, do no harm where each step is guarded by the record that it is about.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.errors import CicdError
from cicd_core.persistence.collections import COORDINATION
from cicd_core.store.records import Commit, Committed, Guard, Lease, Put, Renewal

if TYPE_CHECKING:
    from cicd_core.persistence.context import Context
    from cicd_core.store.records import StoreTime

_MICROS: Final = 1_000_000
#: The longest and the shortest time, in seconds, that a leader keeps its lease without a renewal.
_LONGEST: Final = 15.0
_SHORTEST: Final = 1.0
#: How often a lease is renewed while it lasts.
RENEWALS: Final = 3
#: No renewal is ever too late: the lease's limit lies a century ahead.
_CENTURY: Final = 100 * 365 * 24 * 3600 * _MICROS
#: How many seconds the end of a program may wait for the lease to be given back.
_PATIENCE: Final = 1.0


def leadership_of(lease_seconds: float, heartbeat_seconds: float) -> float:
    """Return for how many seconds a leader that died is waited for.

    That is half as long as the holder of a job, or an agent, is waited for.
    """
    return max(_SHORTEST, min(_LONGEST, lease_seconds / 2, heartbeat_seconds / 2))


class Leadership:
    """Whether this control plane is the one that does a duty."""

    def __init__(self, context: Context, duty: str) -> None:
        """Stand for a duty; nothing is asked yet."""
        self._context = context
        self._duty = duty
        lasts = leadership_of(context.settings.lease_seconds, context.settings.heartbeat_seconds)
        self._duration = round(lasts * _MICROS)
        self._leads = False
        self._version = 0
        #: Until then (µs, steady) the store is not asked again.
        self._asks_at = 0

    @cached_property
    def _claim_id(self) -> str:
        return self._context.ids.claim_id()

    async def is_mine(self) -> bool:
        """Whether this one leads; it takes the lead where nobody has it.

        Cost: a renewal three times in a leader's lease; for each of the others a read about every
            one and a half of it; in between nothing.
        """
        now = await self._context.store.now()
        if now.micros >= self._asks_at:
            self._leads = (self._leads and await self._renew()) or await self._take(now)
        return self._leads

    async def rest_seconds(self) -> float:
        """Return for how many seconds :meth:`is_mine` will give the same answer."""
        now = await self._context.store.now()
        return max(0, self._asks_at - now.micros) / _MICROS

    async def resign(self) -> None:
        """Give the lease back, if this one has it, so that another one need not wait for its end.

        It takes a second at most, and is done though the caller is cancelled.
        """
        if not self._leads:
            return
        self._leads, self._asks_at = False, 0
        with anyio.move_on_after(_PATIENCE, shield=True):
            try:
                await self._context.store.commit([self._commit(self._version, None)])
            except CicdError:
                return  # it runs out by itself

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
        """Take the lease, if it is free; else wait for its end, and not all at the same moment."""
        found = await self._context.store.get(COORDINATION.name, [self._duty])
        record = found.get(self._duty)
        lease = None if record is None else record.lease
        if record is not None and lease is not None and lease.claim_id == self._claim_id:
            self._version = record.version  # a commit of this one, whose answer was lost
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
