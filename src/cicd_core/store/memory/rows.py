"""Records with their indexes and their expiry, in sorted lists. Not thread-safe."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sortedcontainers import SortedList

from cicd_core.store.limits import MAX_INSTANT, SORT_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cicd_core.store.records import Collection, Partition, Query, Record, Subject

#: The most expired records that one sweep drops, so that no call pays for all records that have
#: expired since the last call.
SWEEP: Final = 100

# The key of a partition: the collection, the index's two attributes, the value.
PartitionKey = tuple[str, str, str, str]
#: The attributes of an absent record.
_NOWHERE: Final[Mapping[str, str]] = {}


def key_of_partition(partition: Partition) -> PartitionKey:
    """Return the key of a partition."""
    index = partition.index
    return partition.collection, index.partition, index.sort, partition.value


def key_in(sort: str) -> str:
    """Return the key of the record that has a sort value: it follows the first separator."""
    return sort.partition(SORT_SEPARATOR)[2]


class Row(NamedTuple):
    """A record, with further facts about it."""

    record: Record
    #: The version that its last commit gave; claims may have raised the record's version since.
    given: int
    #: Whether it decodes; only ``MemoryBackend.damage`` changes this.
    is_readable: bool = True

    def is_live(self, now: int) -> bool:
        """Whether its retention has not ended."""
        return self.record.expires_at is None or self.record.expires_at > now


class _Ordered:
    """The sort values of one partition in order, and the expiries of the records that expire."""

    __slots__ = ("expiries", "number", "sorts")

    def __init__(self) -> None:
        self.number = 0
        self.sorts: SortedList[str] = SortedList()
        #: Created with the first record that expires: most partitions never have one.
        self.expiries: SortedList[int] | None = None


class Rows:
    """Every record of a store. Expired records are skipped until a sweep drops them."""

    def __init__(
        self, collections: Iterable[Collection], entered: Callable[[PartitionKey, str], None]
    ) -> None:
        """Start empty; ``entered`` is called with each new partition and sort value."""
        self._indexes = {
            collection.name: [(index.partition, index.sort) for index in collection.indexes]
            for collection in collections
        }
        self._entered = entered
        self._rows: dict[Subject, Row] = {}
        self._partitions: dict[PartitionKey, _Ordered] = {}
        self._expiring: SortedList[tuple[int, str, str]] = SortedList()
        #: No record expires before this time.
        self._due = MAX_INSTANT
        self._held: dict[tuple[str, str], set[str]] = {}
        self._floor = 1

    def first_version(self, now: int) -> int:
        """Return the version of a new record: the time, or above that of any dropped record."""
        return max(now, self._floor)

    def live(self, subject: Subject, now: int) -> Row | None:
        """Return the row of a record; drop an expired one."""
        row = self._rows.get(subject)
        if row is not None and not row.is_live(now):
            self.drop(subject)
            return None
        return row

    def put(self, collection: str, row: Row) -> None:
        """Add a row, or replace the one with its key."""
        record = row.record
        old = self._rows.get((collection, record.key))
        self._rows[collection, record.key] = row
        self._move(collection, None if old is None else old.record, record)

    def drop(self, subject: Subject) -> None:
        """Remove a row, and remember its version so that no later record reuses it."""
        record = self._rows.pop(subject).record
        self._floor = max(self._floor, record.version + 1)
        self._move(subject[0], record, None)

    def sweep(self, now: int) -> None:
        """Drop some of the expired rows."""
        if now < self._due:
            return
        due = self._expiring.irange(maximum=(now + 1, "", ""))
        for _, collection, key in list(islice(due, SWEEP)):
            self.drop((collection, key))
        self._due = self._expiring[0][0] if self._expiring else MAX_INSTANT

    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        """Yield the rows of some partitions of one collection, in the order of sort values."""
        known = [
            partition for partition in dict.fromkeys(partitions) if partition in self._partitions
        ]
        if not known:
            return iter(())
        each = [self._partitions[partition].sorts for partition in known]
        return self._walk(known[0][0], each[0] if len(each) == 1 else merge(*each), now)

    def between(self, query: Query, now: int) -> Iterator[Row]:
        """Yield the rows of a partition between the bounds of a query, in its direction."""
        ordered = self._partitions.get(key_of_partition(query.partition))
        if ordered is None:
            return iter(())
        sorts = ordered.sorts.irange(
            query.after, query.before, (False, False), reverse=query.descending
        )
        return self._walk(query.partition.collection, sorts, now)

    def count(self, partition: PartitionKey, now: int) -> int:
        """Return how many live rows a partition has, without looking at them."""
        ordered = self._partitions.get(partition)
        if ordered is None:
            return 0
        gone = 0 if ordered.expiries is None else ordered.expiries.bisect_right(now)
        return ordered.number - gone

    def held(self, collection: str, claim_id: str, now: int) -> list[Row]:
        """Return the rows whose lease has this claim id, in any order."""
        keys = self._held.get((collection, claim_id), ())
        rows = (self._rows[collection, key] for key in keys)
        return [row for row in rows if row.is_live(now)]

    def _walk(self, collection: str, sorts: Iterable[str], now: int) -> Iterator[Row]:
        for sort in sorts:
            row = self._rows[collection, key_in(sort)]
            if row.is_readable and row.is_live(now):
                yield row

    def damage(self, subject: Subject) -> bool:
        """Mark a row as damaged; return whether it exists."""
        row = self._rows.get(subject)
        if row is None:
            return False
        self._rows[subject] = row._replace(is_readable=False)
        return True

    def _move(self, collection: str, old: Record | None, new: Record | None) -> None:
        """Update the indexes, expiries and claims from the old record to the new one."""
        self._move_in_indexes(collection, old, new)
        if old is not None:
            if old.expires_at is not None:
                self._expiring.remove((old.expires_at, collection, old.key))
            if old.lease is not None:
                self._release(collection, old.lease.claim_id, old.key)
        if new is not None:
            if new.expires_at is not None:
                self._expiring.add((new.expires_at, collection, new.key))
                self._due = min(self._due, new.expires_at)
            if new.lease is not None:
                self._held.setdefault((collection, new.lease.claim_id), set()).add(new.key)

    def _move_in_indexes(self, collection: str, old: Record | None, new: Record | None) -> None:
        before = _NOWHERE if old is None else old.attributes
        after = _NOWHERE if new is None else new.attributes
        stays = old is not None and new is not None and old.expires_at == new.expires_at
        for part, sort in self._indexes[collection]:
            # A claim's patch may remove one of the index's two attributes: then the record is not
            # in the index.
            left, left_at = before.get(part), before.get(sort)
            come, come_at = after.get(part), after.get(sort)
            if stays and left == come and left_at == come_at:
                continue
            if old is not None and left is not None and left_at is not None:
                self._leave((collection, part, sort, left), left_at, old.expires_at)
            if new is not None and come is not None and come_at is not None:
                self._enter((collection, part, sort, come), come_at, new.expires_at)

    def _enter(self, partition: PartitionKey, at: str, expires_at: int | None) -> None:
        ordered = self._partitions.get(partition)
        if ordered is None:
            ordered = self._partitions[partition] = _Ordered()
        ordered.sorts.add(at)
        ordered.number += 1
        if expires_at is not None:
            if ordered.expiries is None:
                ordered.expiries = SortedList()
            ordered.expiries.add(expires_at)
        self._entered(partition, at)

    def _leave(self, partition: PartitionKey, at: str, expires_at: int | None) -> None:
        ordered = self._partitions[partition]
        ordered.sorts.remove(at)
        ordered.number -= 1
        if expires_at is not None and ordered.expiries is not None:
            ordered.expiries.remove(expires_at)
        if not ordered.number:
            del self._partitions[partition]

    def _release(self, collection: str, claim_id: str, key: str) -> None:
        keys = self._held[collection, claim_id]
        keys.remove(key)
        if not keys:
            del self._held[collection, claim_id]
