"""Pools: how large they may be, how they are, and how many agents they should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cicd_core.control_plane.listing import Listed, Listing, read_page
from cicd_core.control_plane.statistics import read_load
from cicd_core.errors import Contention
from cicd_core.lifecycle import pools as lifecycle
from cicd_core.model.checks import check_name
from cicd_core.model.instants import from_micros
from cicd_core.model.pool import Pool, PoolSpec, checked
from cicd_core.queueing.scaling import (
    Fleet,
    Load,
    PoolCondition,
    ScalingSignal,
    fleet_of,
    pool_health,
    scaling_signal,
)
from cicd_core.store.collections import BY_KIND, POOL_KIND, POOLS
from cicd_core.store.records import Partition

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.control_plane.repository import Repository
    from cicd_core.control_plane.writer import Writer
    from cicd_core.lifecycle.decision import Decision


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
        writer: Writer,
        repository: Repository[Pool],
        lanes: LaneBook,
        agents: AgentService,
    ) -> None:
        """Take the way to the store, the pools' records, the lanes and the agents."""
        self._writer = writer
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

        attempts = self._writer.settings.commit_attempts
        for attempt in range(attempts):
            known = (await self._repository.get_many([wanted.pool_name])).get(wanted.pool_name)
            if known is not None:
                changed = await self._repository.change(wanted.pool_name, decide, before=known)
                return changed.value
            time = await self._writer.store_time()
            made = await self._repository.create(
                decide(None, from_micros(time.calendar)), time=time
            )
            if made is not None:
                return made.value
            await self._writer.pause(attempt)
        raise Contention([f"pool {wanted.pool_name}"], attempts)

    async def get(self, pool_name: str) -> Pool:
        """Return the pool.

        Raises:
            NotFound: there is no such pool.
        """
        return (await self._repository.get(check_name("pool_name", pool_name))).value

    async def exists(self, pool_name: str) -> bool:
        """Return whether the pool has a record; work may be enqueued for one that has none."""
        return pool_name in await self._repository.get_many([check_name("pool_name", pool_name)])

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Listed[Pool]:
        """Return a page of pools, the newest first."""
        listing = Listing(
            partitions=(Partition(POOLS.name, BY_KIND, POOL_KIND),), load=self._repository.load
        )
        return await read_page(self._writer, listing, limit=limit, cursor=cursor)

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
        load = await read_load(self._writer, self._lanes, pool_name, present, fleet.slots)
        return PoolStatus(pool=pool, fleet=fleet, load=load, condition=pool_health(pool, fleet))

    async def scaling(self, pool_name: str) -> ScalingSignal:
        """Return how many agents the pool should have, and why.

        Raises:
            NotFound: there is no such pool.
        """
        status = await self.status(pool_name)
        now = await self._writer.now()
        return scaling_signal(status.pool, status.fleet, status.load, as_of=now)
