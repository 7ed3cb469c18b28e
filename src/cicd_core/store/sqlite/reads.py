"""Reads of one snapshot: records, pages, counts, and whether a watch has come true."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from cicd_core.store.records import Count, RecordPage
from cicd_core.store.sqlite.tables import in_pieces, is_live, key_of, key_of_partition
from cicd_core.store.sqlite.unreadable import corrupt, find, find_whole
from cicd_core.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import Partition, Query, Record, Watch
    from cicd_core.store.sqlite.tables import PartitionKey, Table


#: The most expired records that a count looks at; retention deletes half as many at a time.
EXPIRED_COUNTED: Final = 1_000
#: How many pages one statement asks about: a single page is one statement anyway, and a crowd of
#: callers would make a new long statement each time.
_FEWEST, _MOST = 2, 8


@frozen
class _Expired:
    """The expired records of a collection that are not deleted yet."""

    by_partition: Counter[PartitionKey]
    #: Whether these are all of them.
    complete: bool


class Snapshot:
    """One namespace as a read transaction sees it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tables: Mapping[str, Table],
        namespace_id: int,
        now: int,
    ) -> None:
        """Begin with the first read; records that expired by ``now`` are absent."""
        self._connection = connection
        self.namespace_id = namespace_id
        self._tables = tables
        self._now = now
        #: The pages that are known to be empty.
        self._empty: frozenset[Query] = frozenset()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, inside the transaction of this snapshot."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
        return self._connection

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def get(self, collection: str, keys: Sequence[str]) -> dict[str, Record]:
        """Return the records that exist, by key.

        Raises:
            CorruptRecord: one of them does not decode.
        """
        table = self._tables[collection]
        found = in_pieces(self.connection, table.by_key, self.namespace_id, keys)
        for row in found.damaged:
            if is_live(row, self._now):
                raise corrupt(collection, key_of(row))
        live = [row for row in found.whole if is_live(row, self._now)]
        return {record.key: record for record in table.records(live)}

    def look_for(self, queries: Iterable[Query]) -> None:
        """Find out with one statement which of the pages between two bounds are empty.

        Each second, a sweep asks for the due records of several timers; there are nearly never any.
        """
        bounded = [
            query for query in queries if query.after is not None and query.before is not None
        ]
        if not _FEWEST <= len(bounded) <= _MOST:
            return
        exists = ", ".join([f"EXISTS ({self._table_of(query).page(query)})" for query in bounded])
        parameters = [item for query in bounded for item in self._parameters(query, 1)]
        # It is a transaction of its own, and nearly always the only one.
        found = self._connection.execute(f"SELECT {exists}", parameters).fetchone()
        self._empty = frozenset(
            query for query, is_there in zip(bounded, found, strict=True) if not is_there
        )

    def page(self, query: Query) -> RecordPage:
        """Return a page of one partition; records that do not decode are left out."""
        if query in self._empty:
            return RecordPage((), more=False)
        table = self._table_of(query)
        statement = table.page(query)
        rows = find_whole(
            lambda limit: find(self.connection, statement, self._parameters(query, limit)),
            query.limit + 1,
        )
        records = table.records(rows)
        return RecordPage(records[: query.limit], more=len(records) > query.limit)

    def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds.

        The stored depth of a partition includes expired records until they are deleted. Up to 1,000
        of them are subtracted; if there are more, the counts are estimates until they are deleted.
        """
        gone: Counter[PartitionKey] = Counter()
        exact = True
        for collection in {partition.collection for partition in partitions}:
            found = self._expired_in(collection)
            gone.update(found.by_partition)
            exact = exact and found.complete
        return [
            Count(max(0, self._depth(item) - gone[key_of_partition(item)]), exact=exact)
            for item in partitions
        ]

    def true_watches(self, watches: Iterable[Watch]) -> set[Watch]:
        """Return the watches that have come true."""
        return {watch for watch in watches if self._is_true(watch)}

    def _table_of(self, query: Query) -> Table:
        return self._tables[query.partition.collection]

    def _parameters(self, query: Query, limit: int) -> tuple[Any, ...]:
        bounds = [bound for bound in (query.after, query.before) if bound is not None]
        return (self.namespace_id, query.partition.value, self._now, *bounds, limit)

    def _depth(self, partition: Partition) -> int:
        row = self.connection.execute(
            "SELECT number FROM depths "
            "WHERE ns = ? AND collection = ? AND index_name = ? AND value = ?",
            (self.namespace_id, *key_of_partition(partition)),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _expired_in(self, collection: str) -> _Expired:
        """Return the partitions of a collection's expired records that are not deleted yet."""
        table = self._tables[collection]
        parameters = (self.namespace_id, self._now, EXPIRED_COUNTED + 1)
        rows = find(self.connection, table.expired_attributes, parameters).whole
        partition_keys: Counter[PartitionKey] = Counter()
        for row in rows[:EXPIRED_COUNTED]:
            has = dict(zip(table.attributes, row, strict=True))
            for partition, sort, name in table.posts:
                if has[partition] is not None and has[sort] is not None:
                    partition_keys[collection, name, has[partition]] += 1
        return _Expired(partition_keys, complete=len(rows) <= EXPIRED_COUNTED)

    def _is_true(self, watch: Watch) -> bool:
        partition = watch.partition
        question = self._tables[partition.collection].any_above(
            partition.index, bounded=watch.after is not None
        )
        parameters: list[Any] = [self.namespace_id, partition.value, self._now]
        if watch.after is not None:
            parameters.append(watch.after)
        return self.connection.execute(question, parameters).fetchone() is not None
