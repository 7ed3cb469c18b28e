"""Stores and records that are not as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.ids import IdSource
from cicd_core.store.records import Commit, Committed, Put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Claim,
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
        StoreTime,
        Watch,
    )


class Relay:
    """A store that hands everything on to another one; what is broken overrides a verb."""

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

    def sibling(self) -> AbstractAsyncContextManager[Store]:
        return self.store.sibling()


async def damage(store: Store, collection: str, key: str) -> None:
    """Put bytes that are no body into a record, and leave all else as it is."""
    record = (await store.get(collection, [key]))[key]
    put = Put(
        collection=collection,
        key=key,
        expected=record.version,
        body=b"\xff not JSON",
        attributes=record.attributes,
        lease_limit=record.lease_limit,
        expires_at=record.expires_at,
    )
    commit = Commit(commit_id=IdSource().commit_id(), writes=(put,))
    (answer,) = await store.commit([commit])
    assert isinstance(answer, Committed)
