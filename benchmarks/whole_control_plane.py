"""The contestant that pays for everything: checks, decisions, codec, events, counters, store."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cicd_core import ControlPlane, JobSpec, Outcome, QueueStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

#: How many jobs are enqueued in one call while a file is filled.
BATCH = 5_000


class WholeControlPlane:
    """`claim(start=True)` and `complete` of the queue service."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, synchronous: str) -> AsyncGenerator[WholeControlPlane, None]:
        url = f"sqlite:///{path}?synchronous={synchronous}"
        async with ControlPlane.open(url, maintenance=False) as plane:
            yield cls(plane)

    async def top_up(self, depth: int) -> None:
        queued = (await self.plane.queue.stats()).depth[QueueStatus.QUEUED]
        spec = JobSpec(job_type="shell", payload={"text": "x" * 300})
        for start in range(queued, depth, BATCH):
            await self.plane.queue.enqueue_many([spec] * min(BATCH, depth - start))

    async def pair(self, caller: int) -> float:
        started = time.perf_counter()
        (claimed,) = await self.plane.queue.claim(agent_id=f"a{caller}", start=True)
        took = time.perf_counter() - started
        await self.plane.queue.complete(claimed, Outcome.exited(0))
        return took
