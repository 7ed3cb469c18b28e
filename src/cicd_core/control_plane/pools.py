"""Pools: how large they may be, how they are, and how many agents they should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cicd_core.control_plane.listing import Listing, Page, read_page
from cicd_core.control_plane.statistics import read_load
from cicd_core.errors import NotFound, TooManyConflicts
from cicd_core.lifecycle import pools as lifecycle
from cicd_core.model.agent import AgentStatus
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.instants import from_micros
from cicd_core.model.job import JobStatus
from cicd_core.model.pool import Pool, PoolSpec, checked
from cicd_core.persistence.collections import (
    AGENTS,
    BY_KIND,
    BY_POOL,
    JOBS,
    POOL_KIND,
    POOLS,
    job_statuses,
    of_pool,
)
from cicd_core.queueing.scaling import (
    Fleet,
    Load,
    PoolCondition,
    ScalingSignal,
    fleet_of,
    pool_health,
    scaling_signal,
)
from cicd_core.store.records import Committed, Partition

#: The jobs that have not ended.
_OPEN = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository


@frozen(kw_only=True)
class PoolStatus:
    """A pool, counted now."""

    pool: Pool
    fleet: Fleet
    load: Load
    condition: PoolCondition


class PoolService:
    """Pools. Their counts are never stored: they are counted when somebody asks."""

    def __init__(
        self,
        context: Context,
        repository: Repository[Pool],
        lanes: LaneBook,
        agents: AgentService,
    ) -> None:
        """Take the way to the store, the pools' records, the lanes and the agents."""
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._agents = agents

    async def put(self, spec: PoolSpec, *, by: str = "operator") -> Pool:
        """Create a pool, or replace all that it says.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        wanted = checked(spec)

        def decide(pool: Pool | None, now: datetime) -> Decision[Pool]:
            return lifecycle.put(pool, spec=wanted, now=now, by=by)

        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            known = (await self._repository.get_many([wanted.pool_name])).get(wanted.pool_name)
            if known is not None:
                changed = await self._repository.change(wanted.pool_name, decide, before=known)
                return changed.value
            time = await self._context.store.now()
            made = await self._repository.create(
                decide(None, from_micros(time.calendar)), time=time
            )
            if made is not None:
                return made.value
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"pool {wanted.pool_name}"], attempts)

    async def get(self, pool_name: str) -> Pool:
        """Return the pool.

        Raises:
            NotFound: there is no such pool.
        """
        return (await self._repository.get(check_name("pool_name", pool_name))).value

    async def exists(self, pool_name: str) -> bool:
        """Return whether the pool has a record; work may be enqueued for one that has none."""
        return pool_name in await self._repository.get_many([check_name("pool_name", pool_name)])

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Pool]:
        """Return a page of pools, the newest first."""
        listing = Listing(
            partitions=(Partition(POOLS.name, BY_KIND, POOL_KIND),), load=self._repository.load
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def delete(self, pool_name: str, *, by: str = "operator", force: bool = False) -> None:
        """Delete an empty pool; it may be put again. One that can't be read is deleted as well.

        Args:
            pool_name: the pool's.
            by: who asks.
            force: delete it although it has jobs that have not ended, or agents that are not gone
                for good. They stay as they are: agents may claim, and jobs be enqueued, in a pool
                that has no record.

        Raises:
            NotFound: there is no such pool.
            IllegalTransition: it has jobs or agents; the error says how many.
            InvalidInput: an argument is wrong.
            TooManyConflicts: it kept changing.
        """
        check_kind("force", force, bool)
        name = check_name("pool_name", pool_name)
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            record = (await self._repository.records([name])).get(name)
            if record is None and attempt:
                return  # by this call, whose answer was lost, or by another one
            if record is None:
                raise NotFound("pool", name)
            jobs, agents = await self._open_in(name)
            time = await self._context.store.now()
            now = from_micros(time.calendar)
            draft = lifecycle.delete(name, now=now, by=by, jobs=jobs, agents=agents, force=force)
            removal = self._repository.removal(record, draft, time=time)
            (answer,) = await self._context.store.commit([removal])
            if isinstance(answer, Committed):
                return
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"pool {name}"], attempts)

    async def _open_in(self, pool_name: str) -> tuple[int, int]:
        """Return how many jobs of a pool have not ended, and how many agents are not gone."""
        values = [value for each in _OPEN for value in job_statuses(each)]
        jobs = [Partition(JOBS.name, BY_POOL, of_pool(pool_name, value)) for value in values]
        agents = [
            Partition(AGENTS.name, BY_POOL, of_pool(pool_name, each.value))
            for each in AgentStatus
            if each is not AgentStatus.TERMINATED
        ]
        counts = await self._context.store.count([*jobs, *agents])
        numbers = [count.number for count in counts]
        return sum(numbers[: len(jobs)]), sum(numbers[len(jobs) :])

    async def status(self, pool_name: str) -> PoolStatus:
        """Return the pool with its agents, its work and its condition, counted now.

        Raises:
            NotFound: there is no such pool.
        """
        pool = await self.get(pool_name)
        present = await self._agents.present(pool_name)
        fleet = fleet_of(
            present.agents,
            offline=present.offline,
            unreadable=present.unreadable,
            slots_per_agent=pool.slots_per_agent,
        )
        load = await read_load(self._context, self._lanes, pool_name, present, fleet.slots)
        return PoolStatus(pool=pool, fleet=fleet, load=load, condition=pool_health(pool, fleet))

    async def scaling(self, pool_name: str) -> ScalingSignal:
        """Return how many agents the pool should have, and why.

        Raises:
            NotFound: there is no such pool.
        """
        status = await self.status(pool_name)
        now = await self._context.calendar()
        return scaling_signal(status.pool, status.fleet, status.load, as_of=now)
