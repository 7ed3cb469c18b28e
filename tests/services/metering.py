"""A store that counts what is read through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.services.broken_stores import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        Partition,
        Query,
        Record,
        RecordPage,
    )


class Meter(Relay):
    """Counts calls, and rows: records, counters and counts that were answered."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls = 0
        self.rows = 0
        #: The keys of each commit, call by call.
        self.committed: list[list[str]] = []

    def _count(self, rows: int) -> None:
        self.calls += 1
        self.rows += rows

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        self._count(len(found))
        return found

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.committed.append([each.key for one in commits for each in one.writes])
        return await super().commit(commits)

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        self._count(len(page.records))
        return page

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        self._count(len(partitions))
        return await super().count(partitions)

    async def counters(self, prefix: str) -> Counters:
        found = await super().counters(prefix)
        self._count(len(found.values))
        return found
