"""A warning of ``enqueue``: no live agent can run the job."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from cicd_core.errors import CicdError
from cicd_core.model.agent import AgentStatus
from cicd_core.model.amounts import amount
from cicd_core.model.job import Job, JobState
from cicd_core.queueing.lanes import Lane, lane_of, serves

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.agent import Agent

#: Statuses of agents that claim jobs, or will soon.
_LIVE: Final = (AgentStatus.HEALTHY, AgentStatus.DEGRADED, AgentStatus.REGISTERING)
#: Number of agents read per status.
_READ: Final = 500
#: Maximum number of warnings per command.
_MOST: Final = 5


async def warn_of_unserved(plane: ControlPlane, jobs: Sequence[Job]) -> None:
    """Warn on stderr of jobs that no live agent of their pool can run."""
    waiting = [lane_of(job) for job in jobs if job.state is JobState.QUEUED]
    try:
        found = [
            warning
            for pool_name, lanes in _by_pool(waiting).items()
            for warning in await _warnings(plane, pool_name, lanes)
        ]
    except CicdError:  # the jobs are enqueued, as requested
        return
    for warning in found[:_MOST]:
        sys.stderr.write(f"warning: {warning}\n")
    if found[_MOST:]:
        sys.stderr.write(f"({amount(len(found[_MOST:]), 'more warning')} not shown)\n")


def _by_pool(lanes: Iterable[Lane]) -> dict[str, list[Lane]]:
    """Return distinct lanes by the pool that they are in."""
    pools: dict[str, list[Lane]] = {}
    for lane in dict.fromkeys(lanes):
        pools.setdefault(lane.pool_name, []).append(lane)
    return pools


async def _warnings(plane: ControlPlane, pool_name: str, lanes: Sequence[Lane]) -> list[str]:
    """Return the warnings for the lanes of a pool."""
    live: list[Agent] = []
    for status in _LIVE:
        page = await plane.agents.list(pool_name=pool_name, status=status, limit=_READ)
        if page.unreadable or page.cursor is not None:  # an unread agent may serve any lane
            return []
        live += page.items
    if not live:
        pool = "" if pool_name == "default" else f" --pool {pool_name}"
        start = f"start one, such as `cicd-core agent{pool}`"
        return [f"no agent of pool {pool_name} is alive, so the job waits: {start}"]
    return [
        _of_lane(lane, live)
        for lane in lanes
        if not any(serves(lane, agent.labels, agent.job_types) for agent in live)
    ]


def _of_lane(lane: Lane, live: Sequence[Agent]) -> str:
    handled = sorted({name for agent in live for name in agent.job_types or ()})
    labels = f" with the labels {', '.join(lane.labels)}" if lane.labels else ""
    if lane.job_type in handled or any(agent.job_types is None for agent in live):
        why = f"no agent for {lane.job_type} has all of them"
    else:
        why = f"the pool's agents handle {', '.join(handled)}"
    return (
        f"no live agent of pool {lane.pool_name} handles jobs of type {lane.job_type}{labels} "
        f"({why}), so the job waits: start an agent that does"
    )
