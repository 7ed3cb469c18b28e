"""Memory stores that each make one mistake about who owns a record, when, and who is told."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from anyio import Event
from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.clock import calendar_of
from cicd_core.errors import StoreUnavailable
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.rows import Row, Rows
from cicd_core.store.records import Conflict, Guard
from cicd_core.store.semantics import answer_of, conflicts, subject_of
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cicd_core.store.memory.rows import PartitionKey
    from cicd_core.store.records import Claim, Commit, Committed, Record, Renewal, Renewed, Watch


class _OneAfterTheOther(Rows):
    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        each = (
            super(_OneAfterTheOther, self).smallest([partition], now) for partition in partitions
        )
        return chain.from_iterable(each)


class ClaimsPartitionByPartition(MemoryBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _OneAfterTheOther(self.collections, entered=self._waiters.tell)

    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, partitions=tuple(dict.fromkeys(claim.partitions))))


class ClaimsOutOfOrder(MemoryBackend):
    async def claim(self, claim: Claim) -> list[Record]:
        return list(reversed(await super().claim(claim)))


class ClaimsFromOnePartition(MemoryBackend):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, partitions=claim.partitions[:1]))


class ForgetsThePatch(MemoryBackend):
    async def claim(self, claim: Claim) -> list[Record]:
        return await super().claim(evolve(claim, patch={}))


class ClaimsWithoutAVersion(MemoryBackend):
    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        record = super()._grant(claim, row, now)
        record = evolve(record, version=record.version - 1)
        self._rows.put(claim.collection, Row(record, row.given))
        return record


class _Forgetful(Rows):
    def held(self, collection: str, claim_id: str, now: int) -> list[Row]:
        return []


class TakesMoreWhenRepeated(MemoryBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _Forgetful(self.collections, entered=self._waiters.tell)


class ClaimsInTwoSteps(MemoryBackend):
    """It finds the heads in one step and takes them in another, whatever became of them."""

    async def claim(self, claim: Claim) -> list[Record]:
        heads = await super().claim(evolve(claim, limit=0))
        if heads or not claim.limit:
            return heads
        partitions = [(*self._index(claim), value) for value in claim.partitions]
        found = list(self._rows.smallest(partitions, self._tick()))[: claim.limit]
        await checkpoint()
        with self._lock:
            return [
                self._grant(claim, row, self._tick()) for row in found if self._free(claim, row)
            ]

    def _index(self, claim: Claim) -> tuple[str, str, str]:
        return claim.collection, claim.index.partition, claim.index.sort

    def _free(self, claim: Claim, found: Row) -> bool:
        """Whether it can still be taken."""
        return True


class ClaimsWhatIsNotLeased(ClaimsInTwoSteps):
    """It looks again before it takes a record: at the lease, and not at the version."""

    def _free(self, claim: Claim, found: Row) -> bool:
        row = self._rows.live((claim.collection, found.record.key), self._tick())
        return row is not None and row.record.lease is None


class RemembersClaims(MemoryBackend):
    """It keeps what each claim id was answered, beside the records."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answers: dict[str, list[Record]] = {}

    async def claim(self, claim: Claim) -> list[Record]:
        known = self._answers.get(claim.claim_id)
        if not known:
            known = self._answers[claim.claim_id] = await super().claim(claim)
        return known


class RenewsForAnybody(MemoryBackend):
    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        allowed = []
        for renewal in renewals:
            found = await self.get(renewal.collection, [renewal.key])
            lease = found[renewal.key].lease if renewal.key in found else None
            allowed.append(evolve(renewal, claim_id=lease.claim_id) if lease else renewal)
        return await super().renew(allowed)


class RenewsTooLong(MemoryBackend):
    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await super().renew(
            [evolve(each, duration=each.duration + SECOND) for each in renewals]
        )


class MovesLeasesBack(MemoryBackend):
    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        row = self._rows.live((renewal.collection, renewal.key), now)
        if not row or not row.record.lease or row.record.lease.claim_id != renewal.claim_id:
            return None
        lease = evolve(row.record.lease, renewed=now, expires=now + renewal.duration)
        self._rows.put(renewal.collection, Row(evolve(row.record, lease=lease), row.given))
        return answer_of(row.record.version, lease)


class CountsRenewals(MemoryBackend):
    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        answer = super()._renew(renewal, now)
        row = self._rows.live((renewal.collection, renewal.key), now)
        if answer is None or row is None:
            return answer
        record = evolve(row.record, version=row.record.version + 1)
        self._rows.put(renewal.collection, Row(record, row.given))
        return evolve(answer, version=record.version)


class ForgetsGuards(MemoryBackend):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([unguarded(each) for each in commits])


class GrantsBeyondTheLimit(MemoryBackend):
    """Its first leases last as long as the claim says, whatever their limit is."""

    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        record = super()._grant(claim, row, now)
        assert record.lease is not None
        lease = evolve(record.lease, expires=now + claim.duration)
        record = evolve(record, lease=lease)
        self._rows.put(claim.collection, Row(record, row.given))
        return record


class DatesNoRenewals(MemoryBackend):
    """It writes nothing where a renewal moves no expiry."""

    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        before = self._rows.live((renewal.collection, renewal.key), now)
        answer = super()._renew(renewal, now)
        held = before.record.lease if before else None
        if before is not None and held is not None and answer and answer.expires == held.expires:
            self._rows.put(renewal.collection, before)
        return answer


class LooksAtLeasesTooEarly(MemoryBackend):
    """It asks whether leases have expired in one step, and takes them away in another."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        held = [self._held(commit, self._tick()) for commit in commits]
        await checkpoint()
        with self._lock:
            return [
                Conflict(wrong) if wrong else self._commit(unguarded(commit), self._tick())
                for commit, wrong in zip(commits, held, strict=True)
            ]

    def _held(self, commit: Commit, now: int) -> tuple[tuple[str, str], ...]:
        rows = {at: self._rows.live(at, now) for at in map(subject_of, commit.writes)}
        return conflicts(commit, {at: row and row.record for at, row in rows.items()}, now)


class GoesByAnotherClock(MemoryBackend):
    """Each machine compares with its own clock: this one has not moved since it was started."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._machine = VirtualClock()

    def _tick(self) -> int:
        return self._machine.micros()


class DropsByTheCalendar(MemoryBackend):
    """What runs out is told by the wall clock: one that is a year ahead drops everything."""

    def _tick(self) -> int:
        now = calendar_of(self._clock)
        self._rows.sweep(now)
        self._log.sweep(now)
        return self._clock.micros()


class LeasesByTheCalendar(MemoryBackend):
    """Leases go by the wall clock, which was set."""

    def _tick(self) -> int:
        return calendar_of(self._clock)


class NeverWakes(MemoryBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = Rows(self.collections, entered=lambda _place, _sort: None)


class ListensTooLate(MemoryBackend):
    """What comes after it looked and before it listens is lost."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        now = self._tick()
        if any(self._is_true(watch, now) for watch in watches):
            return True
        await checkpoint()
        await checkpoint()
        return await self._waiters.wait(
            watches, timeout, owner=self, look=_sees_nothing, check=self.lifetime.check
        )


async def _sees_nothing() -> bool:
    return False


class WaitsForever(MemoryBackend):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await super().wait([], timeout)


class LeavesTransactionsOpen(MemoryBackend):
    """BEGIN, an await, COMMIT: a call that is cancelled in between never ends what it began."""

    begun = False

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if self.begun:
            raise StoreUnavailable("a transaction within a transaction was begun")
        self.begun = True
        answers = await super().commit(commits)
        self.begun = False
        return answers


class SharesCancellations(MemoryBackend):
    """Reads that come together are one round trip: the first one makes it for all of them."""

    #: What the others of the round trip wait for; None: there is none under way.
    arrived: Event | None = None
    #: The last round trip that was cancelled.
    cancelled: Event | None = None

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        if self.arrived is not None:
            leader = self.arrived
            await leader.wait()
            if self.cancelled is leader:
                raise StoreUnavailable("the round trip was cancelled")
            return await super().get(collection, keys)
        mine = self.arrived = self.cancelled = Event()
        try:
            found = await super().get(collection, keys)
            self.cancelled = None
        finally:
            self.arrived = None
            mine.set()
        return found


def unguarded(commit: Commit) -> Commit:
    writes = tuple(evolve(write, guard=Guard.NONE) for write in commit.writes)
    return evolve(commit, writes=writes)
