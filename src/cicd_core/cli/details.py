"""A job, deployment, agent or pool in detail, for people."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from cicd_core.cli.screen import Screen, facts, instant, line, span, status, table, text
from cicd_core.model.amounts import amount
from cicd_core.model.choices import text_of
from cicd_core.redaction import redacted, redacted_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.model.agent import Agent
    from cicd_core.model.deployment import Deployment, DeploymentTransition
    from cicd_core.model.git import GitContext
    from cicd_core.model.job import Job, Transition
    from cicd_core.queueing.scaling import ScalingSignal


def show_job(screen: Screen, job: Job) -> None:
    """Write all details of a job."""
    screen.show(facts([*_job_facts(screen, job), *_git_facts(job.git), *_work_facts(job)]))
    if job.attempts:
        screen.show("", text("attempts", "bold"), _attempts(job))
    screen.show("", text("history", "bold"), _history(job.history))
    if job.logs_summary:
        screen.show("", text("the end of its log", "bold"), text(job.logs_summary.rstrip()))


def show_deployment(screen: Screen, each: Deployment) -> None:
    """Write all details of a deployment."""
    rows: list[tuple[str, object]] = [
        ("deployment", each.deployment_id),
        ("service", each.service_name),
        ("version", each.version),
        ("status", status(each.status.value)),
        ("environment", each.environment),
        ("created", _moment(screen, each.created_at, each.created_by)),
        ("build job", each.build_job_id),
        ("test job", each.test_job_id),
        ("deploy job", each.deploy_job_id),
        ("staging job", each.staging_job_id),
        ("production job", each.production_job_id),
        ("failed in", each.failed_stage),
        ("error", each.error_message),
        ("rolled back to", each.rollback_target),
        ("because", each.rollback_reason),
        *_metrics_facts(screen, each),
        *_git_facts(each.git),
        *_metadata_facts(each.metadata.items()),
    ]
    screen.show(facts(rows), "", text("history", "bold"), _history(each.history))


def _stuck_facts(screen: Screen, agent: Agent) -> list[tuple[str, object]]:
    """Return the jobs whose stopped handlers still run."""
    return [
        ("stuck", f"job {job.job_id} since {_moment(screen, job.since)}, stopped by {job.reason}")
        for job in agent.stuck
    ]


def show_agent(screen: Screen, agent: Agent) -> None:
    """Write all details of an agent."""
    rows: list[tuple[str, object]] = [
        ("agent", agent.agent_id),
        ("status", status(agent.status.value)),
        ("because", agent.status_reason),
        ("draining because", agent.drain_reason),
        ("forced to", agent.forced_status),
        ("pool", agent.pool_name),
        ("labels", ", ".join(agent.labels)),
        ("job types", "any" if agent.job_types is None else ", ".join(agent.job_types)),
        ("slots", agent.slots),
        *_stuck_facts(screen, agent),
        ("host", agent.hostname),
        ("version", agent.version),
        ("first registered", _moment(screen, agent.created_at)),
        ("registered", _moment(screen, agent.registered_at)),
        ("last heard of", _moment(screen, agent.heartbeat_at)),
        ("load", _load(agent)),
        *_metadata_facts(agent.metadata.items()),
    ]
    screen.show(facts(rows))


def show_pool(screen: Screen, each: PoolStatus) -> None:
    """Write all details of a pool, with its current condition."""
    pool, load = each.pool, each.load
    rows: list[tuple[str, object]] = [
        ("pool", pool.pool_name),
        ("description", pool.description),
        ("health", status(each.condition.health.value)),
        ("because", each.condition.reason),
        ("agents", each.fleet.described() or "none"),
        ("unreadable", ", ".join(each.fleet.unreadable) or None),
        ("slots", each.fleet.slots),
        ("bounds", f"{pool.min_agents} to {amount(pool.max_agents, 'agent')}"),
        ("target", pool.target_agents),
        ("warm agents", pool.warm_agents or None),
        ("slots per agent", pool.slots_per_agent),
        ("jobs", f"{load.ready} ready, {load.leased} leased, {load.delayed} delayed"),
        ("region", pool.region),
        ("zone", pool.zone),
        ("created", _moment(screen, pool.created_at)),
        ("updated", _moment(screen, pool.updated_at)),
        *_metadata_facts(pool.metadata.items()),
    ]
    screen.show(facts(rows))


def show_scaling(screen: Screen, signal: ScalingSignal) -> None:
    """Write the scaling signal of a pool, with its reason."""
    change = f"{signal.change:+d}" if signal.change else "no change"
    rows: list[tuple[str, object]] = [
        ("pool", signal.pool_name),
        ("desired", f"{amount(signal.desired, 'agent')} ({change})"),
        ("current", amount(signal.current, "agent")),
        ("decided by", signal.term),
        ("because", signal.reason),
    ]
    screen.show(facts(rows))


def _job_facts(screen: Screen, job: Job) -> Iterable[tuple[str, object]]:
    place = "" if job.agent_id is None else f" on {job.agent_id}"
    took = "" if job.duration_seconds is None else f", took {span(job.duration_seconds)}"
    return [
        ("job", job.job_id),
        ("type", job.job_type),
        ("status", Text.assemble(status(job.state.value), text(f"{place}{took}"))),
        ("verdict", None if job.verdict is None else status(job.verdict.value)),
        ("exit code", job.exit_code),
        ("error", job.error_message),
        ("cancel requested", _moment(screen, job.cancel_requested_at, job.cancel_reason)),
        ("progress", _progress(screen, job)),
        ("priority", status(text_of(job.priority))),
        ("pool", job.pool_name),
        ("labels", ", ".join(job.labels)),
        ("created", _moment(screen, job.created_at)),
        ("not before", _moment(screen, job.run_at)),
        ("deadline", _moment(screen, job.deadline_at)),
        ("started", _moment(screen, job.started_at)),
        ("ended", _moment(screen, job.completed_at)),
        ("attempts", _allowance(job)),
        ("fence", job.fence or None),
        ("time limit", f"{span(job.timeout_seconds)} an attempt"),
        ("delivery", job.delivery.value.replace("_", " ")),
        ("idempotency key", job.idempotency_key),
        ("logs", job.logs_url),
    ]


def _work_facts(job: Job) -> Iterable[tuple[str, object]]:
    payload = redacted(json.dumps(job.payload, ensure_ascii=False)) if job.payload else None
    rows = [("payload", payload), ("tags", ", ".join(job.tags))]
    return [*rows, *_metadata_facts(job.metadata.items())]


def _git_facts(git: GitContext | None) -> Iterable[tuple[str, object]]:
    if git is None:
        return []
    return [
        ("repository", redacted_url(git.repo)),
        ("ref", git.ref),
        ("commit", git.commit_sha),
        ("message", None if git.commit_message is None else line(git.commit_message)),
        ("author", git.author),
        ("checkout", ", ".join(_checkout_options(git)) or None),
    ]


def _checkout_options(git: GitContext) -> Iterable[str]:
    if git.depth is not None:
        yield "whole history" if git.depth == 0 else f"depth {git.depth}"
    if git.filter is not None:
        yield f"filter {git.filter.value}"
    if git.sparse_paths:
        yield f"sparse {' '.join(git.sparse_paths)}"
    if git.submodules is not None:
        yield f"submodules {git.submodules.value}"
    if git.lfs is not None:
        yield "lfs" if git.lfs else "no lfs"


def _metadata_facts(items: Iterable[tuple[str, str]]) -> Iterable[tuple[str, object]]:
    return [("metadata", "\n".join(f"{name}={value}" for name, value in items))]


def _metrics_facts(screen: Screen, each: Deployment) -> Iterable[tuple[str, object]]:
    seen = each.metrics
    if seen is None:
        return []
    return [
        ("error rate", None if seen.error_rate is None else f"{seen.error_rate:.2%}"),
        ("latency", None if seen.latency_ms is None else f"{seen.latency_ms:g} ms"),
        (
            "requests",
            None if seen.requests_per_second is None else f"{seen.requests_per_second:g}/s",
        ),
        ("measured", _moment(screen, seen.recorded_at)),
    ]


def _allowance(job: Job) -> str:
    retried = ", ".join(job.retry.retry_on) or "nothing"
    claims = "" if job.attempt == job.attempts_used else f"; claimed {amount(job.attempt, 'time')}"
    return f"{job.attempts_used} of {job.max_attempts} used, retried on {retried}{claims}"


def _progress(screen: Screen, job: Job) -> str | None:
    progress = job.progress
    if progress is None:
        return None
    percent = "" if progress.percent is None else f"{progress.percent:g}% "
    return f"{percent}{progress.message or ''} ({screen.age(progress.at)} ago)"


def _load(agent: Agent) -> str | None:
    seen = agent.metrics
    if seen is None:
        return None
    named = (
        ("cpu", seen.cpu_percent),
        ("memory", seen.memory_percent),
        ("disk", seen.disk_percent),
    )
    return ", ".join(f"{name} {value:.0f}%" for name, value in named if value is not None)


def _moment(screen: Screen, value: datetime | None, why: str | None = None) -> str | None:
    if value is None:
        return None
    age = screen.age(value)
    distance = age if age.startswith("in ") else f"{age} ago"
    return f"{instant(value)} ({distance})" + (f", {why}" if why else "")


def _attempts(job: Job) -> Table:
    shown = table(
        "TRY",
        "AGENT",
        "FENCE",
        "VERDICT",
        "EXIT",
        "TOOK",
        "WHY",
        right=("TRY", "EXIT"),
        fold=("AGENT",),
    )
    for each in job.attempts:
        ended = each.ended_at
        began = each.started_at or each.claimed_at
        verdict = "" if ended is None else (each.verdict or "released")
        shown.add_row(
            text(each.number),
            text(each.agent_id),
            text(each.fence),
            status(verdict),
            text(each.exit_code),
            text("" if ended is None else span((ended - began).total_seconds())),
            line(each.reason),
        )
    return shown


def _history(steps: Sequence[Transition] | Sequence[DeploymentTransition]) -> Table:
    shown = table("WHEN (UTC)", "STATUS", "BY", "WHY")
    for each in steps:
        at = f"{each.at:%m-%d %H:%M:%S.%f}"[:-3]
        shown.add_row(text(at), status(each.target.value), line(each.actor), line(each.reason))
    return shown
