"""A program that uses the installed package: checked by mypy and pyright in their strict modes.

    python consumer.py

enqueues jobs, runs an agent, waits, and reads what there is to read. It needs no store but memory.
"""

from __future__ import annotations

import json
from contextlib import aclosing, closing

import anyio

from cicd_core import (
    ControlPlane,
    DeploymentSpec,
    Event,
    InvalidInput,
    Job,
    JobSpec,
    NotFound,
    Outcome,
    Page,
    RetryPolicy,
    WaitTimedOut,
    from_json,
    json_schema,
    to_json,
)
from cicd_core.agent import Agent, JobRun
from cicd_core.chains import (
    Chain,
    Context,
    EnqueueChain,
    EnqueueJobLink,
    SerializeQueueJobLink,
    ServiceLink,
    State,
)
from cicd_core.sync import ControlPlane as SyncControlPlane


async def build(run: JobRun) -> Outcome:
    """Do a job in the event loop."""
    await run.progress(50, "half of it")
    run.log(f"building {run.payload['ref']}")
    return Outcome.exited(0, logs_url="https://logs.example/1")


def check(run: JobRun) -> int:
    """Do a job in a thread."""
    return 0 if run.fence else 1


def spec_of(job_type: str) -> JobSpec:
    """Return a spec as people write it: texts for enums, lists for tuples."""
    return JobSpec(
        job_type=job_type,
        payload={"ref": "main"},
        priority="high",
        labels=["linux"],
        delivery="at_least_once",
        retry=RetryPolicy(max_attempts=2, retry_on=["error"]),
    )


async def asynchronous() -> None:
    """Use the control plane in an event loop."""
    async with ControlPlane.open("memory://", log_retention=3600.0) as plane:
        agent = Agent(plane, labels=["linux"])
        agent.add_handler("build", build)
        agent.add_handler("check", check)
        jobs = await plane.queue.enqueue_many([spec_of("build"), spec_of("check")])
        async with agent.running():
            for job in jobs:
                ended = await plane.jobs.wait(job.job_id, timeout=60)
                print(ended.job_type, ended.status.value, ended.duration_seconds)
        page: Page[Job] = await plane.jobs.list(status="success")
        text = json.dumps(to_json(page))
        back: Page[Job] = from_json(Page[Job], json.loads(text))
        print(len(back.items), min(json_schema(Job)["$defs"]))
        follower = plane.events.follow(subject=("jobs", jobs[0].job_id), types=["job.*"])
        async with aclosing(follower) as events:
            async for event in events:
                if isinstance(event, Event):
                    print(event.type, event.at.isoformat())
        names = [job.job_id async for job in plane.jobs.iterate(pool_name="default")]
        deployment = await plane.deployments.create(
            DeploymentSpec(service_name="web", version="1"), deployment_id="d1"
        )
        print(len(names), deployment.status.value)


class NoteLink(ServiceLink):
    """A link of one's own."""

    needs = ("job_response",)

    async def work(self, ctx: Context) -> dict[str, str]:
        """Say in a word what was enqueued."""
        return {"note": f"{ctx.get('job_response')['job_type']} waits"}


async def chained() -> None:
    """Enqueue by a chain, and by links of one's own behind those of the library."""
    async with ControlPlane.open("memory://") as plane:
        answer = await EnqueueChain(plane).run({"job_type": "build", "pool_name": "linux"})
        print(answer["status"])
        chain = Chain()
        for link in (EnqueueJobLink(plane), SerializeQueueJobLink(), NoteLink()):
            chain.add_link(link)
        print((await chain.run(State({"job_type": "test", "pool_name": "linux"}))).get("note"))


def synchronous() -> None:
    """Use the control plane without an event loop."""
    with SyncControlPlane.open("memory://") as plane:
        job: Job = plane.queue.enqueue(spec_of("build"))
        try:
            plane.jobs.wait(job.job_id, timeout=0)
        except WaitTimedOut as waited:
            print(waited.state)
        for reason in plane.jobs.why(job.job_id):
            print(reason.code.value, reason.what_to_do)
        found: list[str] = [each.job_id for each in plane.jobs.iterate()]
        with closing(plane.events.follow(types=["job.created"])) as events:
            print(type(next(events)).__name__, len(found))
        try:
            plane.jobs.get("unknown")
        except NotFound as missing:
            print(missing.kind, missing.key)
        try:
            plane.queue.enqueue(JobSpec(job_type="build", priority="urgent"))
        except InvalidInput as refused:
            print(refused.field, refused.reason)


if __name__ == "__main__":
    anyio.run(asynchronous)
    anyio.run(chained)
    synchronous()
