"""The wrapper of every backend: it checks each call, and repeats it if necessary."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, cast

import anyio

from cicd_core.errors import StoreError
from cicd_core.ids import IdSource
from cicd_core.store.limits import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
    from types import CoroutineType

    from cicd_core.store.contract import Store
    from cicd_core.store.lifetime import Lifetime
    from cicd_core.store.records import (
        Claim,
        Collection,
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
Arguments = TypeVarTuple("Arguments")
Parameters = ParamSpec("Parameters")

#: The first pause between two attempts, in seconds; it doubles up to the last.
_FIRST_PAUSE = 0.01
_LAST_PAUSE = 1.0


def _typed(
    function: Callable[Parameters, Coroutine[Any, Any, Answer]],
) -> Callable[Parameters, CoroutineType[Any, Any, Answer]]:
    """Give a function the exact return type of ``async def``, for both type checkers."""
    return cast("Callable[Parameters, CoroutineType[Any, Any, Answer]]", function)


class RetryingStore:
    """A :class:`~cicd_core.store.contract.Store` around a backend, with checks and retries.

    It checks the backend's lifetime before each attempt, and the arguments with
    :class:`~cicd_core.store.limits.Limits` once before the call, the whole list at a time. After a
    temporary failure (``StoreError.retryable``) it pauses and tries again, up to ``attempts`` times
    in total; then it raises the error. Every verb is safe to repeat: a commit has its id, a claim
    its claim id, a renewal its lease. An answer has the promises of the backend.

    Every verb raises, besides the errors of the backend:

    - ``StoreClosed``: the store was closed, or another process opened it.
    - ``InvalidInput`` or ``TooLarge``: an argument is malformed or over a limit; the backend was
      not called.
    """

    def __init__(
        self, store: Store, *, attempts: int = 1, jitter: Callable[[], float] | None = None
    ) -> None:
        """Wrap ``store``.

        Args:
            store: a backend, which its owner closes. If it is a ``RetryingStore`` itself, its
                backend is used, so that checks and retries are never multiplied.
            attempts: the most attempts of a call, at least 1; 1 by default.
            jitter: returns a new number from 0 to 1 each time; random by default.

        Raises:
            InvalidInput: the backend's collections are malformed.
        """
        #: The wrapped store.
        self.backend: Store = store.backend if isinstance(store, RetryingStore) else store
        #: The most attempts of a call; also of a decision that conflicts.
        self.attempts = attempts
        self._limits = Limits(self.backend.collections)
        self._jitter = jitter or IdSource().jitter

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the backend besides the verbs."""
        return getattr(self.backend, name)

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The collections that the store was opened with."""
        return self.backend.collections

    @property
    def lifetime(self) -> Lifetime:
        """Whether the store may be used."""
        return self.backend.lifetime

    async def pause(self, attempt: int) -> None:
        """Pause, longer with each attempt (from 0), for a random part of the time."""
        longest = min(_FIRST_PAUSE * 2**attempt, _LAST_PAUSE)
        await anyio.sleep(longest * (0.5 + self._jitter() / 2))

    def now(self) -> CoroutineType[Any, Any, StoreTime]:
        """Return the time on the store's two clocks."""
        return self._ask(None, self.backend.now)

    def get(
        self, collection: str, keys: Sequence[str]
    ) -> CoroutineType[Any, Any, Mapping[str, Record]]:
        """Return the records that exist, by key."""
        return self._ask(self._limits.check_keys, self.backend.get, collection, keys)

    def commit(
        self, commits: Sequence[Commit]
    ) -> CoroutineType[Any, Any, list[Committed | Conflict]]:
        """Commit, and repeat while the store is unavailable: each commit's id makes that safe.

        Raises:
            StoreUnavailable: it stayed unavailable; whether the commits took effect is unknown.
        """
        return self._ask(self._limits.check_commits, self.backend.commit, commits)

    def claim(self, claim: Claim) -> CoroutineType[Any, Any, list[Record]]:
        """Claim; a repetition gets the records of the first attempt."""
        return self._ask(self._limits.check_claim, self.backend.claim, claim)

    def renew(self, renewals: Sequence[Renewal]) -> CoroutineType[Any, Any, list[Renewed | None]]:
        """Renew leases."""
        return self._ask(self._limits.check_renewals, self.backend.renew, renewals)

    def page(self, query: Query) -> CoroutineType[Any, Any, RecordPage]:
        """Return a page of a partition."""
        return self._ask(self._limits.check_query, self.backend.page, query)

    def count(self, partitions: Sequence[Partition]) -> CoroutineType[Any, Any, list[Count]]:
        """Return how many records each partition holds."""
        return self._ask(self._limits.check_partitions, self.backend.count, partitions)

    def counters(self, prefix: str) -> CoroutineType[Any, Any, Counters]:
        """Return the counters whose names begin with ``prefix``."""
        return self._ask(self._limits.check_prefix, self.backend.counters, prefix)

    def read_log(self, cursor: str | None, limit: int) -> CoroutineType[Any, Any, LogPage]:
        """Return the entries of the log after a cursor."""
        return self._ask(self._limits.check_log_read, self.backend.read_log, cursor, limit)

    def wait(self, watches: Sequence[Watch], timeout: float) -> CoroutineType[Any, Any, bool]:
        """Wait until a record enters a partition; a retry waits for the remaining time."""
        end: float | None = None

        def wait(watches: Sequence[Watch], timeout: float) -> Coroutine[Any, Any, bool]:
            nonlocal end
            if end is None:
                end = anyio.current_time() + timeout
                return self.backend.wait(watches, timeout)
            return self.backend.wait(watches, max(0.0, end - anyio.current_time()))

        return self._ask(self._limits.check_watches, wait, watches, timeout)

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[RetryingStore]:
        """Open another store on the same data, for another event loop."""
        async with self.backend.sibling() as store:
            yield RetryingStore(store, attempts=self.attempts, jitter=self._jitter)

    @_typed
    async def _ask(
        self,
        check: Callable[[*Arguments], None] | None,
        verb: Callable[[*Arguments], Coroutine[Any, Any, Answer]],
        *arguments: *Arguments,
    ) -> Answer:
        """Check a call, and make it. The verbs return this coroutine, to save an await."""
        self.backend.lifetime.check()
        if check is not None:
            check(*arguments)
        for attempt in range(self.attempts - 1):
            try:
                return await verb(*arguments)
            except StoreError as failed:
                if not failed.retryable:
                    raise
                await self.pause(attempt)
                self.backend.lifetime.check()
        return await verb(*arguments)
