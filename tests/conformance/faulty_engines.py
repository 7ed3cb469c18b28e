"""Memory stores that each make one mistake inside: in a race, in an order, between two handles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store import StoreTime, sort_key
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.rows import Row, Rows, key_of_partition
from cicd_core.store.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cicd_core.store import Claim, Commit, Put, Record, Renewal, Renewed
    from cicd_core.store.memory.rows import PartitionKey

#: By how much its clock may be off, in microseconds.
UNCERTAINTY = 2_000_000


class _Reordered(Rows):
    def __init__(self, order: Callable[[str], Any], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._order = order

    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        partitions = list(partitions)
        if not partitions:
            return iter(())
        sort = partitions[0][2]
        rows = super().smallest(partitions, now)
        return iter(sorted(rows, key=lambda row: self._order(row.record.attributes[sort])))


class _ByAnotherOrder(MemoryBackend):
    def order(self, text: str) -> Any:
        raise NotImplementedError

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _Reordered(self.order, self.collections, entered=self._waiters.tell)


class ClaimsInUTF16Order(_ByAnotherOrder):
    def order(self, text: str) -> Any:
        return text.encode("utf-16-be")


class ClaimsWithoutCaseInOrder(_ByAnotherOrder):
    def order(self, text: str) -> Any:
        return text.lower()


class _AnyIndex(Rows):
    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        partitions = list(partitions)
        if not partitions:
            return iter(())
        collection, _, _, _ = partitions[0]
        indexes = self._indexes[collection]
        wider = [(collection, *index, it[3]) for it in partitions for index in indexes]
        seen: dict[str, Row] = {}
        for row in super().smallest([*partitions, *wider], now):
            seen.setdefault(row.record.key, row)
        return iter(seen.values())


class ClaimsByTheValueAlone(MemoryBackend):
    """What has the value in another index of the collection can be claimed too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _AnyIndex(self.collections, entered=self._waiters.tell)


class ClaimsTwiceAtOnce(MemoryBackend):
    """It looks for its claim id in one step, and takes in another."""

    async def claim(self, claim: Claim) -> list[Record]:
        held = await super().claim(evolve(claim, limit=0))
        if held or not claim.limit:
            return held
        await checkpoint()
        with self._lock:
            now = self._tick()
            index = (claim.collection, claim.index.partition, claim.index.sort)
            rows = list(self._rows.smallest([(*index, value) for value in claim.partitions], now))
            return [self._grant(claim, row, now) for row in rows[: claim.limit]]


class ClaimIdsOfAllCollections(MemoryBackend):
    """It finds what a claim id holds in whatever collection that is."""

    async def claim(self, claim: Claim) -> list[Record]:
        with self._lock:
            now = self._tick()
            held = [self._rows.held(each.name, claim.claim_id, now) for each in self.collections]
            rows = [row for some in held for row in some]
        sort = claim.index.sort
        records = sorted((row.record for row in rows), key=lambda it: it.attributes.get(sort, ""))
        return records or await super().claim(claim)


class KeepsTheFirstGrant(MemoryBackend):
    """A record that is claimed again keeps the moment of the claim before."""

    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        record = super()._grant(claim, row, now)
        if row.record.lease is None or record.lease is None:
            return record
        lease = evolve(record.lease, granted=row.record.lease.granted)
        record = evolve(record, lease=lease)
        self._rows.put(claim.collection, Row(record, row.given))
        return record


class MovesEveryDueDate(MemoryBackend):
    """A renewal writes its expiry over a deadline that a commit has put there."""

    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        answer = super()._renew(renewal, now)
        row = self._rows.live((renewal.collection, renewal.key), now)
        name = self._lease_sort(renewal.collection)
        if answer is not None and row is not None and name is not None:
            due = {name: sort_key(answer.expires, renewal.key)}
            record = evolve(row.record, attributes={**row.record.attributes, **due})
            self._rows.put(renewal.collection, Row(record, row.given))
        return answer


class ForgetsItsUncertainty(MemoryBackend):
    """It says by how much its clock may be off, and takes leases away as if it were right."""

    async def now(self) -> StoreTime:
        return evolve(await super().now(), uncertainty=UNCERTAINTY)


class AddsItsUncertainty(ForgetsItsUncertainty):
    """It makes no mistake: it takes leases away as late as it must."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._uncertainty = UNCERTAINTY


class VersionsOfEachHandle(MemoryBackend):
    """Each handle remembers the versions that it has seen go, and none that another has."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _WithoutFloor(self.collections, entered=self._waiters.tell)
        self._floor = 1

    def another(self) -> MemoryBackend:
        other = super().another()
        vars(other)["_floor"] = 1
        return other

    def _put(self, put: Put, old: Record | None, commit: Commit, now: int) -> int:
        version = super()._put(put, old, commit, max(now, self._floor))
        self._floor = max(self._floor, version + 1)
        return version


class _WithoutFloor(Rows):
    def first_version(self, now: int) -> int:
        return now


class WakesItsOwnHandle(MemoryBackend):
    """Who waits at another handle is not told."""

    def another(self) -> MemoryBackend:
        other = super().another()
        vars(other)["_waiters"] = Waiters(key_of_partition)
        return other


class WakesByCommitsAlone(MemoryBackend):
    """A claim brings a record into a partition, and nobody is told."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._claiming: list[str] = []  # of all handles
        self._rows = Rows(self.collections, entered=self._tell)

    def _tell(self, partition: PartitionKey, sort: str) -> None:
        if not self._claiming:
            self._waiters.tell(partition, sort)

    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        self._claiming.append(claim.claim_id)
        try:
            return super()._grant(claim, row, now)
        finally:
            self._claiming.pop()
