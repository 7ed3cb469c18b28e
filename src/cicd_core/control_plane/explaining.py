"""Collecting the facts that explain why a job is not being picked up; the rules are in queueing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cicd_core.model.job import JobState
from cicd_core.queueing.lanes import lane_of, parse_lane, serves
from cicd_core.queueing.rank import rank_of
from cicd_core.queueing.why import Surroundings, explain
from cicd_core.store.collections import JOBS, LEASED, POOLS, READY, TIMERS, job_timer
from cicd_core.store.records import Partition, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.control_plane.writer import Writer
    from cicd_core.model.agent import Agent
    from cicd_core.model.job import Job
    from cicd_core.queueing.why import Reason

#: Counting what is ahead, and what agents hold, stops here.
_COUNTED = 500


async def explain_job(
    writer: Writer, lanes: LaneBook, agents: AgentService, job: Job
) -> tuple[Reason, ...]:
    """Return why a job is not being picked up, the most important reason first."""
    in_pool = await agents.in_pool(job.pool_name)
    listed = await lanes.of_pool(job.pool_name)
    own = lane_of(job).key
    held = await _held(writer, job.pool_name, in_pool)
    in_lane, elsewhere, more = 0, 0, False
    if job.state is JobState.QUEUED and job.ready_at is not None:
        mine = rank_of(job)
        in_lane, more = await _ahead(writer, own, mine)
        for lane in _shared(job, listed, in_pool):
            number, behind = await _ahead(writer, lane, mine)
            elsewhere, more = elsewhere + number, more or behind
    found = await writer.patiently(lambda: writer.store.get(POOLS.name, [job.pool_name]))
    return explain(
        job,
        Surroundings(
            now=await writer.now(),
            pool_exists=bool(found),
            lane_listed=own in listed,
            agents=in_pool,
            held=held,
            ahead_in_lane=in_lane,
            ahead_elsewhere=elsewhere,
            more_ahead=more,
        ),
    )


def _shared(job: Job, listed: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    """Return the other lanes that the agents which can run this job serve too."""
    own = lane_of(job)
    able = [each for each in agents if serves(own, each.labels, each.job_types)]
    return [
        key
        for key in listed
        if key != own.key
        and any(serves(parse_lane(key), each.labels, each.job_types) for each in able)
    ]


async def _ahead(writer: Writer, lane: str, mine: str) -> tuple[int, bool]:
    query = Query(partition=Partition(JOBS.name, READY, lane), limit=_COUNTED, before=mine)
    page = await writer.patiently(lambda: writer.store.page(query))
    return len(page.records), page.more


async def _held(writer: Writer, pool_name: str, agents: Sequence[Agent]) -> dict[str, int]:
    """Return how many jobs each agent holds; where not all were counted, only those seen."""
    leased = Partition(JOBS.name, TIMERS, job_timer(LEASED, pool_name))
    query = Query(partition=leased, limit=_COUNTED)
    page = await writer.patiently(lambda: writer.store.page(query))
    held = Counter(each.attributes.get("agent_id", "") for each in page.records)
    nothing = {} if page.more else {each.agent_id: 0 for each in agents}
    return nothing | held
