"""Collecting the facts that explain why a job is not being picked up; the rules are in queueing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.background import together
from cicd_core.control_plane.statistics import count_pool, read_held
from cicd_core.model.agent import AgentStatus
from cicd_core.model.job import JobState
from cicd_core.persistence.collections import JOBS, POOLS, READY
from cicd_core.queueing.lanes import lane_of, parse_lane, serves
from cicd_core.queueing.rank import rank_of
from cicd_core.queueing.why import JobContext, explain
from cicd_core.store.records import Partition, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.model.agent import Agent
    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.queueing.why import Reason

#: The maximum count of jobs ahead, in its own lane and in all others together.
_COUNTED = 500
#: Number of offline agents examined, the newest first.
_SILENT_AGENTS = 50


async def explain_job(
    context: Context, lanes: LaneBook, agents: AgentService, job: Job
) -> tuple[Reason, ...]:
    """Return why a job is not being picked up, the most important reason first."""
    present = await agents.present(job.pool_name)
    offline = await agents.list(
        pool_name=job.pool_name, status=AgentStatus.OFFLINE, limit=_SILENT_AGENTS
    )
    in_pool = (*present.agents, *offline.items)
    listed = await lanes.of_pool(job.pool_name)
    own = lane_of(job).key
    held = await read_held(context, job.pool_name, await count_pool(context, job.pool_name, listed))
    nothing = dict.fromkeys((item.agent_id for item in in_pool), 0) if held.complete else {}
    in_lane, elsewhere, more = 0, 0, False
    if job.state is JobState.QUEUED and job.ready_at is not None:
        mine = rank_of(job)
        in_lane, more = await _ahead(context, own, mine, _COUNTED)
        shared = _shared(job, listed, in_pool)
        each_up_to = max(1, _COUNTED // max(1, len(shared)))
        for number, behind in await together(
            [partial(_ahead, context, lane, mine, each_up_to) for lane in shared]
        ):
            elsewhere, more = elsewhere + number, more or behind
    found = await context.store.get(POOLS.name, [job.pool_name])
    return explain(
        job,
        JobContext(
            now=await context.calendar(),
            pool_exists=bool(found),
            lane_listed=own in listed,
            agents=in_pool,
            more_offline=max(0, present.offline - len(offline.items)),
            unreadable=sum(map(len, present.unreadable.values())),
            held=nothing | dict(held.by_agent),
            ahead_in_lane=in_lane,
            ahead_elsewhere=elsewhere,
            more_ahead=more,
        ),
    )


def _shared(job: Job, listed: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    """Return the other lanes that agents for this job also serve."""
    own = lane_of(job)
    able = [agent for agent in agents if serves(own, agent.labels, agent.job_types)]
    return [
        key
        for key in listed
        if key != own.key
        and any(serves(parse_lane(key), item.labels, item.job_types) for item in able)
    ]


async def _ahead(context: Context, lane: str, mine: str, most: int) -> tuple[int, bool]:
    query = Query(partition=Partition(JOBS.name, READY, lane), limit=most, before=mine)
    page = await context.store.page(query)
    return len(page.records), page.more
