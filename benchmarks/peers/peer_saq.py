"""SAQ, by what its worker does: take, write the status, finish."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from measuring import TEXT, main
from saq import Job, Queue, Status, Worker
from saq.utils import now

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from measuring import Countdown


class Saq:
    blocking = False
    lacks = frozenset({"bulk"})

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.worker: Worker | None = None

    async def enqueue(self) -> None:
        await self.queue.enqueue("build", text=TEXT)

    async def claim(self, caller: int) -> Job:
        job = await self.queue.dequeue(timeout=30)
        assert job
        job.started, job.worker_id = now(), str(caller)
        job.attempts += 1
        await job.update(status=Status.ACTIVE)
        return job

    async def complete(self, job: Job) -> None:
        await job.finish(Status.COMPLETE, result=None)

    async def pick_up(self) -> Job:
        return await self.claim(0)

    async def work_off(self, left: Countdown, slots: int) -> None:
        async def build(context: object, text: str) -> None:
            del context, text
            left.one()

        self.worker = Worker(self.queue, [("build", build)], concurrency=slots)
        self.running = asyncio.create_task(self.worker.start())
        await left.wait()

    async def close(self) -> None:
        if self.worker is not None:
            await self.worker.stop()
        await self.queue.disconnect()


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Saq, None]:
    queue = Queue.from_url(options.url)
    await queue.connect()
    saq = Saq(queue)
    yield saq
    await saq.close()


if __name__ == "__main__":
    main(opened)
