"""A pool's jobs have no index of their own here: the one by status is filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, JobSpec, Outcome, QueueStatus
from cicd_core.entities import COLLECTIONS

if TYPE_CHECKING:
    from cicd_core import Job
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio


async def every_job(plane: ControlPlane, limit: int, **filters: Any) -> list[Job]:
    found: list[Job] = []
    cursor: str | None = None
    while True:
        page = await plane.jobs.list(limit=limit, cursor=cursor, **filters)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


async def test_a_pool_lists_and_counts_its_own_jobs_of_each_status(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with dynamodb.open(namespace, COLLECTIONS, count_seconds=0.0) as store:
        plane = ControlPlane(store)
        made: dict[str, list[str]] = {}
        for pool in ("rare", "busy", "rare-not"):
            number = 3 if pool == "rare" else 12
            specs = [JobSpec(job_type="build", pool_name=pool)] * number
            made[pool] = [job.job_id for job in await plane.queue.enqueue_many(specs)]
        await dynamodb.settle()
        (ended,) = await plane.queue.claim(agent_id="a-1", pool_name="rare", start=True)
        await plane.queue.complete(ended, Outcome.exited(0))
        (running,) = await plane.queue.claim(agent_id="a-1", pool_name="rare", start=True)
        await dynamodb.settle()
        for limit in (1, 2, 50):
            jobs = await every_job(plane, limit, pool_name="rare")
            assert [job.job_id for job in jobs] == sorted(made["rare"], reverse=True)
        for status, expected in (("success", ended), ("running", running)):
            jobs = await every_job(plane, 1, pool_name="rare", status=status)
            assert [job.job_id for job in jobs] == [expected.job.job_id]
        depth = (await plane.queue.stats("rare")).depth
        assert (depth[QueueStatus.QUEUED], depth[QueueStatus.RUNNING]) == (1, 1)
        depth = (await plane.queue.stats("busy")).depth
        assert (depth[QueueStatus.QUEUED], depth[QueueStatus.RUNNING]) == (12, 0)
