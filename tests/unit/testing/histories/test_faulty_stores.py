"""Stores that go wrong when clients meet are found out by what their clients see."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Commit, Committed, Conflict, Put, Renewed
from cicd_core.testing.histories import Workload, check_history, record
from cicd_core.testing.samples import COLLECTIONS, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.records import Claim, Counters, LogPage, Record, Renewal


class CommitsBetweenTheCheckAndTheWrite(MemoryBackend):
    """Looks whether the versions are right, and writes a little later, whatever they are then."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = []
        for commit in commits:
            right = await self._are_right(commit)
            await checkpoint()
            answers += await super().commit(
                [await self._with_versions(commit) if right else commit]
            )
        return answers

    async def _are_right(self, commit: Commit) -> bool:
        now = await self._with_versions(commit)
        pairs = zip(now.writes, commit.writes, strict=True)
        return all(one.expected == other.expected for one, other in pairs)

    async def _with_versions(self, commit: Commit) -> Commit:
        keys = [write.key for write in commit.writes]
        found = await self.get("items", keys)
        return evolve(
            commit,
            writes=tuple(
                evolve(write, expected=found[write.key].version if write.key in found else 0)
                for write in commit.writes
            ),
        )


class CommitsInParts(MemoryBackend):
    """Writes one record after the other."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return [await self._in_parts(commit) for commit in commits]

    async def _in_parts(self, commit: Commit) -> Committed | Conflict:
        if len(commit.writes) == 1 or not all(isinstance(each, Put) for each in commit.writes):
            return (await super().commit([commit]))[0]
        versions: dict[tuple[str, str], int] = {}
        for write, event in zip(commit.writes, commit.events, strict=True):
            (answer,) = await super().commit([evolve(commit, writes=(write,), events=(event,))])
            if not isinstance(answer, Committed):
                return answer
            versions |= answer.versions
        return Committed(versions)


class LosesCommits(MemoryBackend):
    """Says of every tenth commit that it was applied, and forgets it."""

    commits = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.commits += 1
        if self.commits % 10 == 0:
            return [forgotten(commit) for commit in commits]
        return await super().commit(commits)


class AnswersCommitsTooEarly(MemoryBackend):
    """Says that a record was replaced before it is."""

    waiting: Commit | None = None

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if self.waiting is not None:
            late, self.waiting = self.waiting, None
            await super().commit([late])
        (commit, *others) = commits
        if others or not all(isinstance(write, Put) and write.expected for write in commit.writes):
            return await super().commit(commits)
        self.waiting = commit
        return [forgotten(commit)]


class ConflictsWithItself(MemoryBackend):
    """Refuses a commit that is made again."""

    def __init__(self) -> None:
        super().__init__(COLLECTIONS)
        self.seen: set[str] = set()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if any(commit.commit_id in self.seen for commit in commits):
            return [refused(commit) for commit in commits]
        self.seen.update(commit.commit_id for commit in commits)
        return await super().commit(commits)


class ReadsFromACache(MemoryBackend):
    """Keeps what was read for the next reader, and forgets it when it is written here."""

    cache: Mapping[str, Record] | None = None
    reads = 0

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        self.reads += 1
        if self.cache is None or self.reads % 3 == 0:
            self.cache = await super().get(collection, [f"hot{number}" for number in range(3)])
        others = await super().get(collection, keys)
        return {key: each for key, each in {**others, **self.cache}.items() if key in keys}


class ReadsAheadOfTheCommit(MemoryBackend):
    """Shows what a commit would write before it is known whether it is applied."""

    ahead: Put | None = None

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        put = commits[0].writes[0]
        self.ahead = put if isinstance(put, Put) else None
        await checkpoint()
        return await super().commit(commits)

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        put = self.ahead
        if put is None or put.key not in found:
            return found
        record = evolve(found[put.key], body=put.body, version=put.expected + 1)
        return {**found, put.key: record}


class ClaimsForTwo(MemoryBackend):
    """Gives what it has just found to whoever asks at the same time."""

    given: tuple[Claim, list[Record]] | None = None

    async def claim(self, claim: Claim) -> list[Record]:
        if self.given is not None and self.given[0].partitions == claim.partitions:
            leases = [evolve(each, lease=lease_for(claim, each)) for each in self.given[1]]
            self.given = None
            return leases[: claim.limit]
        records = await super().claim(claim)
        self.given = (claim, records)
        await checkpoint()
        self.given = None
        return records


class ClaimsFromTheFirstLane(MemoryBackend):
    """Looks into the other lanes only if the first one is empty."""

    async def claim(self, claim: Claim) -> list[Record]:
        for lane in claim.partitions:
            if records := await super().claim(evolve(claim, partitions=(lane,))):
                return records
        return []


class SkipsWhatIsBusy(MemoryBackend):
    """Finds nothing while another claim is under way."""

    busy = False

    async def claim(self, claim: Claim) -> list[Record]:
        if self.busy:
            return []
        self.busy = True
        try:
            await checkpoint()
            return await super().claim(claim)
        finally:
            self.busy = False


class ClaimsAndForgets(MemoryBackend):
    """Takes two records out of the queue where one was asked for, and keeps one to itself."""

    claims = 0

    async def claim(self, claim: Claim) -> list[Record]:
        self.claims += 1
        if self.claims % 4 or claim.limit > 1:
            return await super().claim(claim)
        return (await super().claim(evolve(claim, limit=2)))[:1]


class ClaimsAgainFromNothing(MemoryBackend):
    """Answers a claim that is made again with nothing."""

    def __init__(self) -> None:
        super().__init__(COLLECTIONS)
        self.seen: set[str] = set()

    async def claim(self, claim: Claim) -> list[Record]:
        if claim.claim_id in self.seen:
            return []
        self.seen.add(claim.claim_id)
        return await super().claim(claim)


class RenewsWhatIsLost(MemoryBackend):
    """Renews for whom held a record before, too."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        allowed = []
        for renewal in renewals:
            found = await self.get(renewal.collection, [renewal.key])
            lease = found[renewal.key].lease if renewal.key in found else None
            allowed.append(evolve(renewal, claim_id=lease.claim_id) if lease else renewal)
        return await super().renew(allowed)


class RenewsLate(MemoryBackend):
    """Answers a renewal with the lease as it was before."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        found = await self.get("items", [renewal.key for renewal in renewals])
        answers = await super().renew(renewals)
        leases = (found[each.key].lease if each.key in found else None for each in renewals)
        return [
            evolve(answer, expires=lease.expires) if answer and lease else answer
            for answer, lease in zip(answers, leases, strict=True)
        ]


class TellsAnEventTwice(MemoryBackend):
    """Tells one of many events again, long after."""

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        return evolve(page, entries=page.entries + page.entries[:1])


class TellsAnEventNever(MemoryBackend):
    """Tells all events but the first one of each page."""

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        return evolve(page, entries=page.entries[1:])


class CountsTwice(MemoryBackend):
    """Adds one of many increments again."""

    async def counters(self, prefix: str) -> Counters:
        found = await super().counters(prefix)
        return evolve(found, values={name: n + 1 for name, n in found.values.items()})


class CountsRefusals(MemoryBackend):
    """Counts the events of commits that it refused, in a commit of their own."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        for commit, answer in zip(commits, answers, strict=True):
            if isinstance(answer, Conflict):
                put = plain(f"refused-{commit.commit_id}")
                await super().commit(
                    [evolve(commit, writes=(put,), events=(), commit_id=f"{commit.commit_id}-2")]
                )
        return answers


FAULTY = [
    CommitsBetweenTheCheckAndTheWrite,
    CommitsInParts,
    LosesCommits,
    AnswersCommitsTooEarly,
    ConflictsWithItself,
    ReadsFromACache,
    ReadsAheadOfTheCommit,
    ClaimsForTwo,
    ClaimsFromTheFirstLane,
    SkipsWhatIsBusy,
    ClaimsAndForgets,
    ClaimsAgainFromNothing,
    RenewsWhatIsLost,
    RenewsLate,
    TellsAnEventTwice,
    TellsAnEventNever,
    CountsTwice,
    CountsRefusals,
]


def forgotten(commit: Commit) -> Committed:
    puts = [write for write in commit.writes if isinstance(write, Put)]
    return Committed({(put.collection, put.key): put.expected + 1 for put in puts})


def refused(commit: Commit) -> Conflict:
    return Conflict(tuple((write.collection, write.key) for write in commit.writes))


def lease_for(claim: Claim, record: Record) -> Any:
    return record.lease and evolve(record.lease, claim_id=claim.claim_id)


def findings_of(factory: Any, seed: int, backend: str) -> tuple[Any, ...]:
    recording = anyio.run(lambda: record(factory(), Workload(seed=seed)), backend=backend)
    return check_history(recording.history, log=recording.log, counted=recording.counted)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_right_store_is_explained(backend: str) -> None:
    for seed in range(5):
        assert findings_of(partial(MemoryBackend, COLLECTIONS), seed, backend) == ()


@pytest.mark.parametrize("faulty", FAULTY)
def test_a_faulty_store_is_found_out(faulty: Any) -> None:
    factory = (
        faulty if faulty.__init__ is not MemoryBackend.__init__ else partial(faulty, COLLECTIONS)
    )
    assert any(findings_of(factory, seed, "asyncio") for seed in range(20))
