"""Cancels a call at a chosen await: at its first one, at its second one, and so on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class _Watched:
    """A call that counts how often it gives up control."""

    def __init__(self, call: Coroutine[Any, Any, object], notify: Callable[[int], None]) -> None:
        self._call = call
        self._notify = notify

    def __await__(self) -> Generator[Any, Any, None]:
        number = 0
        resume: Callable[[], Any] = partial(self._call.send, None)
        while True:
            try:
                waited_for = resume()
            except StopIteration:
                return
            self._notify(number)
            number += 1
            try:
                resume = partial(self._call.send, (yield waited_for))
            except BaseException as thrown:  # noqa: BLE001 - the call also gets cancellations
                resume = partial(self._call.throw, thrown)


async def cancelled_at(
    call: Callable[[], Coroutine[Any, Any, object]], point: int, *, turns: int = 0
) -> bool:
    """Make a call, and cancel it while it waits for the (``point`` + 1)-th time.

    Args:
        call: starts the call.
        point: number of awaits to let pass.
        turns: turns of the event loop from then until the cancellation.

    Returns:
        Whether the call reached that await; if not, it ended first, and nothing was cancelled.
    """
    reached = anyio.Event()

    def notify(number: int) -> None:
        if number == point:
            reached.set()
            if not turns:
                scope.cancel()

    async def cancel_later() -> None:
        await reached.wait()
        for _ in range(turns):
            await checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            if turns:
                tasks.start_soon(cancel_later)
            await _Watched(call(), notify)
        tasks.cancel_scope.cancel()
    return reached.is_set()
