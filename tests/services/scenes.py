"""What the tests of the services say again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core import JobSpec, Outcome, RetryPolicy, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core import ClaimedJob, ControlPlane, Event, Job, JobState

#: Lanes are read anew once an hour: whoever waits is woken, or waits too long to pass a test.
SETTINGS = Settings(lane_refresh_seconds=3600.0, commit_attempts=4)
AGENT = "a-1"


async def enqueue(plane: ControlPlane, job_type: str = "build", **fields: Any) -> Job:
    return await plane.queue.enqueue(JobSpec(job_type=job_type, **fields))


async def claim(plane: ControlPlane, agent_id: str = AGENT, **options: Any) -> ClaimedJob:
    """Claim the one job that is next."""
    (claimed,) = await plane.queue.claim(agent_id=agent_id, **options)
    return claimed


async def run(plane: ControlPlane, agent_id: str = AGENT, **options: Any) -> ClaimedJob:
    """Claim the next job and start it."""
    return await plane.queue.start(await claim(plane, agent_id, **options))


async def finish(plane: ControlPlane, outcome: Outcome | None = None, **options: Any) -> Job:
    """Run the next job to its end."""
    return await plane.queue.complete(await run(plane, **options), outcome or Outcome.exited(0))


async def nothing_to_claim(plane: ControlPlane, **options: Any) -> bool:
    return await plane.queue.claim(agent_id="a-nobody", limit=256, **options) == []


def ids(jobs: Iterable[Job]) -> list[str]:
    return [each.job_id for each in jobs]


def taken(claims: Iterable[ClaimedJob]) -> list[str]:
    return [each.job.job_id for each in claims]


async def story(plane: ControlPlane, key: str) -> list[Event]:
    """Return every event of one subject."""
    return [event for event in await everything_told(plane) if event.subject[1] == key]


async def everything_told(plane: ControlPlane) -> list[Event]:
    events: list[Event] = []
    cursor: str | None = None
    while True:
        page = await plane.events.read(cursor, limit=1000)
        if not page.events:
            return events
        events += page.events
        cursor = page.cursor


async def every_job(plane: ControlPlane, **filters: Any) -> list[Job]:
    """Return all jobs of a list, through all of its pages."""
    jobs: list[Job] = []
    cursor: str | None = None
    while True:
        page = await plane.jobs.list(cursor=cursor, **filters)
        jobs += page.items
        cursor = page.cursor
        if cursor is None:
            return jobs


async def one_of_each(plane: ControlPlane, **fields: Any) -> dict[JobState, Job]:
    """Return a job in every state."""
    once = RetryPolicy(max_attempts=1)
    never = RetryPolicy(retry_on=())
    made: list[Job] = []
    for retry, outcome in (
        (never, Outcome.exited(0)),
        (never, Outcome.exited(1)),
        (never, Outcome.timeout("too slow")),
        (never, Outcome.error("no disk")),
        (once, Outcome.error("no disk")),
    ):
        job = await enqueue(plane, retry=retry, **fields)
        made.append(await finish(plane, outcome, pool_name=job.pool_name))
    job = await enqueue(plane, **fields)
    made.append(await plane.jobs.cancel(job.job_id))
    await enqueue(plane, **fields)
    made.append((await run(plane, pool_name=job.pool_name)).job)
    await enqueue(plane, **fields)
    made.append((await claim(plane, pool_name=job.pool_name)).job)
    made.append(await enqueue(plane, **fields))
    made.append(await plane.jobs.create(JobSpec(job_type="build", **fields)))
    return {each.state: each for each in made}
