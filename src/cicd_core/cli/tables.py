"""Lists for people: a table per kind of entity, narrower on a narrow terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cicd_core.cli.screen import Screen, line, span, status, table, text
from cicd_core.model.choices import text_of
from cicd_core.model.job import JobState

if TYPE_CHECKING:
    from rich.table import Table

    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.model.agent import Agent
    from cicd_core.model.deployment import Deployment
    from cicd_core.model.job import Job
    from cicd_core.persistence.listing import Page
    from cicd_core.queueing.why import Reason


def show_page(
    screen: Screen, shown: Table, page: Page[Any], *, nothing: str, again: str = ""
) -> None:
    """Write a table of a page, and how to get the next one.

    Args:
        screen: the output.
        shown: the table.
        page: its entities.
        nothing: the message for an empty list.
        again: the options that the next call needs besides the cursor.
    """
    if not page.items:
        screen.show(nothing if page.cursor is None else "nothing on this page")
    else:
        screen.show(shown)
    if page.unreadable:
        screen.show(f"unreadable, skipped: {', '.join(page.unreadable)}")
    if page.cursor is not None:
        screen.show(f"more:{again} --cursor {page.cursor}")


def jobs_table(screen: Screen, jobs: Sequence[Job]) -> Table:
    """Return a table of jobs."""
    wide = ("AGENT", "TOOK", "COMMIT") if screen.wide else ()
    shown = table(
        *("JOB", "TYPE", "STATUS", "PRIORITY", "POOL", "TRY", "AGE"),
        *wide,
        right=("TRY", "TOOK"),
        fold=("TYPE", "POOL", "AGENT"),
    )
    for job in jobs:
        cells = [
            text(job.job_id),
            text(job.job_type),
            status(job.state.value),
            status(text_of(job.priority)),
            text(job.pool_name),
            text(f"{job.attempts_used}/{job.max_attempts}"),
            text(screen.age(job.created_at)),
        ]
        if screen.wide:
            commit = job.git.commit_sha or job.git.ref or "" if job.git else ""
            cells += [text(job.agent_id), text(span(_took(screen, job))), text(commit[:12])]
        shown.add_row(*cells)
    return shown


def deployments_table(screen: Screen, deployments: Sequence[Deployment]) -> Table:
    """Return a table of deployments."""
    wide = ("BY", "COMMIT") if screen.wide else ()
    shown = table(
        *("DEPLOYMENT", "SERVICE", "VERSION", "STATUS", "WHERE", "AGE"),
        *wide,
        fold=("SERVICE", "VERSION", "WHERE", "BY"),
    )
    for each in deployments:
        cells = [
            text(each.deployment_id),
            text(each.service_name),
            line(each.version),
            status(each.status.value),
            text(each.environment),
            text(screen.age(each.created_at)),
        ]
        if screen.wide:
            commit = each.git.commit_sha or each.git.ref or "" if each.git else ""
            cells += [line(each.created_by), text(commit[:12])]
        shown.add_row(*cells)
    return shown


def agents_table(screen: Screen, agents: Sequence[Agent]) -> Table:
    """Return a table of agents."""
    wide = ("TYPES", "HOST", "WHY") if screen.wide else ()
    shown = table(
        "AGENT",
        "STATUS",
        "POOL",
        "SLOTS",
        "LABELS",
        "HEARD",
        *wide,
        right=("SLOTS",),
        fold=("AGENT", "POOL", "LABELS", "TYPES", "HOST"),
    )
    for agent in agents:
        cells = [
            text(agent.agent_id),
            status(agent.status.value),
            text(agent.pool_name),
            text(agent.slots),
            text(", ".join(agent.labels)),
            text(screen.age(agent.heartbeat_at)),
        ]
        if screen.wide:
            types = "any" if agent.job_types is None else ", ".join(agent.job_types)
            cells += [text(types), line(agent.hostname), line(agent.status_reason)]
        shown.add_row(*cells)
    return shown


def pools_table(screen: Screen, pools: Sequence[PoolStatus]) -> Table:
    """Return a table of pools with their counts."""
    wide = ("TARGET", "WARM", "REGION", "ZONE", "WHY") if screen.wide else ()
    numbers = ("AGENTS", "MIN", "MAX", "READY", "LEASED", "DELAYED", "TARGET", "WARM")
    shown = table("POOL", "HEALTH", *numbers[:6], *wide, right=numbers, fold=("POOL",))
    for each in pools:
        pool, load, fleet = each.pool, each.load, each.fleet
        cells = [
            text(pool.pool_name),
            status(each.condition.health.value),
            text(f"{fleet.serving}/{fleet.total}"),
            text(pool.min_agents),
            text(pool.max_agents),
            text(load.ready),
            text(load.leased),
            text(load.delayed),
        ]
        if screen.wide:
            reason = line(each.condition.reason)
            numbers_wide = [text(pool.target_agents), text(pool.warm_agents)]
            cells += [*numbers_wide, text(pool.region), text(pool.zone), reason]
        shown.add_row(*cells)
    return shown


def show_reasons(screen: Screen, reasons: Sequence[Reason]) -> None:
    """Write why a job is not picked up, and how to fix it."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for number, reason in enumerate(reasons, start=1):
        grid.add_row(f"{number}. {reason.code.value}", text(reason.message))
        grid.add_row("", text(reason.what_to_do, "green"))
    screen.show(grid)


def _took(screen: Screen, job: Job) -> float | None:
    """Return the duration of the last attempt, so far or final, in seconds."""
    if job.state is JobState.RUNNING and job.started_at is not None:
        return max(0.0, (screen.now - job.started_at).total_seconds())
    return job.duration_seconds
