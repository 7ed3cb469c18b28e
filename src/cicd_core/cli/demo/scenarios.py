"""Scenes of an ordinary day: work on every commit, a deployment, a delay, the same key twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from cicd_core.cli.demo.context import SceneFailed, Stage, require
from cicd_core.cli.demo.repository import Commit
from cicd_core.cli.demo.state import Scene
from cicd_core.errors import IdempotencyConflict
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
)
from cicd_core.model.job import RESTING_STATES, Priority
from cicd_core.queueing.why import ReasonCode
from cicd_core.values import evolve


async def work_on_commits(stage: Stage, job_ids: list[str]) -> None:
    """Follow the jobs on all commits to their end; a failed compilation is not an error."""
    verdicts: Counter[str] = Counter()
    for job_id in job_ids:
        job = await stage.until(job_id, lambda job: job.state in RESTING_STATES, "to its end")
        verdicts[job.state.value.replace("_", " ")] += 1
    commits = len(stage.repository.commits)
    by_state = ", ".join(f"{number} {state}" for state, number in verdicts.items())
    stage.board.done(
        Scene.WORK,
        f"{len(job_ids)} jobs on {commits} commit{'s' if commits > 1 else ''}: {by_state}",
        jobs=len(job_ids),
        commits=commits,
        verdicts=verdicts,
    )


async def deploy(stage: Stage, build_job_id: str) -> None:
    """Take the newest commit through staging and production, measure it, and roll it back."""
    newest, *older = stage.repository.commits
    before = await _live(stage, older[0], None) if older else None
    there = await _live(stage, newest, build_job_id)
    stats = await stage.plane.queue.stats()
    metrics = DeploymentMetrics(
        error_rate=stats.failure_rate or 0.0,
        latency_ms=round((stats.average_run_seconds or 0.0) * 1000, 3),
    )
    await stage.plane.deployments.record_metrics(there.deployment_id, metrics)
    stage.board.say(
        Scene.DEPLOYMENT,
        f"{newest.short} is live; {metrics.error_rate:.0%} of the queue's jobs failed: roll back",
    )
    await stage.look()
    previous = older[0] if before is not None else None
    back = await stage.run(stage.workshop.switch("rollback", newest, release=previous))
    ended = await stage.plane.deployments.roll_back(
        there.deployment_id,
        reason=f"{metrics.error_rate:.1%} of jobs failed, a rehearsal; job {back.job_id}",
        target=None if before is None else before.deployment_id,
        actor="demo",
    )
    require(ended.status is DeploymentStatus.ROLLED_BACK, f"it is {ended.status.value}")
    seen = stage.place.site / "current"
    shown = seen.readlink().name if seen.is_symlink() else None
    require(shown == (previous and previous.sha), f"the site shows {shown}")
    stage.board.done(
        Scene.DEPLOYMENT,
        f"{newest.short} to staging, to production, and back to "
        f"{previous.short if previous else 'nothing'}",
        deployment_id=ended.deployment_id,
        path=[step.target for step in ended.history],
        jobs={
            "build": ended.build_job_id,
            "staging": ended.staging_job_id,
            "production": ended.production_job_id,
            "rollback": back.job_id,
        },
        metrics=ended.metrics,
        rollback_target=ended.rollback_target,
        rollback_reason=ended.rollback_reason,
    )


async def _live(stage: Stage, commit: Commit, build_job_id: str | None) -> Deployment:
    """Take a commit to production, each step with a job."""
    deployments, say = stage.plane.deployments, stage.board.say
    spec = DeploymentSpec(
        service_name=stage.repository.name,
        version=commit.sha,
        environment="demo",
        git=stage.repository.context(commit),
        build_job_id=build_job_id,
    )
    made = await deployments.create(spec, actor="demo")
    key = made.deployment_id
    staging = await stage.enqueue(stage.workshop.stage(commit))
    await deployments.begin_staging(key, staging_job_id=staging.job_id, actor="demo")
    say(Scene.DEPLOYMENT, f"{commit.short} goes to staging")
    staged = await stage.ended(staging.job_id)
    await deployments.record_staging(key, succeeded=staged.exit_code == 0, actor=staged.job_id)
    switch = stage.workshop.switch("switch", commit, release=commit)
    production = await stage.enqueue(switch)
    await deployments.begin_production(key, production_job_id=production.job_id, actor="demo")
    say(Scene.DEPLOYMENT, f"{commit.short} goes to production")
    switched = await stage.ended(production.job_id)
    return await deployments.record_production(
        key, succeeded=switched.exit_code == 0, actor=switched.job_id
    )


async def wait_for_its_time(stage: Stage) -> None:
    """Enqueue a job for later: no agent gets it before."""
    now = await stage.plane.now()
    run_at = now + timedelta(seconds=stage.pace.delay)
    work = stage.workshop.small("later", run_at=run_at)
    job_id = (await stage.enqueue(work)).job_id
    reasons = await stage.plane.jobs.why(job_id)
    require(
        any(reason.code is ReasonCode.DELAYED for reason in reasons),
        f"the reasons for the wait are {[reason.code.value for reason in reasons]}",
    )
    stage.board.say(Scene.DELAY, f"{work.name} must not run before {run_at:%H:%M:%S} UTC")
    ended = await stage.ended(job_id)
    claimed_at = ended.attempts[0].claimed_at
    require(claimed_at >= run_at, f"it was claimed at {claimed_at}, before {run_at}")
    late = (claimed_at - run_at).total_seconds()
    stage.board.done(
        Scene.DELAY,
        f"{work.name} was claimed {late:.2f} s after its time, not earlier",
        job_id=job_id,
        run_at=run_at,
        claimed_at=claimed_at,
        state=ended.state,
    )


async def enqueue_twice(stage: Stage) -> None:
    """Enqueue twice with one idempotency key: one job; then with another body: rejected."""
    # It includes the pool: another demo on the same store creates its own report.
    key = f"report-{stage.workshop.pool_name}-{stage.repository.commits[0].sha}"
    work = stage.workshop.small("report", idempotency_key=key)
    first = await stage.enqueue(work)
    again = await stage.enqueue(work)
    require(first.job_id == again.job_id, f"two jobs, {first.job_id} and {again.job_id}")
    other = evolve(work, spec=evolve(work.spec, priority=Priority.LOW))
    try:
        await stage.plane.queue.enqueue(other.spec, actor="demo")
    except IdempotencyConflict as conflict:
        refusal = str(conflict)
    else:
        raise SceneFailed("another body with the same key was accepted")
    ended = await stage.ended(first.job_id)
    stage.board.done(
        Scene.SAME_KEY,
        "two enqueues with one key make one job; another body is rejected",
        job_id=first.job_id,
        refused=refusal,
        state=ended.state,
    )
