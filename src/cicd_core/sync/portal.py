"""Calls from any thread into the event loop of a control plane."""

from __future__ import annotations

import os
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio
import anyio.lowlevel

from cicd_core.errors import OperationRejected, StoreClosed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
    from concurrent.futures import Future

    from anyio.from_thread import BlockingPortal

Answer = TypeVar("Answer")
Service = TypeVar("Service")

_END: Final = object()


class Calls:
    """Runs calls in an event loop of another thread; thread-safe."""

    def __init__(self, portal: BlockingPortal) -> None:
        """Use the portal of the event loop."""
        self._portal = portal
        self._process = os.getpid()
        self._thread = portal.call(get_ident)
        #: Reentrant: a signal handler, or a finalizer, may call in the middle of a call of the same
        #: thread.
        self._lock = RLock()
        self._running: set[Future[Any]] = set()
        self._is_closed = False

    def wait_for(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call in the event loop, and return its answer; Ctrl-C also ends the call.

        Raises:
            StoreClosed: the control plane was closed, before or during the call, or it was opened
                before this process was forked.
            OperationRejected: this is the thread of the event loop, which would wait for itself.
        """
        begun = _Begun(call)
        try:
            future = self._begin(begun.run)
        except BaseException:
            begun.give_up(self._portal)
            raise
        try:
            return future.result()
        except CancelledError:
            raise StoreClosed("the control plane was closed during the call") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._lock:
                self._running.discard(future)

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one with the event loop."""
        return os.getpid() != self._process

    def close(self) -> None:
        """Refuse further calls, and end the running ones."""
        if self.is_inherited:
            return
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for future in running:
            future.cancel()

    def _begin(self, call: Callable[[], Awaitable[Answer]]) -> Future[Answer]:
        if self.is_inherited:
            reason = "the control plane was opened before this process was forked"
            raise StoreClosed(f"{reason}; open one in the child")
        if get_ident() == self._thread:
            reason = "the event loop of the control plane cannot wait for its own call"
            raise OperationRejected(f"{reason}; make the call in another thread")
        with self._lock:
            if self._is_closed:
                raise StoreClosed("the control plane was closed; open it again")
            future = self._portal.start_task_soon(call)
            self._running.add(future)
            return future


class _Begun(Generic[Answer]):
    """A call that may be given up before it has started: Ctrl-C can come at any time."""

    def __init__(self, call: Callable[[], Awaitable[Answer]]) -> None:
        self._call = call
        self._scope: anyio.CancelScope | None = None
        self._is_over = False

    async def run(self) -> Answer:
        with anyio.CancelScope() as scope:
            self._scope = scope
            if self._is_over:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            return await self._call()
        raise CancelledError  # it was given up: no caller waits for its answer

    def give_up(self, portal: BlockingPortal) -> None:
        self._is_over = True
        if self._scope is not None:
            with suppress(RuntimeError):  # the event loop has ended, and the call with it
                portal.start_task_soon(self._scope.cancel)


class Facade(Generic[Service]):
    """A service for synchronous callers."""

    def __init__(self, service: Service, calls: Calls) -> None:
        """Wrap a service; ``calls`` runs calls in its event loop."""
        self._service = service
        self._calls = calls

    def _call(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        return self._calls.wait_for(call)

    def _walk(self, begin: Callable[[], AsyncGenerator[Answer, None]]) -> Generator[Answer]:
        """Yield the items of an asynchronous generator, and close it at the end."""
        items = begin()
        turn = anyio.Lock()  # a step that Ctrl-C has cancelled may still be ending

        async def step() -> Any:
            async with turn:
                return await anext(items, _END)

        async def close() -> None:
            async with turn:
                await items.aclose()

        try:
            while (item := self._calls.wait_for(step)) is not _END:
                yield item
        finally:
            # If the control plane is closed, its event loop has closed the generator. If this is
            # the event loop's own thread, as in a garbage collection, the loop closes it too.
            with suppress(StoreClosed, OperationRejected):
                self._calls.wait_for(close)
