"""What is read in one snapshot: records, pages, counts, and whether a watch has come true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.store.records import Count, Page
from cicd_core.store.sqlite.tables import in_pieces, place_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import Partition, Query, Record, Watch
    from cicd_core.store.sqlite.tables import Table


class Snapshot:
    """One namespace as a read transaction sees it."""

    def __init__(
        self, connection: sqlite3.Connection, tables: Mapping[str, Table], space: int, now: int
    ) -> None:
        """Take the connection inside its transaction; records that expired by ``now`` are out."""
        self.connection = connection
        self.space = space
        self._tables = tables
        self._now = now

    def get(self, collection: str, keys: Sequence[str]) -> dict[str, Record]:
        """Return the records that exist, by key."""
        table = self._tables[collection]
        found: dict[str, Record] = {}
        rows = in_pieces(self.connection, table.by_key, self.space, keys)
        for record in table.records(rows):
            if record.expires_at is None or record.expires_at > self._now:
                found[record.key] = record
        return found

    def page(self, query: Query) -> Page:
        """Return a page of one partition."""
        table = self._tables[query.partition.collection]
        bounds = [bound for bound in (query.after, query.before) if bound is not None]
        rows = self.connection.execute(
            table.page(query),
            (self.space, query.partition.value, self._now, *bounds, query.limit + 1),
        )
        records = table.records(rows)
        return Page(records[: query.limit], more=len(records) > query.limit)

    def count(self, partitions: Iterable[Partition]) -> list[Count]:
        """Return how many records each partition holds."""
        return [Count(self._count(partition), exact=True) for partition in partitions]

    def true_watches(self, watches: Iterable[Watch]) -> set[Watch]:
        """Return those of the watches that have come true."""
        return {watch for watch in watches if self._is_true(watch)}

    def _count(self, partition: Partition) -> int:
        row = self.connection.execute(
            "SELECT number FROM depths "
            "WHERE ns = ? AND collection = ? AND index_name = ? AND value = ?",
            (self.space, *place_of(partition)),
        ).fetchone()
        if row is None or row[0] == 0:
            return 0
        # A record that has expired is counted until it is dropped, which is soon: there are few.
        expired = self._tables[partition.collection].expired_in(partition.index)
        parameters = (self.space, self._now, partition.value)
        (gone,) = self.connection.execute(expired, parameters).fetchone()
        return int(row[0]) - int(gone)

    def _is_true(self, watch: Watch) -> bool:
        partition = watch.partition
        question = self._tables[partition.collection].any_above(
            partition.index, bounded=watch.after is not None
        )
        parameters: list[Any] = [self.space, partition.value, self._now]
        if watch.after is not None:
            parameters.append(watch.after)
        return self.connection.execute(question, parameters).fetchone() is not None
