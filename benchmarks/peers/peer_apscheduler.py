"""APScheduler 4, by what its scheduler does with its memory store: add, acquire and release a job.

It has leases, and keeps no history.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler import JobOutcome, JobResult, Task
from apscheduler._structures import Job
from apscheduler.datastores.memory import MemoryDataStore
from apscheduler.eventbrokers.local import LocalEventBroker
from measuring import TEXT, main

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

LEASE = timedelta(seconds=30)


class APScheduler:
    blocking = False
    lacks = frozenset({"bulk", "pickup", "worker"})

    def __init__(self, store: MemoryDataStore) -> None:
        self.store = store

    async def enqueue(self) -> None:
        await self.store.add_job(Job(task_id="build", args=(TEXT,), executor="async"))

    async def claim(self, caller: int) -> Job:
        (job,) = await self.store.acquire_jobs(f"a{caller}", LEASE, 1)
        return job

    async def complete(self, job: Job) -> None:
        now = datetime.now(UTC)
        result = JobResult(
            job_id=job.id, outcome=JobOutcome.success, finished_at=now, expires_at=now
        )
        assert job.acquired_by
        await self.store.release_job(job.acquired_by, job, result)


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[APScheduler, None]:
    del options
    async with AsyncExitStack() as stack:
        log, store, broker = logging.getLogger(), MemoryDataStore(), LocalEventBroker()
        await broker.start(stack, log)
        await store.start(stack, broker, log)
        await store.add_task(Task(id="build", func="build:build", job_executor="async"))
        yield APScheduler(store)


if __name__ == "__main__":
    main(opened)
