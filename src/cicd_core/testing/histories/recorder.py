"""A store that writes down what is asked of it and what it answers."""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from cicd_core.clock import boot_micros
from cicd_core.testing.histories.operation import UNKNOWN, Get, History, Operation

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

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
    from cicd_core.testing.histories.operation import StoreArgument, StoreOperation

Answer = TypeVar("Answer")


class Recorder:
    """Collects the operations of many clients of one store. Safe for threads."""

    def __init__(self, sink: Callable[[StoreOperation], object] | None = None) -> None:
        """Start with nothing recorded.

        Args:
            sink: is given each call before it is made, as an operation without an answer, and
                again with its answer; a get only with its answer.
        """
        self._sink = sink
        self._operations: list[StoreOperation] = []
        self._numbers: dict[str, Iterator[int]] = defaultdict(count)

    def wrap(self, store: Store, client: str) -> RecordingStore:
        """Return the store as one client sees it; give each client a name of its own."""
        return RecordingStore(store, self, client)

    def history(self) -> History:
        """Return what was recorded so far."""
        return History(list(self._operations))

    async def record(
        self,
        client: str,
        arguments: Sequence[StoreArgument],
        call: Awaitable[Answer],
        results: Callable[[Answer], Iterable[Any]],
    ) -> Answer:
        """Make a call, and write down each of its parts.

        Args:
            client: who makes it.
            arguments: the parts, which the store answers independently.
            call: the call itself.
            results: takes the answer apart, one result an argument.

        Raises:
            BaseException: what the call raises. Whether it did something is then unknown.
        """
        parts = [self._invoked(client, argument) for argument in arguments]
        try:
            answer = await call
        except BaseException:
            self._operations += (part for part in parts if not isinstance(part.argument, Get))
            raise
        returned = boot_micros()
        for part, result in zip(parts, results(answer), strict=True):
            operation: StoreOperation = Operation(
                client=client,
                number=part.number,
                argument=part.argument,
                result=result,
                invoked=part.invoked,
                returned=returned,
            )
            self._operations.append(operation)
            if self._sink is not None:
                self._sink(operation)
        return answer

    def _invoked(self, client: str, argument: StoreArgument) -> StoreOperation:
        operation: StoreOperation = Operation(
            client=client,
            number=next(self._numbers[client]),
            argument=argument,
            result=UNKNOWN,
            invoked=boot_micros(),
            returned=None,
        )
        if self._sink is not None and not isinstance(argument, Get):
            self._sink(operation)
        return operation


class RecordingStore:
    """A store that records get, commit, claim and renew; the rest it passes on."""

    def __init__(self, store: Store, recorder: Recorder, client: str) -> None:
        """Pass everything on to ``store``; see :meth:`Recorder.wrap`."""
        self._store = store
        self._recorder = recorder
        self._client = client

    async def now(self) -> StoreTime:
        """Return the time on the store's own clock."""
        return await self._store.now()

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key; each one is an operation."""
        wanted = list(dict.fromkeys(keys))
        return await self._recorder.record(
            self._client,
            [Get(collection=collection, key=key) for key in wanted],
            self._store.get(collection, keys),
            lambda found: map(found.get, wanted),
        )

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit whole, or not at all; each one is an operation."""
        call = self._store.commit(commits)
        return await self._recorder.record(self._client, commits, call, iter)

    async def claim(self, claim: Claim) -> list[Record]:
        """Take up to ``limit`` records with the smallest sort values over the partitions."""
        call = self._store.claim(claim)
        return await self._recorder.record(
            self._client, [claim], call, lambda records: [tuple(records)]
        )

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move leases' expiries; each renewal is an operation."""
        call = self._store.renew(renewals)
        return await self._recorder.record(self._client, renewals, call, iter)

    async def page(self, query: Query) -> RecordPage:
        """Return a page of one partition."""
        return await self._store.page(query)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return how many records each partition holds."""
        return await self._store.count(partitions)

    async def counters(self, prefix: str) -> Counters:
        """Return the counters whose names begin with ``prefix``."""
        return await self._store.counters(prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        """Return events after the cursor."""
        return await self._store.read_log(cursor, limit)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract: it is how long work may stay away, not a limit on the call
        """Return True when one of the watches may have come true."""
        return await self._store.wait(watches, timeout)

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[Store, None]:
        """Open another store on the same data, which records for the same client."""
        async with self._store.sibling() as sibling:
            yield self._recorder.wrap(sibling, self._client)


if TYPE_CHECKING:
    _store: type[Store] = RecordingStore
