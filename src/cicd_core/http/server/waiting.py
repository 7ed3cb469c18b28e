"""Requests that wait: they end when their caller leaves, or when the server stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from attrs import define

from cicd_core.http.server.limits import DEFAULT_LIMITS
from cicd_core.http.server.principal_limits import PrincipalLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

Answer = TypeVar("Answer")


class CallerGone(Exception):
    """The caller closed its connection and no longer waits."""


@define
class _Slot(Generic[Answer]):
    """The place for the answer of waiting work."""

    answer: Answer | None = None
    error: Exception | None = None
    is_gone: bool = False


class Waiting:
    """Lets requests wait, and ends all of them when the server stops."""

    def __init__(self, most: int = DEFAULT_LIMITS.max_waiting) -> None:
        """Start without requests; each principal may have at most ``most`` of them."""
        self._limit = PrincipalLimit(
            most, "{most} requests of {principal} are already waiting; try again later"
        )
        self._stopping = False
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def is_stopping(self) -> bool:
        """Whether the server is stopping."""
        return self._stopping

    @property
    def number(self) -> int:
        """Number of waiting requests."""
        return len(self._scopes)

    def stop(self) -> None:
        """End all waiting requests now, and all later ones; call it in the server's event loop."""
        self._stopping = True
        for scope in tuple(self._scopes):
            scope.cancel()

    async def attend(
        self,
        request: Request,
        principal: str,
        work: Callable[[], Awaitable[Answer]],
        *,
        undo: Callable[[Answer], Awaitable[None]] | None = None,
    ) -> Answer | None:
        """Return the answer of work that may take long; None: the server is stopping.

        Args:
            request: the request whose caller waits.
            principal: the name of the caller.
            work: the work; it is cancelled when the caller leaves, or the server stops.
            undo: called with an answer that came after the caller had left.

        Raises:
            BadRequest: too many requests of that principal are already waiting.
            CallerGone: the caller closed its connection; the work was cancelled, or undone.
        """
        if self._stopping:
            return None
        self._limit.require_room(principal)
        slot = _Slot[Answer]()
        with self._limit.counted(principal), anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_watch, request, scope, slot)
                    try:
                        slot.answer = await work()
                    except Exception as error:  # noqa: BLE001 - a task group would wrap it
                        slot.error = error
                    tasks.cancel_scope.cancel()
            finally:
                self._scopes.discard(scope)
        if slot.error is not None:
            raise slot.error
        if slot.is_gone:
            if slot.answer is not None and undo is not None:
                await undo(slot.answer)
            raise CallerGone
        return slot.answer


async def _watch(request: Request, scope: anyio.CancelScope, slot: _Slot[Answer]) -> None:
    """End the work when the caller leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    slot.is_gone = True
    scope.cancel()
