"""Work beside a block, which ends with it, and calls that run at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

Answer = TypeVar("Answer")


@asynccontextmanager
async def beside(
    work: Callable[[], Awaitable[object]], *, end: Callable[[], object] | None = None
) -> AsyncGenerator[None]:
    """Run ``work`` while the block runs, and end it when the block ends.

    What the block raises comes out as it is: not within a group, and not as a cancellation. For
    that the block's own task is never cancelled at the end: on Python 3.11 and 3.12 a task that has
    just left an ``asyncio.TaskGroup`` with an error would take that for a cancellation of its own.
    An error of ``work`` cancels the block, and comes out in its place.

    Args:
        work: what runs beside the block.
        end: asks the work to finish, which is waited for; without it the work is cancelled. A block
            that is cancelled cancels the work in any case.
    """
    scope = anyio.CancelScope()
    failures: list[BaseException] = []
    is_over = False

    async def run() -> None:
        nonlocal is_over
        try:
            with scope:
                await work()
        except Exception as failure:  # noqa: BLE001 - raised below, by itself
            failures.append(failure)
            tasks.cancel_scope.cancel()
        finally:
            is_over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as raised:  # noqa: BLE001 - raised below, by itself
            failures.insert(0, raised)
        if not is_over:
            (end or scope.cancel)()
    if failures:
        raise failures[0]


async def together(calls: Sequence[Callable[[], Awaitable[Answer]]]) -> list[Answer]:
    """Make calls at once, and return their answers in the order given.

    The first error comes out as it is, not in a group, and ends the other calls.
    """
    if len(calls) == 1:
        return [await calls[0]()]
    answers: dict[int, Answer] = {}
    failures: list[Exception] = []

    async def make(position: int, call: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answers[position] = await call()
        except Exception as failure:  # noqa: BLE001 - raised below, by itself
            failures.append(failure)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for position, call in enumerate(calls):
            tasks.start_soon(make, position, call)
    if failures:
        raise failures[0]
    return [answers[position] for position in range(len(calls))]
