"""A store in which everything has happened once, for those who look at what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core import (
    AgentSpec,
    DeploymentMetrics,
    DeploymentSpec,
    JobSpec,
    KeySpec,
    Outcome,
    PoolSpec,
    Priority,
    RetryPolicy,
    Verdict,
)

if TYPE_CHECKING:
    from cicd_core import ClaimedJob, ControlPlane
    from cicd_core.testing import VirtualClock

#: Failures are tried again at once, a second time.
TWICE = RetryPolicy(max_attempts=2, retry_on=(Verdict.FAILED, Verdict.ERROR), backoff_base=0.0)


async def live(plane: ControlPlane, clock: VirtualClock) -> dict[str, str]:
    """Make history, and return the ids of its jobs by what became of them."""
    made: dict[str, str] = {}
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation)
    await plane.pools.put(PoolSpec(pool_name="default"))
    await _ended(plane, clock, made)
    await _disturbed(plane, clock, made)
    await _tracked(plane, clock, made)
    await _deployed(plane, clock)
    await _used_keys(plane)
    await _unended(plane, made)
    return made


async def _ended(plane: ControlPlane, clock: VirtualClock, made: dict[str, str]) -> None:
    made["success"] = await enqueue(plane)
    claimed = await start(plane)
    clock.advance(1.25)
    claimed = await plane.queue.progress(claimed, percent=50, message="half of it")
    clock.advance(0.5)
    await plane.queue.complete(claimed, Outcome.exited(0))

    made["failed"] = await enqueue(plane)
    await plane.jobs.reprioritise(made["failed"], Priority.HIGH)
    await plane.queue.complete(await start(plane), Outcome.exited(2))

    made["cancelled"] = await enqueue(plane)
    await plane.jobs.cancel(made["cancelled"], reason="too late")

    made["stopped"] = await enqueue(plane)
    claimed = await start(plane)
    await plane.jobs.cancel(made["stopped"], reason="no use")
    await plane.queue.complete(claimed, Outcome.cancelled("stopped"))

    made["replayed"] = await enqueue(plane, retry=TWICE)
    for _ in range(2):
        clock.advance(2.0)
        await plane.maintenance.sweep()
        await plane.queue.complete(await start(plane), Outcome.exited(7))
    await plane.jobs.replay(made["replayed"])
    await plane.queue.complete(await start(plane), Outcome.exited(0))


async def _disturbed(plane: ControlPlane, clock: VirtualClock, made: dict[str, str]) -> None:
    made["released"] = await enqueue(plane)
    await plane.queue.release(await start(plane), reason="the agent drains")
    clock.advance(5.0)
    await plane.maintenance.sweep()
    await plane.queue.complete(await start(plane), Outcome.exited(0))

    made["lost"] = await enqueue(plane)
    await start(plane)
    clock.advance(plane.settings.lease_seconds + 1)
    await plane.maintenance.sweep()
    clock.advance(10.0)
    await plane.maintenance.sweep()
    await plane.queue.complete(await start(plane), Outcome.exited(0))


async def _tracked(plane: ControlPlane, clock: VirtualClock, made: dict[str, str]) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    await plane.jobs.record_start(job.job_id)
    clock.advance(3.0)
    await plane.jobs.record_execution(job.job_id, Outcome.exited(1))
    made["recorded"] = job.job_id


async def _deployed(plane: ControlPlane, clock: VirtualClock) -> None:
    deployments = plane.deployments
    spec = DeploymentSpec(service_name="web", version="1.2")
    key = (await deployments.create(spec)).deployment_id
    await deployments.record_staging(key, succeeded=True)
    await deployments.begin_production(key)
    clock.advance(1.0)
    await deployments.record_production(key, succeeded=True)
    await deployments.record_metrics(key, DeploymentMetrics(error_rate=0.25))
    await deployments.roll_back(key, reason="too many errors")
    other = (await deployments.create(spec)).deployment_id
    await deployments.record_staging(other, succeeded=False)


async def _used_keys(plane: ControlPlane) -> None:
    revoked, kept, _ = [
        await plane.keys.create(KeySpec(name="ci", scopes=["jobs:read"])) for _ in range(3)
    ]
    for issued in (revoked, kept):
        await plane.keys.authenticate(issued.token)
    await plane.keys.revoke(revoked.key.key_id)


async def _unended(plane: ControlPlane, made: dict[str, str]) -> None:
    made["dead letter"] = await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    await plane.queue.complete(await start(plane), Outcome.error("no disk"))
    made["claimed"] = await enqueue(plane)
    await claim(plane)
    made["running"] = await enqueue(plane)
    await claim(plane, start=True)
    made["queued"] = await enqueue(plane)
    made["pending"] = (await plane.jobs.create(JobSpec(job_type="build"))).job_id


async def enqueue(plane: ControlPlane, retry: RetryPolicy | None = None) -> str:
    """Enqueue a job and return its id."""
    spec = JobSpec(job_type="build", retry=retry or RetryPolicy())
    return (await plane.queue.enqueue(spec)).job_id


async def claim(plane: ControlPlane, *, start: bool = False) -> ClaimedJob:
    """Claim the one job that is next."""
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=start)
    return claimed


async def start(plane: ControlPlane) -> ClaimedJob:
    """Claim the next job and start it."""
    return await plane.queue.start(await claim(plane))
