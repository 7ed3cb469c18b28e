"""A program that ends while a task of its own still has the store open ends, and cleans up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cicd_core.testing.samples import in_lane, item, plain, read, watch, write
from tests.redis.stores import opened

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from tests.redis.engines import Server


async def hold(url: str, namespace: str, ready: asyncio.Event) -> None:
    """Keep a store open until the program ends, and write then."""
    async with opened(url, namespace=namespace) as store:
        await write(store, item("a", lane="other"))
        ready.set()
        try:
            await store.wait([watch(in_lane())], 3600)
        finally:
            await write(store, plain("cleaned-up"))


def test_a_task_that_is_cancelled_at_the_end_of_the_program_still_writes(
    server: Server, namespace: str
) -> None:
    kept: list[asyncio.Task[None]] = []

    async def program() -> None:
        ready = asyncio.Event()
        kept.append(asyncio.create_task(hold(server.url, namespace, ready)))
        await ready.wait()

    asyncio.run(program())  # it cancels all tasks, those of the store among them
    assert kept[0].cancelled()

    async def look() -> None:
        async with opened(server.url, namespace=namespace) as store:
            assert (await read(store, "cleaned-up", "plain")).key == "cleaned-up"

    asyncio.run(look())


def test_calls_under_way_when_every_task_is_cancelled_end(server: Server, namespace: str) -> None:
    async def program() -> list[object]:
        async with opened(server.url, namespace=namespace) as store:
            calls = [asyncio.create_task(write_one(store, f"{each}")) for each in range(20)]
            await asyncio.sleep(0)
            ours = asyncio.current_task()
            for task in asyncio.all_tasks() - {ours, *calls}:
                task.cancel()  # those of the store
            found: list[object] = await asyncio.gather(*calls, return_exceptions=True)
            await write(store, plain("after"))
            return found

    async def write_one(store: Store, key: str) -> None:
        await write(store, plain(key))

    assert len(asyncio.run(program())) == 20
