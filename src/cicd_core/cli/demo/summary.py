"""The result of a demo: for people, and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from cicd_core.audit import AuditReport
from cicd_core.cli.audit import audit_parts
from cicd_core.cli.demo.context import Stage
from cicd_core.cli.demo.live import scene_lines
from cicd_core.cli.demo.state import Course
from cicd_core.model.amounts import amount
from cicd_core.model.job import Job


def is_good(stage: Stage, report: AuditReport) -> bool:
    """Return whether all scenes succeeded, and all checks of the audit passed."""
    scenes = all(state.course is Course.DONE for state in stage.board.scenes.values())
    return scenes and report.ok


def ending_parts(
    stage: Stage, report: AuditReport, *, seconds: float, plain: bool
) -> Iterator[RenderableType]:
    """Yield the final report for people.

    Args:
        stage: the context of the demo.
        report: the report of its audit.
        seconds: the duration.
        plain: whether to use only ASCII.
    """
    yield scene_lines(stage.board, plain=plain)
    yield Text()
    yield from audit_parts(report)
    yield _summary(stage, report, seconds)
    played = stage.board.scenes.items()
    failed = [
        *(scene.value for scene, state in played if state.course is not Course.DONE),
        *(f"check {check.name.value}" for check in report.checks if check.fault_count),
    ]
    if failed:
        yield Text(f"FAILED: {', '.join(failed)}", "bold red")
    else:
        yield Text("ok: every enqueued job is accounted for", "bold green")


def document(
    stage: Stage, report: AuditReport, jobs: list[Job], *, url: str, seconds: float
) -> dict[str, Any]:
    """Return the final report for machines.

    Args:
        stage: the context of the demo.
        report: the report of its audit.
        jobs: all jobs of the demo, in their current state.
        url: the URL of the store.
        seconds: the duration.
    """
    repository = stage.repository
    return {
        "ok": is_good(stage, report),
        "seconds": round(seconds, 3),
        "repository": {
            "path": str(repository.path),
            "branch": repository.branch,
            "commits": [
                {"sha": each.sha, "author": each.author, "subject": each.subject}
                for each in repository.commits
            ],
        },
        "store": url,
        "kept": str(stage.place.root) if stage.place.kept else None,
        "scenes": {
            scene.name.lower(): {"result": state.course, "summary": state.text, **state.facts}
            for scene, state in stage.board.scenes.items()
        },
        "agents": [
            {"agent_id": each.agent_id, "pid": each.pid, "exit_code": each.exit_code}
            for each in stage.agents.values()
        ],
        "jobs": [_job(job, stage.jobs[job.job_id]) for job in jobs],
        "audit": report,
    }


def _job(job: Job, name: str) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "name": name,
        "priority": job.priority,
        "commit": job.git.commit_sha if job.git else None,
        "state": job.state,
        "exit_code": job.exit_code,
        "fences": [attempt.fence for attempt in job.attempts],
        "agents": [attempt.agent_id for attempt in job.attempts],
        "duration_seconds": job.duration_seconds,
    }


def _summary(stage: Stage, report: AuditReport, seconds: float) -> Text:
    killed = sum((each.exit_code or 0) < 0 for each in stage.agents.values())
    states = sorted(report.jobs_by_state.items(), key=lambda pair: -pair[1])
    by_state = ", ".join(f"{number} {state.value.replace('_', ' ')}" for state, number in states)
    return Text(
        f"{len(stage.jobs)} jobs enqueued, {report.jobs} found: {by_state}\n"
        f"{amount(report.attempts, 'attempt')}, {amount(report.retries, 'retry', 'retries')}, "
        f"{amount(report.lost_leases, 'lost lease')}, {amount(killed, 'agent')} killed, "
        f"{amount(report.events, 'event')}, {seconds:.1f} s"
    )
