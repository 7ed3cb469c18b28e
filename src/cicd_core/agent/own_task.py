"""A separate task for the embedder's code, so that it can't damage the agent's own tasks.

Such code may leave a cancel scope open, for example by not reading an async generator to its end,
and on asyncio it may cancel the task that it runs in. In a task group of anyio on asyncio, both
would cancel the other tasks of the group, so there the task belongs to no group. Trio closes open
scopes when the task ends.
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
    """Run ``work`` in a task of its own to its end, even if this call is cancelled.

    Args:
        tasks: the task group for the task on trio.
        work: the work; it must not raise.
        cancel: requests the end of the work; called when this call is cancelled.

    Returns:
        The cancellation of this call, for the caller to raise; None if there was none.
    """
    ended = anyio.Event()

    async def whole() -> None:
        try:
            await work()
        finally:
            ended.set()

    task: asyncio.Task[None] | None = None  # kept: the event loop has only weak references
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
