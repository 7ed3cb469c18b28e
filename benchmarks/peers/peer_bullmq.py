"""BullMQ for Python, by what its worker does: move to active under a lock, move to completed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from bullmq import Queue, Worker
from measuring import TEXT, main

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from measuring import Countdown

NAME = "benchmark"


class BullMQ:
    blocking = False
    lacks: frozenset[str] = frozenset()

    def __init__(self, queue: Queue, worker: Worker, url: str) -> None:
        self.url = url
        self.running: Worker | None = None
        self.queue = queue
        self.worker = worker
        self.tokens = map(str, count())

    async def enqueue(self) -> None:
        await self.queue.add("build", {"text": TEXT})

    async def enqueue_many(self, number: int) -> None:
        await self.queue.addBulk([{"name": "build", "data": {"text": TEXT}}] * number)

    async def claim(self, caller: int) -> Any:
        del caller
        job = await self.worker.moveToActive(next(self.tokens))
        assert job
        return job

    async def complete(self, job: Any) -> None:
        backend = self.worker.backend
        await backend.moveToCompleted(job, None, False, job.token, fetch_next=False)

    async def pick_up(self) -> Any:
        self.worker.drained = True  # it waits for a job, as it does when there was none
        while (job := await self.worker.getNextJob(next(self.tokens))) is None:
            pass
        return job

    async def work_off(self, left: Countdown, slots: int) -> None:
        async def build(job: Any, token: str) -> None:
            del job, token
            left.one()

        options = {"connection": self.url, "concurrency": slots}
        self.running = Worker(NAME, build, options)
        await left.wait()

    async def close(self) -> None:
        for each in filter(None, (self.running, self.worker)):
            await each.close(force=True)
        await self.queue.close()


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[BullMQ, None]:
    queue = Queue(NAME, {"connection": options.url})
    worker = Worker(NAME, process, {"autorun": False, "connection": options.url})
    bullmq = BullMQ(queue, worker, options.url)
    yield bullmq
    await bullmq.close()


async def process(job: Any, token: str) -> None:
    del job, token


if __name__ == "__main__":
    main(opened)
