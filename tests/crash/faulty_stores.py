"""Stores that break one promise each, behind a real one: the lab's audit must find it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from attrs import evolve

from cicd_core import forks
from cicd_core.clock import monotonic_seconds
from cicd_core.store.records import Committed, Guard, Put, Renewed, StoreTime
from cicd_core.testing.passing_store import PassingStore
from tests.faulty import CountingStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Commit, Conflict, Record, Renewal

SECOND = 1_000_000
#: Longer than the tests let a worker live.
SLUGGISH_SECONDS = 0.4


class Forgetful(CountingStore):
    """Answers every fiftieth commit as if it had been applied."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if next(self.calls) % 50:
            return await self.store.commit(commits)
        return [
            Committed(
                {
                    (write.collection, write.key): write.expected + 1
                    for write in commit.writes
                    if isinstance(write, Put)
                }
            )
            for commit in commits
        ]


class Generous(CountingStore):
    """Gives every twentieth claim what the one before it got."""

    _last: Record | None = None

    async def claim(self, claim: Claim) -> list[Record]:
        records = await self.store.claim(claim)
        last, self._last = self._last, records[0] if records else None
        if last is None or last.lease is None or next(self.calls) % 20:
            return records
        return [evolve(last, lease=evolve(last.lease, claim_id=claim.claim_id))]


class Lulling(PassingStore):
    """Says of every lease that it was renewed up to its limit, and leaves it as it is.

    With less, a busy machine would take the jobs away only after the time that was promised.
    """

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        held = [await self.store.get(each.collection, [each.key]) for each in renewals]
        return [
            _renewed(records.get(each.key), each)
            for each, records in zip(renewals, held, strict=True)
        ]


class Hasty(PassingStore):
    """Goes by a clock that is ahead, and lets leases be taken away by it."""

    async def now(self) -> StoreTime:
        return StoreTime((await self.store.now()).micros + SECOND)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        unguarded = [
            evolve(each, writes=tuple(evolve(write, guard=Guard.NONE) for write in each.writes))
            for each in commits
        ]
        return await self.store.commit(unguarded)


class Sluggish(PassingStore):
    """Breaks nothing, and answers nothing for a while, as on a machine with much to do."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._until = monotonic_seconds() + SLUGGISH_SECONDS

    async def now(self) -> StoreTime:
        await anyio.sleep(max(0.0, self._until - monotonic_seconds()))
        return await self.store.now()

    async def claim(self, claim: Claim) -> list[Record]:
        await self.now()
        return await self.store.claim(claim)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        await self.now()
        return await self.store.commit(commits)


def _renewed(record: Record | None, renewal: Renewal) -> Renewed | None:
    if record is None or record.lease is None or record.lease.claim_id != renewal.claim_id:
        return None
    limit = record.lease.limit
    renewed = record.lease.renewed
    return Renewed(version=record.version, renewed=renewed, expires=limit, limit=limit)


def sharing(store: Store) -> Store:
    """Let forked children keep the files of this process open, with their locks."""
    forks._files.clear()  # noqa: SLF001 - the fault that is put in
    return store
