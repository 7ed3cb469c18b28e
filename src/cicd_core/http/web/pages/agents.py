"""Agents and pools: their status, the work of each pool, and its proposed number of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import NotFound
from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.model.agent import AgentStatus
from cicd_core.model.amounts import amount
from cicd_core.model.principal import Scope
from cicd_core.queueing.scaling import ScalingTerm, scaling_signal
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.http.web.visit import Visit
    from cicd_core.queueing.scaling import ScalingSignal

_ROWS: Final = 100
#: Number of pools on a page, and the number that is read to sort them by name.
_POOLS: Final = 25
_MOST_POOLS: Final = 500
_JOBS: Final = 25
#: Texts for the term that decides the size of a pool.
_BECAUSE: Final = {
    ScalingTerm.DEMAND: "work",
    ScalingTerm.WARM: "no work",
    ScalingTerm.TARGET: "set by hand",
    ScalingTerm.MAXIMUM: "maximum",
    ScalingTerm.MINIMUM: "minimum",
}


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

    @property
    def because(self) -> str:
        """The term that decides how many agents it should have."""
        return _BECAUSE[self.signal.term]


@frozen(kw_only=True)
class PoolRows:
    """A page of the pools, by name."""

    rows: tuple[PoolRow, ...]
    #: The number of the first one, and of all pools; there are more if ``is_all`` is false.
    first: int
    total: int
    is_all: bool
    #: The addresses of the previous and the next page; None: there is none.
    before: str | None
    behind: str | None


async def agents(visit: Visit) -> dict[str, Any]:
    """Return the pools with their work, and a page of agents."""
    pool_name, status = visit.text("pool_name"), visit.text("status")
    found = await visit.plane.agents.list(
        pool_name=pool_name, status=status, limit=_ROWS, cursor=visit.text("cursor")
    )
    may_change = visit.may(Scope.AGENTS_ADMIN)
    return {
        "found": found,
        "pools": await _pools(visit, pool_name),
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


async def _pools(visit: Visit, chosen: str | None) -> PoolRows:
    """Return a page of the pools, or the chosen one."""
    names, is_all = [chosen] if chosen is not None else [], True
    if chosen is None:
        listed = await visit.plane.pools.list(limit=_MOST_POOLS)
        names, is_all = sorted(pool.pool_name for pool in listed.items), listed.cursor is None
    last = max(1, -(-len(names) // _POOLS))
    number = min(visit.number("pools", 1, most=_MOST_POOLS), last)
    begin = (number - 1) * _POOLS
    rows = [await _row(visit, name) for name in names[begin : begin + _POOLS]]
    return PoolRows(
        rows=tuple(row for row in rows if row is not None),
        first=begin + 1,
        total=len(names),
        is_all=is_all,
        before=visit.same(pools=number - 1, notice=None) if number > 1 else None,
        behind=visit.same(pools=number + 1, notice=None) if number < last else None,
    )


async def _row(visit: Visit, pool_name: str) -> PoolRow | None:
    """Return the row of a pool; None: it has no record."""
    try:
        status = await visit.plane.pools.status(pool_name)
    except NotFound:
        return None
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
