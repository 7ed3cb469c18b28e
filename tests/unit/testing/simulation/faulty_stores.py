"""Stores that break one promise each, in front of the memory store: the oracle must see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from cicd_core.persistence.collections import JOBS
from cicd_core.store.records import Committed, Put, Renewed
from cicd_core.testing.passing_store import PassingStore
from tests.faulty import CountingStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.records import Claim, Commit, Conflict, Record, Renewal


class Disorderly(PassingStore):
    """Looks at the lane that was listed last, whatever waits in the others."""

    async def claim(self, claim: Claim) -> list[Record]:
        return await self.store.claim(evolve(claim, partitions=claim.partitions[-1:]))


class Idle(CountingStore):
    """Gives nothing to every tenth claim, though there is work."""

    async def claim(self, claim: Claim) -> list[Record]:
        if next(self.calls) % 10 == 0:
            return []
        return await self.store.claim(claim)


class Unsorted(PassingStore):
    """Gives the best records, the worst of them first."""

    async def claim(self, claim: Claim) -> list[Record]:
        return (await self.store.claim(claim))[::-1]


class Trespassing(PassingStore):
    """Looks at every lane that any claim ever named."""

    _lanes: tuple[str, ...] = ()

    async def claim(self, claim: Claim) -> list[Record]:
        self._lanes = tuple(dict.fromkeys((*self._lanes, *claim.partitions)))
        return await self.store.claim(evolve(claim, partitions=self._lanes))


class Unrepeatable(CountingStore):
    """Takes a repeated claim for a new one."""

    async def claim(self, claim: Claim) -> list[Record]:
        return await self.store.claim(evolve(claim, claim_id=f"{next(self.calls):032x}"))


class Forgetful(CountingStore):
    """Answers every tenth creation of a job as if it had been made."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        creates = any(
            type(write) is Put and (write.collection, write.expected) == (JOBS.name, 0)
            for each in commits
            for write in each.writes
        )
        if not creates or next(self.calls) % 10:
            return await self.store.commit(commits)
        versions = [
            {(put.collection, put.key): put.expected + 1 for put in each.writes if type(put) is Put}
            for each in commits
        ]
        return [Committed(each) for each in versions]


class Mistaken(CountingStore):
    """Tells the holders of jobs, at every tenth call, that they hold nothing."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        answers = await self.store.renew(renewals)
        of_jobs = renewals[0].collection == JOBS.name
        return [None] * len(answers) if of_jobs and next(self.calls) % 10 == 0 else answers


class Flattering(PassingStore):
    """It says of each holder that it was alive up to the limit of its lease."""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found: Mapping[str, Record] = await self.store.get(collection, keys)
        return {key: self._flattered(record) for key, record in found.items()}

    @staticmethod
    def _flattered(record: Record) -> Record:
        lease = record.lease
        return record if lease is None else evolve(record, lease=evolve(lease, renewed=lease.limit))


class Uncounted(CountingStore):
    """Drops the counters of every twentieth commit."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if next(self.calls) % 20 == 0:
            commits = [evolve(each, increments=()) for each in commits]
        return await self.store.commit(commits)


class Generous(PassingStore):
    """Promises with each renewal twice the time that it gives."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        answers = await self.store.renew(renewals)
        return [
            answer and evolve(answer, expires=answer.expires + renewal.duration)
            for renewal, answer in zip(renewals, answers, strict=True)
        ]
