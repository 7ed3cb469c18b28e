"""SAQ, by what its worker does: take, write the status, finish."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from measuring import TEXT, main
from saq import Job, Queue, Status
from saq.utils import now

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator


class Saq:
    blocking = False
    lacks = frozenset({"bulk"})

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

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


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Saq, None]:
    queue = Queue.from_url(options.url)
    await queue.connect()
    yield Saq(queue)
    await queue.disconnect()


if __name__ == "__main__":
    main(opened)
