"""Stores that each make one mistake in what they write, grant, renew or recognise."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from unicodedata import normalize

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.errors import StoreUnavailable
from cicd_core.store import KEEP, Conflict, Delete, Put
from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.samples import COLLECTIONS
from tests.conformance.faulty_writes import each_put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store import (
        Claim,
        Commit,
        Committed,
        Record,
        Renewal,
        Renewed,
    )

INDEXES = {each.name: each.indexes for each in COLLECTIONS}


class ClaimsFromTwoHundred(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, partitions=claim.partitions[:200]))


class ClaimsAHundredAtMost(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, limit=min(claim.limit, 100)))


class ClaimsByTheFirstIndex(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        if claim.index not in INDEXES.get(claim.collection, ()):
            return await super().claim(claim)
        return await super().claim(evolve(claim, index=INDEXES[claim.collection][0]))


class RepeatsByTheFirstIndex(PassingStore):
    """What a repeated claim answers is in the order of the first index."""

    async def claim(self, claim: Claim) -> list[Record]:
        held = await super().claim(evolve(claim, limit=0))
        if not held:
            return await super().claim(claim)
        sort = INDEXES[claim.collection][0].sort
        return sorted(held, key=lambda record: record.attributes.get(sort, ""))


class ClaimsWithoutCase(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        lower = tuple(value.lower() for value in claim.partitions)
        return await super().claim(evolve(claim, partitions=lower))


class ClaimsNormalised(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        composed = tuple(normalize("NFC", value) for value in claim.partitions)
        return await super().claim(evolve(claim, partitions=composed))


class TakesClaimIdsForOne(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, claim_id=claim.claim_id.lower()))

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await super().renew(
            [evolve(each, claim_id=each.claim_id.lower()) for each in renewals]
        )


class PadsClaimIds(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, claim_id=claim.claim_id.rstrip() or " "))


class _CutsGrants(PassingStore):
    def cut(self, grant: bytes | None) -> bytes | None:
        raise NotImplementedError

    async def claim(self, claim: Claim) -> list[Record]:
        return [evolve(it, grant=self.cut(it.grant)) for it in await super().claim(claim)]

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        return {key: evolve(it, grant=self.cut(it.grant)) for key, it in found.items()}


class KeepsNoEmptyGrant(_CutsGrants):
    def cut(self, grant: bytes | None) -> bytes | None:
        return grant or None


class CutsLargeGrants(_CutsGrants):
    def cut(self, grant: bytes | None) -> bytes | None:
        return grant and grant[:65535]


class ClaimsForAYearAtMost(PassingStore):
    async def claim(self, claim: Claim) -> list[Record]:
        year = 365 * 86400 * 1_000_000
        return await super().claim(evolve(claim, duration=min(claim.duration, year)))


class _Rewrites(PassingStore):
    def rewritten(self, commit: Commit) -> Commit:
        raise NotImplementedError

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([self.rewritten(each) for each in commits])


class TakesCommitIdsForOne(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        return evolve(commit, commit_id=commit.commit_id.lower())


class PadsCounters(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        increments = [evolve(it, name=it.name.rstrip(" \0") or it.name) for it in commit.increments]
        return evolve(commit, increments=tuple(increments))


class NormalisesCounters(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        increments = [evolve(it, name=normalize("NFC", it.name)) for it in commit.increments]
        return evolve(commit, increments=tuple(increments))


class KeepsAmountsAsDoubles(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        increments = [evolve(it, amount=rounded(it.amount)) for it in commit.increments]
        return evolve(commit, increments=tuple(increments))


class CountsAHundredIncrements(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        return evolve(commit, increments=commit.increments[:100])


class TellsAHundredEvents(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        return evolve(commit, events=commit.events[:100])


class TakesZeroForNever(_Rewrites):
    """``if put.expires_at:`` says no for 0 too."""

    def rewritten(self, commit: Commit) -> Commit:
        return each_put(commit, lambda put: evolve(put, expires_at=put.expires_at or None))


class KeepsRetentionAsDoubles(_Rewrites):
    def rewritten(self, commit: Commit) -> Commit:
        return each_put(
            commit, lambda put: evolve(put, expires_at=put.expires_at and rounded(put.expires_at))
        )


class CutsLeaseLimits(_Rewrites):
    """It keeps seconds, in 24 bits."""

    def rewritten(self, commit: Commit) -> Commit:
        return each_put(
            commit,
            lambda put: evolve(put, lease_limit=put.lease_limit and min(put.lease_limit, 10**13)),
        )


def rounded(number: int) -> int:
    """Return a number as a double holds it, within the limits."""
    return max(-(10**16) + 2, min(10**16 - 2, int(float(number))))


class DropsExpiredLeases(PassingStore):
    """A write keeps the lease, unless it has expired."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        now = (await self.now()).micros
        leases = [await self._expired(each, now) for each in commits]
        return await super().commit(
            [
                each_put(each, partial(dropped, gone))
                for each, gone in zip(commits, leases, strict=True)
            ]
        )

    async def _expired(self, commit: Commit, now: int) -> set[tuple[str, str]]:
        gone: set[tuple[str, str]] = set()
        for write in commit.writes:
            if write.collection not in INDEXES or not write.key or not write.key.isascii():
                continue
            if len(write.key) > 1000:
                continue
            found = (await self.store.get(write.collection, [write.key])).get(write.key)
            if found and found.lease and found.lease.expires < now:
                gone.add((write.collection, write.key))
        return gone


def dropped(gone: set[tuple[str, str]], put: Put) -> Put:
    """Return a put that clears the lease, if it would keep one that is gone."""
    keeps = put.lease is KEEP and (put.collection, put.key) in gone
    return evolve(put, lease=None) if keeps else put


class DeletesLast(PassingStore):
    """Of a list, it makes all commits that delete something last."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        order = sorted(range(len(commits)), key=lambda at: deletes(commits[at]))
        answers = await super().commit([commits[at] for at in order])
        return [answer for _, answer in sorted(zip(order, answers, strict=True), key=first)]


def first(pair: tuple[int, Any]) -> int:
    """Return the first of two."""
    return pair[0]


def deletes(commit: Commit) -> bool:
    """Whether a commit deletes anything."""
    return any(isinstance(each, Delete) for each in commit.writes)


class AnswersLongListsInPieces(PassingStore):
    """Pieces of a long list are answered as they come: here the last one first."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        return answers if len(commits) <= 500 else [*answers[500:], *answers[:500]]


class RenewsTheFirstHundred(PassingStore):
    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        answers = await super().renew(renewals)
        return [*answers[:100], *([None] * len(answers[100:]))]


class RenewsInTheOrderGiven(PassingStore):
    """It locks one row after the other; of two that wait for each other one is refused."""

    locked: ClassVar[dict[int, set[tuple[str, str]]]] = {}

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        answers: list[Renewed | None] = []
        mine = self.locked.setdefault(id(answers), set())
        try:
            for each in renewals:
                answers += await super().renew([each])
                wanted = (each.collection, each.key)
                others = [held for held in self.locked.values() if held is not mine]
                if mine and any(wanted in held for held in others):
                    raise StoreUnavailable("deadlock detected")
                mine.add(wanted)
                await checkpoint()
        finally:
            del self.locked[id(answers)]
        return answers


class StopsAtTheFirstStranger(PassingStore):
    """A renewal that is not its holder's stops those behind it."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        answers = await super().renew(renewals)
        if None not in answers:
            return answers
        at = answers.index(None)
        return [*answers[:at], *([None] * (len(answers) - at))]
