"""One call to the connection's thread for all requests of one turn of the event loop.

While a call is under way, new requests wait and go together into the next one. For writes this is
the group commit: one sync of the disk for many callers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from cicd_core.errors import UnsupportedCapability
from cicd_core.store.sqlite.failures import abandoned, closed, translated

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from cicd_core.store.sqlite.connection import ConnectionThread

Request = TypeVar("Request")

#: The most weight in one batch. A request is never split, so a single request may exceed it.
MOST: Final = 512

_log = logging.getLogger(__name__)


async def _nothing() -> None:
    pass


class Batcher(Generic[Request]):
    """Collects requests and runs them on a connection's thread, one batch at a time."""

    def __init__(
        self,
        thread: ConnectionThread,
        work: Callable[[sqlite3.Connection, Sequence[Request]], list[Any]],
        *,
        path: Path,
        busy_timeout: float,
        weight: Callable[[Request], int] = lambda _: 1,
        afterwards: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Run ``work`` on ``thread``, and ``afterwards`` after each batch.

        ``work`` answers in the order of the requests; an exception among the answers is raised to
        the caller of that request. Requests must come from the event loop that runs now.
        """
        self._thread = thread
        self._work = work
        self._path = path
        self._busy_timeout = busy_timeout
        self._weight = weight
        self._afterwards = afterwards
        self._loop = asyncio.get_running_loop()
        self._asked: deque[tuple[Request, asyncio.Future[Any]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, request: Request) -> Any:
        """Return the answer to a request.

        Cancellation: a request that still waits is dropped. A request whose batch is under way is
        done, and its answer is discarded.

        Raises:
            StoreClosed: the store was closed.
            UnsupportedCapability: the call comes from another event loop.
        """
        if self._closed:
            raise closed(self._path)
        if asyncio.get_running_loop() is not self._loop:
            raise UnsupportedCapability(
                "this store belongs to another event loop: open a sibling() of it for this one"
            )
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append((request, future))
        if self._runner is None:
            # The task starts in the loop's next turn, after all callers that are ready now.
            self._runner = self._loop.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Accept no more requests, and wait until the accepted ones are done."""
        self._closed = True
        if self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        try:
            while self._asked:
                await self._do(self._next_batch())
                await self._do_afterwards()
        finally:
            self._runner = None
            while self._asked:  # only if the loop cancels every task because it ends
                _fail(self._asked.popleft()[1], abandoned(self._path))

    def _next_batch(self) -> list[tuple[Request, asyncio.Future[Any]]]:
        batch: list[tuple[Request, asyncio.Future[Any]]] = []
        room = MOST
        while self._asked and room > 0:
            request, future = self._asked.popleft()
            if not future.done():  # its caller was cancelled before it began
                batch.append((request, future))
                room -= self._weight(request)
        return batch

    async def _do(self, batch: list[tuple[Request, asyncio.Future[Any]]]) -> None:
        if not batch:
            return
        requests = [request for request, _ in batch]
        try:
            answers = await self._thread.call(lambda connection: self._work(connection, requests))
        except asyncio.CancelledError:
            for _, future in batch:
                _fail(future, abandoned(self._path))
            raise
        except Exception as failure:  # noqa: BLE001 - it is raised to each of the callers
            answers = [failure] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                _fail(future, translated(answer, self._path, self._busy_timeout))
            elif not future.done():
                future.set_result(answer)

    async def _do_afterwards(self) -> None:
        try:
            await self._afterwards()
        except Exception:  # noqa: BLE001 - the batch was answered: no caller is left to raise it to
            _log.exception("%s: the cleanup after a batch failed and will be repeated", self._path)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
