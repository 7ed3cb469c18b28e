"""Background work that ends with a block, and concurrent calls."""

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

    An error of the block is raised unchanged: not in a group, and not as a cancellation. For this,
    the block's own task is never cancelled at the end: on Python 3.11 and 3.12, a task that has
    just left an ``asyncio.TaskGroup`` with an error would treat that as its own cancellation. An
    error of ``work`` cancels the block, and is raised instead.

    Args:
        work: the work to run during the block.
        end: asks the work to finish, and the block waits for it; without it the work is cancelled.
            A cancelled block cancels the work in any case.
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
    """Make calls concurrently, and return their answers in the order given.

    The first error cancels the other calls, and is raised unchanged, not in a group.
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
