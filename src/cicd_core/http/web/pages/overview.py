"""The first page: running jobs, waiting jobs, failures of today, and recent history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.http.web.plots import ended_by_hour, runs_by_day, waits_by_day
from cicd_core.model.job import JobStatus, QueueStatus
from cicd_core.model.principal import Scope

if TYPE_CHECKING:
    from cicd_core.http.web.visit import Visit

#: Number of running jobs, and of agents, that are shown.
_RUNNING: Final = 8
_AGENTS: Final = 40


async def overview(visit: Visit) -> dict[str, Any]:
    """Return the numbers, the plots, and the newest of each."""
    plane = visit.plane
    summary = await plane.dashboard.summary()
    stats = await plane.queue.stats()
    activity = await plane.dashboard.activity()
    running = await plane.jobs.list(status=JobStatus.RUNNING, limit=_RUNNING)
    agents = await plane.agents.list(limit=_AGENTS) if visit.may(Scope.AGENTS_READ) else None
    plots = {
        "ended": ended_by_hour(activity.hours),
        "waits": waits_by_day(activity.days),
        "runs": runs_by_day(activity.days),
    }
    return {
        **plots,
        # Jobs expire, but their ends are still counted.
        "is_fresh": not summary.recent_jobs and all(plot.most is None for plot in plots.values()),
        "summary": summary,
        "stats": stats,
        "running": running,
        "claimed": stats.depth[QueueStatus.CLAIMED],
        "dead": stats.depth[QueueStatus.DEAD_LETTERED],
        "agents": agents,
        "at_work": 0 if agents is None else sum(agent.takes_work for agent in agents.items),
        "said": (
            f"{summary.jobs_running} running, {stats.ready} ready, "
            f"{summary.failed_today} failed today"
        ),
    }
