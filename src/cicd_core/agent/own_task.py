"""A task apart: what the embedder's code does to its task must not reach the agent's own tasks.

Such code may leave a cancel scope open, an async generator that is not read to its end is enough,
and on asyncio it may cancel the task that it runs in. In a task group of anyio either would cancel
its neighbours on asyncio, where such a task stands alone instead. Trio puts right what was left
open when the task ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup


async def run_apart(
    tasks: TaskGroup,
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    cancel: Callable[[], object],
) -> BaseException | None:
    """Run ``work`` in a task of its own to its end, also when this call is cancelled meanwhile.

    Args:
        tasks: where the task lives on trio.
        work: must not raise.
        cancel: asks the work to end; called when this call is cancelled.

    Returns:
        The cancellation of this call, for the caller to raise; None if there was none.
    """
    ended = anyio.Event()

    async def whole() -> None:
        try:
            await work()
        finally:
            ended.set()

    task: asyncio.Task[None] | None = None  # kept: the event loop has weak references alone
    if isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        task = asyncio.create_task(whole())
    else:
        tasks.start_soon(whole)
    try:
        await ended.wait()
    except anyio.get_cancelled_exc_class() as cancelled:
        cancel()
        with anyio.CancelScope(shield=True):
            await ended.wait()
        return cancelled
    finally:
        del task
    return None
