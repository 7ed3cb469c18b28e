"""taskiq over a Redis list, by its broker and its receiver.

A list has no lease: what a dead worker had taken is lost, so `complete` costs it nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from measuring import TEXT, main
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from measuring import Countdown


class Taskiq:
    blocking = False
    lacks = frozenset({"bulk"})

    def __init__(self, broker: ListQueueBroker) -> None:
        self.broker = broker
        self.left: Countdown | None = None
        self.running: asyncio.Task[None] | None = None
        self.messages: dict[int, Any] = {}

        @broker.task
        async def build(text: str) -> None:
            del text
            if self.left is not None:
                self.left.one()

        self.build = build

    async def enqueue(self) -> None:
        await self.build.kiq(TEXT)

    async def claim(self, caller: int) -> Any:
        # A caller listens, as a receiver does, and keeps its connection.
        if caller not in self.messages:
            self.messages[caller] = self.broker.listen()
        return await anext(self.messages[caller])

    async def complete(self, job: Any) -> None:
        del job

    async def pick_up(self) -> Any:
        return await self.claim(0)

    async def work_off(self, left: Countdown, slots: int) -> None:
        self.left = left
        running = run_receiver_task(self.broker, max_async_tasks=slots)
        self.running = asyncio.create_task(running)
        await left.wait()

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])
        for each in self.messages.values():
            await each.aclose()
        await self.broker.shutdown()


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Taskiq, None]:
    broker = ListQueueBroker(options.url, max_connection_pool_size=100)
    await broker.startup()
    taskiq = Taskiq(broker)
    yield taskiq
    await taskiq.close()


if __name__ == "__main__":
    main(opened)
