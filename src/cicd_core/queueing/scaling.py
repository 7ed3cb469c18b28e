"""How many agents a pool should have, and how well it is: each answer with its reason."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - cattrs resolves annotations
from datetime import datetime  # noqa: TC003 - cattrs resolves annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

from cicd_core.model.agent import AgentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.model.agent import Agent
    from cicd_core.model.pool import Pool


class ScalingTerm(StrEnum):
    """What decided the size that a pool should have."""

    #: The work that is ready or leased, and the warm agents on top.
    DEMAND = "demand"
    #: There is no work: only the warm agents, if any, are left.
    WARM = "warm"
    #: An operator asked for a size.
    TARGET = "target"
    #: More was called for than the pool may have.
    MAXIMUM = "maximum"
    #: Less was called for than the pool must have.
    MINIMUM = "minimum"


class PoolHealth(StrEnum):
    """How a pool is."""

    HEALTHY = "healthy"
    #: It takes work, or is about to, with fewer or worse agents than it should.
    DEGRADED = "degraded"
    #: It has agents, and none of them takes work.
    UNHEALTHY = "unhealthy"
    #: It has no agents.
    EMPTY = "empty"


@frozen(kw_only=True)
class Fleet:
    """The agents of a pool, counted."""

    #: How many agents have each status; a terminated one is no agent any more.
    by_status: Mapping[AgentStatus, int]
    #: The slots of those that are capacity, see :attr:`capacity`.
    slots: int

    @property
    def serving(self) -> int:
        """The agents that take work: healthy or degraded."""
        return self._number(AgentStatus.HEALTHY, AgentStatus.DEGRADED)

    @property
    def capacity(self) -> int:
        """The agents that count as capacity: those that take work, and those that just register.

        Draining, unhealthy and offline ones do not; one that is about to take work does, so that
        nobody starts another one in its place.
        """
        return self.serving + self._number(AgentStatus.REGISTERING)

    @property
    def total(self) -> int:
        """All of the agents."""
        return self._number(*self.by_status)

    def described(self, *left_out: AgentStatus) -> str:
        """Return the counts as a text, such as ``2 healthy, 1 offline``."""
        counts = {status: self._number(status) for status in AgentStatus if status not in left_out}
        return ", ".join(f"{number} {status}" for status, number in counts.items() if number)

    def _number(self, *statuses: AgentStatus) -> int:
        return sum(self.by_status.get(status, 0) for status in statuses)


@frozen(kw_only=True)
class Load:
    """The work of a pool, in jobs."""

    #: They could be claimed now.
    ready: int
    #: Claimed or running.
    leased: int
    #: They wait for their ``run_at`` or for a backoff; they call for no agent yet.
    delayed: int = 0


@frozen(kw_only=True)
class ScalingSignal:
    """How many agents a pool should have, how many it has, and why."""

    pool_name: str
    #: Agents.
    desired: int
    #: The agents that count as capacity, see :attr:`Fleet.capacity`.
    current: int
    #: What decided.
    term: ScalingTerm
    #: How it came to that, for people.
    reason: str
    load: Load
    #: The average of the agents that count, or the pool's setting where there is none.
    slots_per_agent: float
    #: When the counts were read, on the store's clock.
    as_of: datetime

    @property
    def change(self) -> int:
        """The agents to add, or (below 0) to take away."""
        return self.desired - self.current


@frozen(kw_only=True)
class PoolCondition:
    """How a pool is, and why."""

    health: PoolHealth
    #: For people.
    reason: str


def fleet_of(agents: Iterable[Agent]) -> Fleet:
    """Return the count of the agents, which are those of one pool, with their status of now."""
    by_status: dict[AgentStatus, int] = {}
    slots = 0
    for agent in agents:
        if agent.status is AgentStatus.TERMINATED:
            continue
        by_status[agent.status] = by_status.get(agent.status, 0) + 1
        if agent.takes_work or agent.status is AgentStatus.REGISTERING:
            slots += agent.slots
    return Fleet(by_status=by_status, slots=slots)


def scaling_signal(pool: Pool, fleet: Fleet, load: Load, *, as_of: datetime) -> ScalingSignal:
    """Return how many agents the pool should have.

    ``clamp(ceil((ready + leased) / slots_per_agent) + warm_agents, min_agents, max_agents)``; a
    ``target_agents`` that an operator set stands in for what the work calls for.

    Args:
        pool: its bounds were checked, see :func:`cicd_core.model.pool.checked`.
        fleet: the agents of the pool.
        load: the work of the pool.
        as_of: when both were read, on the store's clock.
    """
    needed = _agents_for(load.ready + load.leased, pool, fleet)
    called_for = needed + pool.warm_agents
    wanted = called_for if pool.target_agents is None else pool.target_agents
    desired = max(pool.min_agents, min(wanted, pool.max_agents))
    slots_per_agent = fleet.slots / fleet.capacity if fleet.capacity else pool.slots_per_agent
    sentence = _demand_text(pool, load, needed, slots_per_agent)
    if pool.target_agents is not None:
        sentence = f"target_agents {wanted} was asked for (the work calls for {sentence})"
    return ScalingSignal(
        pool_name=pool.pool_name,
        desired=desired,
        current=fleet.capacity,
        term=_term(pool, needed, wanted),
        reason=sentence + _bounds_text(pool, wanted) + _rest_text(fleet, load),
        load=load,
        slots_per_agent=slots_per_agent,
        as_of=as_of,
    )


def pool_health(pool: Pool, fleet: Fleet) -> PoolCondition:
    """Return how the pool is.

    Healthy: at least ``min_agents`` take work, and every agent that does not drain is healthy.
    """
    if fleet.total == 0:
        return PoolCondition(health=PoolHealth.EMPTY, reason="it has no agents")
    described = fleet.described()
    if fleet.capacity == 0:
        reason = f"none of its agents takes work: {described}"
        return PoolCondition(health=PoolHealth.UNHEALTHY, reason=reason)
    if fleet.serving < pool.min_agents:
        reason = f"fewer agents take work than min_agents {pool.min_agents}: {described}"
        return PoolCondition(health=PoolHealth.DEGRADED, reason=reason)
    if fleet.described(AgentStatus.HEALTHY, AgentStatus.TERMINATING):
        reason = f"not all of its agents are healthy: {described}"
        return PoolCondition(health=PoolHealth.DEGRADED, reason=reason)
    return PoolCondition(health=PoolHealth.HEALTHY, reason=described)


def _agents_for(jobs: int, pool: Pool, fleet: Fleet) -> int:
    """Return ``ceil(jobs / slots_per_agent)``, in whole numbers, since a float may round up."""
    agents, slots = (fleet.capacity, fleet.slots) if fleet.capacity else (1, pool.slots_per_agent)
    return -(-jobs * agents // slots)


def _term(pool: Pool, needed: int, wanted: int) -> ScalingTerm:
    if wanted > pool.max_agents:
        return ScalingTerm.MAXIMUM
    if wanted < pool.min_agents:
        return ScalingTerm.MINIMUM
    if pool.target_agents is not None:
        return ScalingTerm.TARGET
    return ScalingTerm.DEMAND if needed else ScalingTerm.WARM


def _demand_text(pool: Pool, load: Load, needed: int, slots_per_agent: float) -> str:
    slots = "slot" if slots_per_agent == 1 else "slots"
    over = f"{slots_per_agent:.3g} {slots} an agent"
    warm = f", plus {pool.warm_agents} warm" if pool.warm_agents else ""
    return f"{load.ready} ready + {load.leased} leased over {over} = {needed}{warm}"


def _bounds_text(pool: Pool, wanted: int) -> str:
    if wanted > pool.max_agents:
        return f", capped by max_agents {pool.max_agents}"
    if wanted < pool.min_agents:
        return f", raised to min_agents {pool.min_agents}"
    return ""


def _rest_text(fleet: Fleet, load: Load) -> str:
    """Return what was left out of the count, so that nobody has to wonder."""
    counted = (AgentStatus.REGISTERING, AgentStatus.HEALTHY, AgentStatus.DEGRADED)
    idle = fleet.described(*counted)
    agents = f"; agents that are no capacity: {idle}" if idle else ""
    jobs = f"; {load.delayed} delayed not counted" if load.delayed else ""
    return agents + jobs
