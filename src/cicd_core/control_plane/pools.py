"""Pools: their sizes, their condition, and the scaling signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from cicd_core.persistence.listing import Listing, Page, read_page
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
from cicd_core.values import frozen

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
    """A pool with current counts."""

    pool: Pool
    fleet: Fleet
    load: Load
    condition: PoolCondition


class PoolService:
    """Pools. Their counts are never stored: each request counts them."""

    def __init__(
        self,
        context: Context,
        repository: Repository[Pool],
        lanes: LaneBook,
        agents: AgentService,
    ) -> None:
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._agents = agents

    async def put(
        self, spec: PoolSpec, *, actor: str = "operator", expected: Pool | None = None
    ) -> Pool:
        """Create a pool, or replace all its fields.

        Args:
            spec: the new fields.
            actor: the caller.
            expected: the pool as you read it, to replace only that version; None: any version.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            ChangedMeanwhile: it is not the expected version.
        """
        wanted = checked(spec)
        _check_expected(expected)

        def decide(pool: Pool | None, now: datetime, _: int) -> Decision[Pool]:
            return lifecycle.put(pool, spec=wanted, now=now, actor=actor, expected=expected)

        return (await self._repository.put(wanted.pool_name, decide)).value

    async def scale(
        self,
        pool_name: str,
        target_agents: int | None,
        *,
        actor: str = "operator",
        expected: Pool | None = None,
    ) -> Pool:
        """Set a fixed size; this starts no agents.

        Args:
            pool_name: the pool.
            target_agents: within the pool's ``min_agents`` and ``max_agents``; None: as the queue
                needs.
            actor: the caller.
            expected: the pool as you read it, to change only that version; None: any version.

        Raises:
            NotFound: there is no such pool.
            InvalidInput: the size is out of these limits, or an argument is wrong.
            ChangedMeanwhile: it is not the expected version.
        """
        _check_expected(expected)
        changed = await self._repository.change(
            check_name("pool_name", pool_name),
            lambda pool, now, _: lifecycle.scale(
                pool, target_agents, now=now, actor=actor, expected=expected
            ),
        )
        return changed.value

    async def get(self, pool_name: str) -> Pool:
        """Return the pool.

        Raises:
            NotFound: there is no such pool.
        """
        return (await self._repository.get(check_name("pool_name", pool_name))).value

    async def exists(self, pool_name: str) -> bool:
        """Return whether the pool has a record; jobs may be enqueued in a pool without one."""
        return pool_name in await self._repository.get_many([check_name("pool_name", pool_name)])

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Pool]:
        """Return a page of pools, the newest first."""
        listing = Listing(
            partitions=(Partition(POOLS.name, BY_KIND, POOL_KIND),), load=self._repository.load
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def delete(self, pool_name: str, *, actor: str = "operator", force: bool = False) -> None:
        """Delete an empty pool; you may create it again. An unreadable one is deleted too.

        Args:
            pool_name: the pool.
            actor: the caller.
            force: delete it even if it has jobs that have not ended, or agents that are not gone.
                They stay as they are: agents may claim, and callers may enqueue, in a pool without
                a record.

        Raises:
            NotFound: there is no such pool.
            IllegalTransition: it has jobs or agents; the error says how many.
            InvalidInput: an argument is wrong.
            TooManyConflicts: other writers kept changing it.
        """
        check_kind("force", force, bool)
        name = check_name("pool_name", pool_name)
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            record = (await self._repository.records([name])).get(name)
            if record is None and attempt:
                return  # deleted by this call, whose answer was lost, or by another one
            if record is None:
                raise NotFound("pool", name)
            jobs, agents = await self._open_in(name)
            time = await self._context.store.now()
            now = from_micros(time.calendar)
            draft = lifecycle.delete(
                name, now=now, actor=actor, jobs=jobs, agents=agents, force=force
            )
            removal = self._repository.removal(record, draft, time=time)
            (answer,) = await self._context.store.commit([removal])
            if isinstance(answer, Committed):
                return
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"pool {name}"], attempts)

    async def _open_in(self, pool_name: str) -> tuple[int, int]:
        """Return the number of jobs that have not ended, and of agents that are not gone."""
        values = [value for item in _OPEN for value in job_statuses(item)]
        jobs = [Partition(JOBS.name, BY_POOL, of_pool(pool_name, value)) for value in values]
        agents = [
            Partition(AGENTS.name, BY_POOL, of_pool(pool_name, item.value))
            for item in AgentStatus
            if item is not AgentStatus.TERMINATED
        ]
        counts = await self._context.store.count([*jobs, *agents])
        numbers = [count.number for count in counts]
        return sum(numbers[: len(jobs)]), sum(numbers[len(jobs) :])

    async def status(self, pool_name: str) -> PoolStatus:
        """Return the pool with current counts of its agents and jobs, and its condition.

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


def _check_expected(expected: Pool | None) -> None:
    if expected is not None:
        check_kind("expected", expected, Pool)
