"""Handing work to an event loop from another thread."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import anyio
import pytest
import trio

from cicd_core.threads import RunSoon, run_soon_here
from tests.patience import PATIENCE


@pytest.mark.anyio
async def test_a_thread_sets_an_event_of_the_loop() -> None:
    event = anyio.Event()
    thread = threading.Thread(target=run_soon_here(), args=(event.set,))
    thread.start()
    with anyio.fail_after(PATIENCE):
        await event.wait()
    thread.join()


@pytest.mark.anyio
async def test_work_runs_in_the_loops_thread_in_the_order_given() -> None:
    run_soon, done = run_soon_here(), anyio.Event()
    seen: list[tuple[int, threading.Thread]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread()))

    def hand_over() -> None:
        for number in range(5):
            run_soon(partial(note, number))
        run_soon(done.set)

    await anyio.to_thread.run_sync(hand_over)
    with anyio.fail_after(PATIENCE):
        await done.wait()
    assert seen == [(number, threading.current_thread()) for number in range(5)]


@pytest.mark.anyio
async def test_the_loops_own_thread_may_hand_over_too() -> None:
    event = anyio.Event()
    assert run_soon_here()(event.set)
    assert not event.is_set()  # soon, not now
    with anyio.fail_after(PATIENCE):
        await event.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_has_ended_hears_nothing(backend: str) -> None:
    async def leave_behind() -> RunSoon:
        return run_soon_here()

    run_soon = anyio.run(leave_behind, backend=backend)
    assert not run_soon(lambda: None)


def test_where_no_loop_runs_there_is_nobody_to_tell() -> None:
    with pytest.raises(anyio.NoEventLoopError):
        run_soon_here()


async def _starts_work_from_a_thread() -> list[str]:
    """Let a thread that knows nothing of the loop begin a task there."""
    seen: list[str] = []
    done = anyio.Event()

    async def work() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        seen.append("worked")
        done.set()

    async with anyio.create_task_group() as tasks:

        def begin() -> None:
            anyio.Event().set()
            tasks.start_soon(work)

        thread = threading.Thread(target=run_soon_here(), args=(begin,))
        thread.start()
        with anyio.fail_after(PATIENCE):
            await done.wait()
        thread.join()
    return seen


def test_work_from_a_thread_may_use_anyio_where_a_plain_asyncio_loop_runs() -> None:
    assert asyncio.run(_starts_work_from_a_thread()) == ["worked"]


def test_work_from_a_thread_may_use_anyio_where_a_plain_trio_loop_runs() -> None:
    assert trio.run(_starts_work_from_a_thread) == ["worked"]
