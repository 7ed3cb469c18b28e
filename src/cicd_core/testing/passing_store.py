"""A store before another one, for those that record, alter or break its verbs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from cicd_core.store import (
        Claim,
        Collection,
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        Lifetime,
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

Answer = TypeVar("Answer")


class PassingStore:
    """Passes on every call: override the verbs that differ, or :meth:`ask` for all of them.

    Each handle has its own wrapper, as with a real store; handles share only the wrapped store.
    """

    def __init__(self, store: Store) -> None:
        #: The wrapped store.
        self.store = store

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The collections that the store was opened with."""
        return self.store.collections

    @property
    def lifetime(self) -> Lifetime:
        """Whether the store may be used."""
        return self.store.lifetime

    async def ask(
        self, verb: str, function: Callable[..., Awaitable[Answer]], *arguments: Any
    ) -> Answer:
        """Call a verb of the wrapped store."""
        return await function(*arguments)

    async def now(self) -> StoreTime:
        """Return the time on the store's two clocks."""
        return await self.ask("now", self.store.now)

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key."""
        return await self.ask("get", self.store.get, collection, keys)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; answer in the order given."""
        return await self.ask("commit", self.store.commit, commits)

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions."""
        return await self.ask("claim", self.store.claim, claim)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move each lease's expiry to now + ``duration`` if the claim id matches."""
        return await self.ask("renew", self.store.renew, renewals)

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition."""
        return await self.ask("page", self.store.page, query)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds, in the order given."""
        return await self.ask("count", self.store.count, partitions)

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``, letter by letter."""
        return await self.ask("counters", self.store.counters, prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor; None starts at the oldest stored event."""
        return await self.ask("read_log", self.store.read_log, cursor, limit)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches may have come true."""
        return await self.ask("wait", self.store.wait, watches, timeout)

    def before(self, sibling: Store) -> Store:
        """Return a wrapper of the same kind around a sibling of the store."""
        return type(self)(sibling)

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[Store, None]:
        """Open another store on the same data."""
        async with self.store.sibling() as sibling:
            yield self.before(sibling)


if TYPE_CHECKING:
    _store: type[Store] = PassingStore
