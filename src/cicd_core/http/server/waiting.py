"""Requests that wait: they end when their caller goes, or when the server stops."""

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
    """The caller closed its connection and waits no longer."""


@define
class _Slot(Generic[Answer]):
    """Where the work that waits leaves its answer."""

    answer: Answer | None = None
    error: Exception | None = None
    is_gone: bool = False


class Waiting:
    """Lets requests wait, and ends all of them when the server stops."""

    def __init__(self, most: int = DEFAULT_LIMITS.max_waiting) -> None:
        """Nothing waits yet; of one principal at most ``most`` requests will."""
        self._limit = PrincipalLimit(
            most, "{most} requests of {principal} wait already; try again later"
        )
        self._stopping = False
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def is_stopping(self) -> bool:
        """Whether the server stops."""
        return self._stopping

    @property
    def number(self) -> int:
        """How many requests wait now."""
        return len(self._scopes)

    def stop(self) -> None:
        """End all that waits now and later; call it in the server's event loop."""
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
        """Return the answer of work that may take long; None: the server stops.

        Args:
            request: is waited for by its caller.
            principal: who that is.
            work: is cancelled when the caller goes, or the server stops.
            undo: is called with an answer that came when its caller had gone.

        Raises:
            BadRequest: too many requests of that principal wait already.
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
    """End the work when the caller goes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    slot.is_gone = True
    scope.cancel()
