"""Records with their indexes and their expiry, in sorted lists. Not safe for threads."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sortedcontainers import SortedList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cicd_core.store.records import Collection, Partition, Query, Record, Subject

#: The most expired records that one sweep drops, so that no call pays for everything that ran out
#: while nobody looked.
SWEEP: Final = 100

# A collection and a key.
# A partition as it is looked up: the collection, the index's two attributes, the value.
PartitionKey = tuple[str, str, str, str]
# A sort value and a key.
Entry = tuple[str, str]

#: The attributes of a record that is not there.
_NOWHERE: Final[Mapping[str, str]] = {}


def key_of_partition(partition: Partition) -> PartitionKey:
    """Return how a partition is looked up."""
    index = partition.index
    return partition.collection, index.partition, index.sort, partition.value


class Row(NamedTuple):
    """A record, and what it does not tell itself."""

    record: Record
    #: The version that its last commit gave; claims may have moved the record's own one on.
    given: int
    #: Whether it decodes, which ``MemoryBackend.damage`` alone can change.
    is_readable: bool = True

    def is_live(self, now: int) -> bool:
        """Whether its retention has not ended."""
        return self.record.expires_at is None or self.record.expires_at > now


class _Ordered:
    """The entries of one partition in order, and when those that expire will be gone."""

    def __init__(self) -> None:
        self.entries: SortedList[Entry] = SortedList()
        #: Made when the first one expires: most partitions come and go without.
        self.expiries: SortedList[int] | None = None


class Rows:
    """Every record of a store. Those that have expired are skipped until a sweep drops them."""

    def __init__(
        self, collections: Iterable[Collection], entered: Callable[[PartitionKey, str], None]
    ) -> None:
        """Start empty; ``entered`` is told of each partition and sort value that is new."""
        self._indexes = {
            collection.name: [(index.partition, index.sort) for index in collection.indexes]
            for collection in collections
        }
        self._entered = entered
        self._rows: dict[Subject, Row] = {}
        self._partitions: dict[PartitionKey, _Ordered] = {}
        self._expiring: SortedList[tuple[int, str, str]] = SortedList()
        self._held: dict[tuple[str, str], set[str]] = {}
        self._floor = 1

    def first_version(self, now: int) -> int:
        """Return the version of a new record: the time, or more if one that went had more."""
        return max(now, self._floor)

    def live(self, subject: Subject, now: int) -> Row | None:
        """Return the row of a record; one that has expired is dropped."""
        row = self._rows.get(subject)
        if row is not None and not row.is_live(now):
            self.drop(subject)
            return None
        return row

    def put(self, collection: str, row: Row) -> None:
        """Put a row in the place of the one with its key."""
        record = row.record
        old = self._rows.get((collection, record.key))
        self._rows[collection, record.key] = row
        self._move(collection, None if old is None else old.record, record)

    def drop(self, subject: Subject) -> None:
        """Remove a row, and remember its version, so that no later record has it again."""
        record = self._rows.pop(subject).record
        self._floor = max(self._floor, record.version + 1)
        self._move(subject[0], record, None)

    def sweep(self, now: int) -> None:
        """Drop some of the rows that have expired."""
        due = self._expiring.irange(maximum=(now + 1, "", ""))
        for _, collection, key in list(islice(due, SWEEP)):
            self.drop((collection, key))

    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        """Yield the rows of some partitions of one collection, in the order of sort values."""
        known = [
            partition for partition in dict.fromkeys(partitions) if partition in self._partitions
        ]
        entries = merge(*(self._partitions[partition].entries for partition in known))
        return self._walk(known[0][0], entries, now) if known else iter(())

    def between(self, query: Query, now: int) -> Iterator[Row]:
        """Yield the rows of a partition between the bounds of a query, in its direction."""
        ordered = self._partitions.get(key_of_partition(query.partition))
        if ordered is None:
            return iter(())
        # No text lies between one and the same one with a NUL behind it.
        least = None if query.after is None else (f"{query.after}\0", "")
        most = None if query.before is None else (query.before, "")
        entries = ordered.entries.irange(least, most, (True, False), reverse=query.descending)
        return self._walk(query.partition.collection, entries, now)

    def count(self, partition: PartitionKey, now: int) -> int:
        """Return how many live rows a partition has, without looking at them."""
        ordered = self._partitions.get(partition)
        if ordered is None:
            return 0
        gone = 0 if ordered.expiries is None else ordered.expiries.bisect_right(now)
        return len(ordered.entries) - gone

    def held(self, collection: str, claim_id: str, now: int) -> list[Row]:
        """Return the rows whose lease has this claim id, in no order."""
        keys = self._held.get((collection, claim_id), ())
        rows = (self._rows[collection, key] for key in keys)
        return [row for row in rows if row.is_live(now)]

    def _walk(self, collection: str, entries: Iterable[Entry], now: int) -> Iterator[Row]:
        rows = (self._rows[collection, key] for _, key in entries)
        return (row for row in rows if row.is_readable and row.is_live(now))

    def damage(self, subject: Subject) -> bool:
        """Let a row not decode any more; whether there is one."""
        row = self._rows.get(subject)
        if row is None:
            return False
        self._rows[subject] = row._replace(is_readable=False)
        return True

    def _move(self, collection: str, old: Record | None, new: Record | None) -> None:
        """Bring everything that finds a record from the old one to the new one."""
        self._move_in_indexes(collection, old, new)
        if old is not None:
            if old.expires_at is not None:
                self._expiring.remove((old.expires_at, collection, old.key))
            if old.lease is not None:
                self._release(collection, old.lease.claim_id, old.key)
        if new is not None:
            if new.expires_at is not None:
                self._expiring.add((new.expires_at, collection, new.key))
            if new.lease is not None:
                self._held.setdefault((collection, new.lease.claim_id), set()).add(new.key)

    def _move_in_indexes(self, collection: str, old: Record | None, new: Record | None) -> None:
        before = _NOWHERE if old is None else old.attributes
        after = _NOWHERE if new is None else new.attributes
        stays = old is not None and new is not None and old.expires_at == new.expires_at
        for part, sort in self._indexes[collection]:
            # A claim's patch may leave a record half in an index: it is not in it then.
            was = (before[part], before[sort]) if part in before and sort in before else None
            now = (after[part], after[sort]) if part in after and sort in after else None
            if was == now and stays:
                continue
            if old is not None and was is not None:
                self._leave((collection, part, sort, was[0]), (was[1], old.key), old.expires_at)
            if new is not None and now is not None:
                self._enter((collection, part, sort, now[0]), (now[1], new.key), new.expires_at)

    def _enter(self, partition: PartitionKey, entry: Entry, expires_at: int | None) -> None:
        ordered = self._partitions.get(partition)
        if ordered is None:
            ordered = self._partitions[partition] = _Ordered()
        ordered.entries.add(entry)
        if expires_at is not None:
            if ordered.expiries is None:
                ordered.expiries = SortedList()
            ordered.expiries.add(expires_at)
        self._entered(partition, entry[0])

    def _leave(self, partition: PartitionKey, entry: Entry, expires_at: int | None) -> None:
        ordered = self._partitions[partition]
        ordered.entries.remove(entry)
        if expires_at is not None and ordered.expiries is not None:
            ordered.expiries.remove(expires_at)
        if not ordered.entries:
            del self._partitions[partition]

    def _release(self, collection: str, claim_id: str, key: str) -> None:
        keys = self._held[collection, claim_id]
        keys.remove(key)
        if not keys:
            del self._held[collection, claim_id]
