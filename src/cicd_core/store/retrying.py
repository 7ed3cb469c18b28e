"""A store that repeats a call while its failure may pass."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from cicd_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
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
        StoreTime,
        Watch,
    )

Answer = TypeVar("Answer")

#: The first pause between two tries, in seconds; it doubles up to the last.
_FIRST_PAUSE = 0.01
_LAST_PAUSE = 1.0


class RetryingStore:
    """A :class:`~cicd_core.store.contract.Store` over another one, which it asks again.

    A failure that may pass (``StoreError.retryable``) is tried again after a pause, ``attempts``
    times in all; then it comes out. Each verb may be repeated: a commit has its id, a claim its
    claim id, a renewal its lease. What every verb promises is what the store below promises.
    """

    def __init__(self, store: Store, *, attempts: int, jitter: Callable[[], float]) -> None:
        """Stand before ``store``.

        Args:
            store: it stays its owner's to close. If it is a ``RetryingStore`` itself, the store
                below that is asked, so that tries are never multiplied.
            attempts: how often a call is made at most, at least 1.
            jitter: returns a number from 0 to 1, another one each time.
        """
        #: The store that is asked.
        self.driver: Store = store.driver if isinstance(store, RetryingStore) else store
        #: How often a call is made at most; decisions that conflict are made again as often.
        self.attempts = attempts
        self._jitter = jitter

    def __getattr__(self, name: str) -> Any:
        """Return what the store below has besides the verbs."""
        return getattr(self.driver, name)

    async def pause(self, attempt: int) -> None:
        """Wait a little, longer with each attempt (from 0), each caller for another time."""
        longest = min(_FIRST_PAUSE * 2**attempt, _LAST_PAUSE)
        await anyio.sleep(longest * (0.5 + self._jitter() / 2))

    async def now(self) -> StoreTime:
        """Return the time on the store's two clocks."""
        return await self._repeat(self.driver.now)

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key."""
        return await self._repeat(lambda: self.driver.get(collection, keys))

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Commit, and repeat while the store is unavailable: each commit's id makes that safe.

        Raises:
            StoreUnavailable: it stayed so; whether the commits took effect is unknown.
        """
        return await self._repeat(lambda: self.driver.commit(commits))

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim; a repetition gets what the first try got."""
        return await self._repeat(lambda: self.driver.claim(claim))

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Renew leases."""
        return await self._repeat(lambda: self.driver.renew(renewals))

    async def page(self, query: Query) -> RecordPage:
        """Return a page of a partition."""
        return await self._repeat(lambda: self.driver.page(query))

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds."""
        return await self._repeat(lambda: self.driver.count(partitions))

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``."""
        return await self._repeat(lambda: self.driver.counters(prefix))

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return the entries of the log after a cursor."""
        return await self._repeat(lambda: self.driver.read_log(cursor, limit))

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - the contract's
        """Wait until something comes into one of the partitions."""
        return await self._repeat(lambda: self.driver.wait(watches, timeout))

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[RetryingStore]:
        """Open another store on the same data, for another event loop."""
        async with self.driver.sibling() as store:
            yield RetryingStore(store, attempts=self.attempts, jitter=self._jitter)

    async def _repeat(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        for attempt in range(self.attempts - 1):
            try:
                return await call()
            except StoreError as failed:
                if not failed.retryable:
                    raise
                await self.pause(attempt)
        return await call()
