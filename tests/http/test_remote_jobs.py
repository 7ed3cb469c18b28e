"""Jobs outside the hands of an agent, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import (
    ControlPlane,
    IllegalTransition,
    JobSpec,
    JobState,
    NotFound,
    Outcome,
    Priority,
    RetryPolicy,
    WaitTimedOut,
)
from tests.http.in_process import calling, problem_of
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core.http.client import RemoteControlPlane

pytestmark = pytest.mark.anyio

BUILD = JobSpec(job_type="build", tags=["nightly"], metadata={"team": "web"})


@pytest.mark.asyncio_only
async def test_a_job_is_created_submitted_and_recorded_over_http(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    far = remote.jobs
    made = await far.create(BUILD)
    assert made == await plane.jobs.get(made.job_id)
    assert (await far.submit(made.job_id)).state is JobState.QUEUED
    urgent = await far.reprioritise(made.job_id, "critical")
    assert urgent.priority is Priority.CRITICAL

    run = await far.create(JobSpec(job_type="test"))
    began = datetime(2026, 1, 2, tzinfo=UTC)
    assert (await far.record_start(run.job_id, started_at=began)).started_at == began
    ended = await far.record_execution(
        run.job_id,
        Outcome.exited(3, logs_summary="3 failed"),
        completed_at=began + timedelta(hours=2),
        duration_seconds=90,
        agent_id="jenkins-1",
    )
    assert (ended.duration_seconds, ended.agent_id) == (90.0, "jenkins-1")
    assert (await far.list(agent_id="jenkins-1")).items == (ended,)
    assert [job.job_id async for job in far.iterate(tag="team=web")] == [made.job_id]
    assert [job.job_id async for job in far.iterate(job_type="test")] == [run.job_id]
    assert await far.wait(run.job_id) == ended
    with pytest.raises(IllegalTransition):
        await far.submit(run.job_id)
    assert (await remote.maintenance.requeue_expired()).total == 0
    assert abs(await remote.now() - await plane.now()) < timedelta(seconds=PATIENCE)


async def test_a_wait_returns_when_the_job_has_ended(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    job = await plane.queue.enqueue(BUILD)
    with pytest.raises(WaitTimedOut, match="queued"):
        await remote.jobs.wait(job.job_id, timeout=0)
    with pytest.raises(NotFound):
        await remote.jobs.wait("none")
    ends: list[JobState] = []

    async def wait() -> None:
        ends.append((await remote.jobs.wait(job.job_id, timeout=PATIENCE)).state)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
            await plane.queue.complete(claimed, Outcome.exited(0))
    assert ends == [JobState.SUCCESS]


@pytest.mark.asyncio_only
async def test_many_dead_letters_are_replayed_each_for_itself() -> None:
    spec = JobSpec(job_type="build", retry=RetryPolicy(max_attempts=1))
    async with ControlPlane.open("memory://", maintenance=False) as plane, calling(plane) as http:
        dead: list[str] = []
        for _ in range(2):
            dead.append((await plane.queue.enqueue(spec)).job_id)
            (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
            await plane.queue.complete(claimed, Outcome.error("no disk"))
        alive = (await plane.queue.enqueue(spec)).job_id
        path = "/api/queue/dead-letters/replay"
        body = {"job_ids": [dead[0], alive, "none", dead[1]], "attempts": 2}
        results = (await http.post(path, json=body)).json()["results"]
        assert [each["job_id"] for each in results] == body["job_ids"]
        states = [each["job"] and each["job"]["state"] for each in results]
        assert states == ["queued", None, None, "queued"]
        kinds = [each["problem"] and each["problem"]["type"] for each in results]
        prefix = "urn:cicd-core:problem:"
        assert kinds == [None, f"{prefix}illegal-transition", f"{prefix}not-found", None]
        assert (await plane.jobs.dead_letters()).items == ()
        refused = await http.post(path, json={"job_ids": [f"j-{n}" for n in range(101)]})
        assert (refused.status_code, problem_of(refused)["field"]) == (413, "job_ids")
        refused = await http.post(path, json={"job_ids": [alive, "no name"]})
        assert (refused.status_code, problem_of(refused)["field"]) == (422, "job_ids[1]")
