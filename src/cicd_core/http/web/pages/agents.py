"""Agents and pools: their status, the work of each pool, and its proposed number of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.model.agent import AgentStatus
from cicd_core.model.amounts import amount
from cicd_core.model.principal import Scope
from cicd_core.queueing.scaling import scaling_signal
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.http.web.visit import Visit
    from cicd_core.queueing.scaling import ScalingSignal

_ROWS: Final = 100
_POOLS: Final = 12
_JOBS: Final = 25


@frozen
class PoolRow:
    """A pool, and its scaling signal."""

    status: PoolStatus
    signal: ScalingSignal

    @property
    def utilisation(self) -> float | None:
        """The share of its slots in use, 0 to 1; None: it has no slots."""
        slots = self.status.fleet.slots
        held = self.status.load.leased - self.status.load.elsewhere
        return min(1.0, held / slots) if slots else None


async def agents(visit: Visit) -> dict[str, Any]:
    """Return the pools with their work, and a page of agents."""
    pool_name, status = visit.text("pool_name"), visit.text("status")
    found = await visit.plane.agents.list(
        pool_name=pool_name, status=status, limit=_ROWS, cursor=visit.text("cursor")
    )
    listed = await visit.plane.pools.list(limit=_POOLS)
    rows = [await _row(visit, pool.pool_name) for pool in listed.items]
    may_change = visit.may(Scope.AGENTS_ADMIN)
    return {
        "found": found,
        "pools": sorted(rows, key=lambda row: row.status.pool.pool_name),
        "more_pools": listed.cursor is not None,
        "pool_name": pool_name,
        "status": status,
        "statuses": list(AgentStatus),
        "commands": {
            agent.agent_id: AGENT_TABLE.commands(agent.status) if may_change else ()
            for agent in found.items
        },
        "more": None if found.cursor is None else visit.same(cursor=found.cursor, notice=None),
        "first": visit.same(cursor=None, notice=None) if visit.text("cursor") else None,
        "said": f"{amount(len(found.items), 'agent')} on this page",
    }


async def _row(visit: Visit, pool_name: str) -> PoolRow:
    status = await visit.plane.pools.status(pool_name)
    signal = scaling_signal(status.pool, status.fleet, status.load, as_of=visit.now)
    return PoolRow(status, signal)


async def agent(visit: Visit) -> dict[str, Any]:
    """Return one agent, and the jobs that it claimed last."""
    found = await visit.plane.agents.get(visit.name("agent_id"))
    may_change = visit.may(Scope.AGENTS_ADMIN)
    may_see = visit.may(Scope.JOBS_READ)
    return {
        "agent": found,
        "jobs": await visit.plane.jobs.list(agent_id=found.agent_id, limit=_JOBS)
        if may_see
        else None,
        "commands": AGENT_TABLE.commands(found.status) if may_change else frozenset[str](),
        "said": f"agent {found.agent_id} is {found.status}",
    }
