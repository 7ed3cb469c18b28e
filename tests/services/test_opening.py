"""What the block of ``ControlPlane.open`` raises comes out as it is, and a program ends with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio

from cicd_core import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Stop(BaseException):
    """Neither an Exception nor a cancellation."""


async def fail(steps: int) -> None:
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    raise ValueError("mine")


def group_that_fails(steps: int) -> Callable[[], Awaitable[None]]:
    async def block() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail(steps))

    return block


async def anyio_group_that_fails() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail, 3)


async def nursery_that_fails() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, 3)


async def gather() -> None:
    await asyncio.gather(fail(3), anyio.sleep_forever())


async def time_out() -> None:
    async with asyncio.timeout(0):
        await anyio.sleep_forever()


async def time_out_by_anyio() -> None:
    with anyio.fail_after(0):
        await anyio.sleep_forever()


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await anyio.sleep_forever()


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def block() -> None:
        raise error

    return block


async def opened(url: str, block: Callable[[], Awaitable[object]], maintenance: bool) -> None:
    async with ControlPlane.open(url, maintenance=maintenance):
        await block()


ON_BOTH: dict[str, tuple[Callable[[], Awaitable[object]], type[BaseException]]] = {
    "an error": (raising(ValueError("mine")), ValueError),
    "an exit": (raising(SystemExit(3)), SystemExit),
    "an interrupt": (raising(KeyboardInterrupt()), KeyboardInterrupt),
    "another BaseException": (raising(Stop()), Stop),
    "a group of anyio": (anyio_group_that_fails, ExceptionGroup),
    "a timeout of anyio": (time_out_by_anyio, TimeoutError),
}
ON_ASYNCIO: dict[str, tuple[Callable[[], Awaitable[object]], type[BaseException]]] = {
    **ON_BOTH,
    "a group that fails at once": (group_that_fails(0), ExceptionGroup),
    "a group that fails later": (group_that_fails(20), ExceptionGroup),
    "a gather": (gather, ValueError),
    "a timeout": (time_out, TimeoutError),
    "a cancellation of its own": (cancel_itself, asyncio.CancelledError),
}
ON_TRIO: dict[str, tuple[Callable[[], Awaitable[object]], type[BaseException]]] = {
    **ON_BOTH,
    "a nursery": (nursery_that_fails, ExceptionGroup),
}


@pytest.mark.parametrize("maintenance", [True, False])
@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
@pytest.mark.parametrize(("block", "kind"), ON_ASYNCIO.values(), ids=ON_ASYNCIO)
def test_error_of_the_block_comes_out_on_asyncio(
    block: Any, kind: type[BaseException], scheme: str, maintenance: bool, tmp_path: Path
) -> None:
    url = "memory://" if scheme == "memory" else f"sqlite:///{tmp_path}/ci.db"
    with pytest.raises(kind) as raised:
        asyncio.run(opened(url, block, maintenance))
    assert type(raised.value) is kind


@pytest.mark.parametrize("maintenance", [True, False])
@pytest.mark.parametrize(("block", "kind"), ON_TRIO.values(), ids=ON_TRIO)
def test_error_of_the_block_comes_out_on_trio(
    block: Any, kind: type[BaseException], maintenance: bool
) -> None:
    with pytest.raises(kind) as raised:
        trio.run(opened, "memory://", block, maintenance)
    assert type(raised.value) is kind


@pytest.mark.parametrize("maintenance", [True, False])
def test_time_around_the_block_runs_out(maintenance: bool) -> None:
    async def by_asyncio() -> None:
        async with asyncio.timeout(0.01):
            await opened("memory://", anyio.sleep_forever, maintenance)

    async def by_anyio() -> None:
        with anyio.fail_after(0.01):
            await opened("memory://", anyio.sleep_forever, maintenance)

    for run_out in (by_asyncio, by_anyio):
        with pytest.raises(TimeoutError):
            asyncio.run(run_out())
    with pytest.raises(TimeoutError):
        trio.run(by_anyio)
