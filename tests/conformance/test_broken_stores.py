"""The lockstep machine finds out about stores that break one promise each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from cicd_core.store.memory import MemoryStore
from cicd_core.store.records import KEEP, Guard, Put
from cicd_core.testing import StoreHarness, VirtualClock, store_machine
from cicd_core.testing.samples import COLLECTIONS, SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Claim,
        Commit,
        Committed,
        Conflict,
        Count,
        Partition,
        Query,
        Renewal,
        Renewed,
        Watch,
    )


class ForgetsGuards(MemoryStore):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([with_writes(each, guard=Guard.NONE) for each in commits])


class ForgetsLeases(MemoryStore):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([each_put(each, drop_lease) for each in commits])


class KeepsRecordsTooLong(MemoryStore):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([each_put(each, live_on) for each in commits])


class LosesEvents(MemoryStore):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([evolve(each, events=each.events[:1]) for each in commits])


class LosesIncrements(MemoryStore):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([evolve(each, increments=()) for each in commits])


class ForgetsCommits(MemoryStore):
    seen = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.seen += 1
        ids = [f"{each.commit_id}.{self.seen}.{number}" for number, each in enumerate(commits)]
        renamed = zip(commits, ids, strict=True)
        return await super().commit([evolve(each, commit_id=name) for each, name in renamed])


class ClaimsFromOnePartition(MemoryStore):
    async def claim(self, claim: Claim) -> list[Any]:
        return await super().claim(evolve(claim, partitions=claim.partitions[:1]))


class ForgetsThePatch(MemoryStore):
    async def claim(self, claim: Claim) -> list[Any]:
        return await super().claim(evolve(claim, patch={}))


class ClaimsOutOfOrder(MemoryStore):
    async def claim(self, claim: Claim) -> list[Any]:
        return list(reversed(await super().claim(claim)))


class RenewsForAnybody(MemoryStore):
    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        allowed = []
        for renewal in renewals:
            found = await self.get(renewal.collection, [renewal.key])
            lease = found[renewal.key].lease if renewal.key in found else None
            allowed.append(evolve(renewal, claim_id=lease.claim_id) if lease else renewal)
        return await super().renew(allowed)


class RenewsTooLong(MemoryStore):
    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await super().renew(
            [evolve(each, duration=each.duration + SECOND) for each in renewals]
        )


class IgnoresBounds(MemoryStore):
    async def page(self, query: Query) -> Any:
        return await super().page(evolve(query, before=None))


class PagesInOneDirection(MemoryStore):
    async def page(self, query: Query) -> Any:
        return await super().page(evolve(query, descending=False))


class Miscounts(MemoryStore):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        counts = await super().count(partitions)
        return [evolve(each, number=min(each.number, 1)) for each in counts]


class WaitsForever(MemoryStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await super().wait([], timeout)


class LosesWhatWasRead(MemoryStore):
    async def get(self, collection: str, keys: Sequence[str]) -> Any:
        return await super().get(collection, keys[:1])


BROKEN = [
    ForgetsGuards,
    ForgetsLeases,
    KeepsRecordsTooLong,
    LosesEvents,
    LosesIncrements,
    ForgetsCommits,
    ClaimsFromOnePartition,
    ForgetsThePatch,
    ClaimsOutOfOrder,
    RenewsForAnybody,
    RenewsTooLong,
    IgnoresBounds,
    PagesInOneDirection,
    Miscounts,
    WaitsForever,
    LosesWhatWasRead,
]


def with_writes(commit: Commit, **changes: Any) -> Commit:
    return evolve(commit, writes=tuple(evolve(write, **changes) for write in commit.writes))


def each_put(commit: Commit, change: Callable[[Put], Put]) -> Commit:
    writes = tuple(change(each) if isinstance(each, Put) else each for each in commit.writes)
    return evolve(commit, writes=writes)


def drop_lease(put: Put) -> Put:
    return evolve(put, lease=None) if put.lease is KEEP else put


def live_on(put: Put) -> Put:
    return evolve(put, expires_at=None)


class BrokenHarness(StoreHarness):
    def __init__(self, broken: type[MemoryStore]) -> None:
        self.clock = VirtualClock()
        self._broken = broken

    @asynccontextmanager
    async def open(self, namespace: str) -> AsyncGenerator[Store, None]:
        yield self._broken(COLLECTIONS, clock=self.clock)


@pytest.mark.parametrize("broken", BROKEN)
def test_the_machine_finds_a_broken_store(broken: type[MemoryStore]) -> None:
    machine = store_machine(lambda: BrokenHarness(broken))
    trying = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # that it fails is enough: a small example helps nobody here
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=trying)
