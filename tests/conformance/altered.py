"""A store that passes each call on to another one, for those that alter some of them.

Each handle is an object of its own, as with a real store: what handles share, they share below.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from cicd_core.store import (
        Claim,
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        LogPage,
        Partition,
        Query,
        Record,
        RecordPage,
        Renewal,
        Renewed,
        Store,
        StoreTime,
        Watch,
    )


class Altered:
    """One handle; it alters nothing."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def now(self) -> StoreTime:
        return await self.store.now()

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        return await self.store.get(collection, keys)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await self.store.commit(commits)

    async def claim(self, claim: Claim) -> list[Record]:
        return await self.store.claim(claim)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await self.store.renew(renewals)

    async def page(self, query: Query) -> RecordPage:
        return await self.store.page(query)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        return await self.store.count(partitions)

    async def counters(self, prefix: str) -> Counters:
        return await self.store.counters(prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        return await self.store.read_log(cursor, limit)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await self.store.wait(watches, timeout)

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[Store, None]:
        async with self.store.sibling() as sibling:
            yield type(self)(sibling)
