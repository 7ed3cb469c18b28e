"""A demo: a day of made-up traffic that ends now, and says that it is made up."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from cicd_core import ControlPlane, JobSpec
from cicd_core.http.server import create_app
from cicd_core.http.server.demo_mode import BANNER, DemoMode
from cicd_core.testing.simulation.demo_day import DemoDay
from cicd_core.testing.simulation.plan import SimulationPlan
from cicd_core.values import evolve
from tests.patience import PATIENCE

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: A day with little traffic, which takes about a second.
QUIET = SimulationPlan(
    seed=3,
    agents=4,
    jobs_per_hour=6.0,
    lost_replies=0.0,
    drift=0.0,
    lease_seconds=900.0,
    heartbeat_timeout_seconds=3600.0,
    sweep_seconds=600.0,
)


async def test_the_day_before_now_has_jobs_and_deployments_and_goes_on() -> None:
    day = DemoDay(QUIET)
    before = await day.plane.now()
    await day.pass_day()
    seen = await day.plane.dashboard.activity()
    assert (seen.as_of - before).total_seconds() >= 24 * 3600 - 1
    assert sum(bool(hour.ended) for hour in seen.hours) > 12
    jobs = [job async for job in day.plane.jobs.iterate()]
    assert len(jobs) > 50
    assert all(job.metadata["name"].startswith(job.metadata["service"]) for job in jobs)
    assert all(before <= job.created_at <= seen.as_of for job in jobs)
    assert (await day.plane.dashboard.summary()).recent_deployments
    # It goes on, with what a person does there too.
    job = await day.plane.queue.enqueue(JobSpec(job_type="lint", pool_name="build"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(day.go_on)
        await day.plane.jobs.cancel(job.job_id)
        ended = await day.plane.jobs.wait(job.job_id, timeout=PATIENCE)
        tasks.cancel_scope.cancel()
    assert ended.state == "cancelled"


async def test_the_same_seed_makes_the_same_jobs() -> None:
    async def drawn() -> list[tuple[str, str]]:
        day = DemoDay(evolve(QUIET, jobs_per_hour=3.0))
        await day.pass_day()
        jobs = [job async for job in day.plane.jobs.iterate()]
        # The last ones may be of the seconds that the making took.
        return [(job.metadata["name"], job.priority.name) for job in jobs[::-1]][:30]

    assert await drawn() == await drawn()


async def test_the_header_asks_for_what_is_made_up_and_each_answer_of_it_is_marked() -> None:
    async with (
        ControlPlane.open("memory://", maintenance=False) as real,
        ControlPlane.open("memory://", maintenance=False) as demo,
    ):
        await demo.queue.enqueue(JobSpec(job_type="made-up"))
        app = create_app(real, status_page=True)
        made_up = create_app(demo, status_page=True, banner=BANNER)
        for always in (False, True):
            switch = DemoMode(made_up if always else app, made_up, always=always)
            transport = httpx2.ASGITransport(app=switch)
            base = "http://127.0.0.1"
            async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
                for headers, shows in (
                    ({}, always),
                    ({"x-demo-mode": "false"}, always),
                    ({"x-demo-mode": "True"}, True),
                ):
                    api = await client.get("/api/queue/jobs", headers=headers)
                    assert len(api.json()["items"]) == shows
                    assert (api.headers.get("x-demo-mode") == "true") == shows
                    page = await client.get("/ui/jobs", headers=headers)
                    assert (BANNER in page.text) == shows
