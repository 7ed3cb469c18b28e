"""Work beside a block ends with it, and an error of either comes out by itself."""

from __future__ import annotations

import anyio
import pytest

from cicd_core.background import beside

pytestmark = pytest.mark.anyio


async def test_work_is_cancelled_when_the_block_ends() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    async with beside(work):
        await anyio.lowlevel.checkpoint()
    assert ended == ["cancelled"]


async def test_work_that_is_asked_to_end_is_waited_for() -> None:
    asked = anyio.Event()
    ended: list[str] = []

    async def work() -> None:
        await asked.wait()
        await anyio.lowlevel.checkpoint()
        ended.append("by itself")

    async with beside(work, end=asked.set):
        await anyio.lowlevel.checkpoint()
    assert ended == ["by itself"]


async def test_work_that_is_over_is_not_asked_to_end() -> None:
    asked = anyio.Event()
    is_over = anyio.Event()

    async def work() -> None:
        is_over.set()

    async with beside(work, end=asked.set):
        await is_over.wait()
        await anyio.lowlevel.checkpoint()
    assert not asked.is_set()


async def test_an_error_of_the_work_cancels_the_block_and_is_raised_in_its_place() -> None:
    async def work() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        async with beside(work):
            await anyio.sleep_forever()


async def test_an_error_of_the_block_comes_before_one_of_the_work() -> None:
    asked = anyio.Event()

    async def work() -> None:
        await asked.wait()
        raise ValueError("of the work")

    with pytest.raises(KeyError, match="of the block"):
        async with beside(work, end=asked.set):
            raise KeyError("of the block")
