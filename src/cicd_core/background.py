"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


@asynccontextmanager
async def beside(work: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Run ``work`` while the block runs, and cancel it when the block ends.

    What the block raises comes out as it is: not within a group, and not as a cancellation. For
    that the block's own task is never cancelled at the end: on Python 3.11 and 3.12 a task that has
    just left an ``asyncio.TaskGroup`` with an error would take that for a cancellation of its own.
    """
    scope = anyio.CancelScope()
    failure: BaseException | None = None

    async def run() -> None:
        with scope:
            await work()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as raised:  # noqa: BLE001 - raised below, by itself
            failure = raised
        finally:
            scope.cancel()
    if failure is not None:
        raise failure
