"""A store with one of everything, in which each text that a caller may write is a script."""

from __future__ import annotations

from typing import Final

from attrs import define

from cicd_core import (
    AgentSpec,
    ControlPlane,
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    GitContext,
    Job,
    JobSpec,
    KeySpec,
    Outcome,
    PoolSpec,
    Priority,
    RetryPolicy,
)

#: A text that runs where it is taken for HTML; the second part ends an attribute.
EVIL: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
BROKEN: Final = Outcome(verdict="failed", exit_code=1, error_message=EVIL, logs_summary=EVIL)
ONCE: Final = RetryPolicy(max_attempts=1)
NEVER: Final = RetryPolicy(retry_on=())


@define
class Scene:
    """What is there."""

    plane: ControlPlane
    running: Job
    queued: Job
    dead: Job
    failed: Job
    live: Deployment
    staged: Deployment


def spec(name: str, **fields: object) -> JobSpec:
    """Return a job whose texts are scripts."""
    given = {
        "job_type": "build",
        "pool_name": "linux",
        "labels": ("amd64",),
        "payload": {"shell": EVIL, EVIL: [EVIL]},
        "metadata": {"name": name, EVIL: EVIL, "service": "shop"},
        "tags": ("nightly",),
        "git": GitContext(
            repo="https://git.example.org/shop.git", ref="main", commit_message=EVIL, author=EVIL
        ),
        **fields,
    }
    return JobSpec(**given)  # type: ignore[arg-type] # the fields of a spec, by their names


async def ended(plane: ControlPlane, job_spec: JobSpec, outcome: Outcome) -> Job:
    """Return a job that ended so."""
    job = await plane.queue.enqueue(job_spec, actor=EVIL)
    (claimed,) = await plane.queue.claim(
        agent_id="builder-1", pool_name="linux", labels=("amd64",), start=True
    )
    assert claimed.job.job_id == job.job_id
    return await plane.queue.complete(claimed, outcome)


async def set_up(plane: ControlPlane) -> Scene:
    """Fill an empty store."""
    await plane.pools.put(PoolSpec(pool_name="linux", description=EVIL, max_agents=4))
    for number in (1, 2):
        await plane.agents.register(
            AgentSpec(
                agent_id=f"builder-{number}",
                pool_name="linux",
                labels=("amd64",),
                slots=2,
                hostname=EVIL,
                version=EVIL,
                metadata={EVIL: EVIL},
            )
        )
    await ended(plane, spec("Good", retry=NEVER), Outcome.exited(0))
    failed = await ended(
        plane,
        spec("Bad", retry=NEVER),
        BROKEN,
    )
    dead = await ended(plane, spec("Dead", retry=ONCE), Outcome.error(EVIL))
    await ended(plane, spec("Dead too", retry=ONCE), Outcome.error(EVIL))
    running = await plane.queue.enqueue(spec(EVIL), actor=EVIL)
    (claimed,) = await plane.queue.claim(
        agent_id="builder-1", pool_name="linux", labels=("amd64",), start=True
    )
    await plane.queue.progress(claimed, percent=40, message=EVIL)
    queued = await plane.queue.enqueue(spec("Waits", priority=Priority.LOW))
    await plane.queue.enqueue(spec("Goes first", priority=Priority.CRITICAL))
    live = await deployed(plane, "1.0")
    staged = await plane.deployments.create(_deployment("1.1"), actor=EVIL)
    await plane.deployments.record_staging(staged.deployment_id, succeeded=True)
    back = await deployed(plane, "0.9")
    await plane.deployments.roll_back(back.deployment_id, reason=EVIL, target=EVIL)
    broken = await plane.deployments.create(_deployment("0.8"))
    await plane.deployments.fail(broken.deployment_id, error_message=EVIL)
    await plane.keys.create(KeySpec(name=EVIL, scopes=("jobs:read",)), actor=EVIL)
    await plane.sessions.create(EVIL, metadata={"user_agent": EVIL})
    return Scene(
        plane=plane,
        running=running,
        queued=queued,
        dead=dead,
        failed=failed,
        live=live,
        staged=staged,
    )


def _deployment(version: str) -> DeploymentSpec:
    return DeploymentSpec(
        service_name="shop",
        version=f"{version} {EVIL}",
        environment="eu-west",
        metadata={EVIL: EVIL},
    )


async def deployed(plane: ControlPlane, version: str) -> Deployment:
    """Return a deployment that is live."""
    made = await plane.deployments.create(_deployment(version), actor=EVIL)
    await plane.deployments.record_staging(made.deployment_id, succeeded=True)
    await plane.deployments.begin_production(made.deployment_id)
    await plane.deployments.record_production(made.deployment_id, succeeded=True)
    metrics = DeploymentMetrics(error_rate=0.01, latency_ms=12.0)
    return await plane.deployments.record_metrics(made.deployment_id, metrics)


def addresses(scene: Scene) -> dict[str, str]:
    """Return the address of each page, by its name."""
    return {
        "overview": "/ui/",
        "jobs": "/ui/jobs",
        "job that runs": f"/ui/jobs/{scene.running.job_id}",
        "job that waits": f"/ui/jobs/{scene.queued.job_id}",
        "dead letter": f"/ui/jobs/{scene.dead.job_id}",
        "job that failed": f"/ui/jobs/{scene.failed.job_id}",
        "queue": "/ui/queue?pool_name=linux",
        "dead letters": "/ui/dead-letters",
        "deployments": "/ui/deployments",
        "deployment": f"/ui/deployments/{scene.live.deployment_id}",
        "agents": "/ui/agents",
        "agent": "/ui/agents/builder-1",
        "events": "/ui/events",
        "events from the oldest": "/ui/events?cursor=oldest",
        "audit": "/ui/audit",
        "keys": "/ui/keys",
    }
