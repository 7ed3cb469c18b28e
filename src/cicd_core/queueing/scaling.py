"""How many agents a pool should have, and its health: each answer with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - cattrs resolves annotations
from datetime import datetime  # noqa: TC003 - cattrs resolves annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from cicd_core.model.agent import AgentStatus
from cicd_core.queueing.lanes import parse_lane, serves
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.model.agent import Agent
    from cicd_core.model.pool import Pool


class ScalingTerm(StrEnum):
    """The rule that decided the size that a pool should have."""

    #: The ready and leased work, plus the warm agents.
    DEMAND = "demand"
    #: There is no work: only the warm agents, if any, are left.
    WARM = "warm"
    #: An operator asked for a size.
    TARGET = "target"
    #: The wanted size is above the pool's maximum.
    MAXIMUM = "maximum"
    #: The wanted size is below the pool's minimum.
    MINIMUM = "minimum"


class PoolHealth(StrEnum):
    """The health of a pool."""

    HEALTHY = "healthy"
    #: It takes work, or is about to, but has too few agents or some that are not healthy.
    DEGRADED = "degraded"
    #: It has agents, but none of them takes work.
    UNHEALTHY = "unhealthy"
    #: It has no agents.
    EMPTY = "empty"


@frozen(kw_only=True)
class Fleet:
    """The counts of a pool's agents."""

    #: How many agents have each status; terminated ones are not counted.
    by_status: Mapping[AgentStatus, int]
    #: The slots of the agents that count as capacity, see :attr:`capacity`.
    slots: int
    #: The ids of the agents whose records do not decode. They are counted above, by their status in
    #: the index, each with the slots of the pool's setting.
    unreadable: tuple[str, ...] = ()

    @property
    def serving(self) -> int:
        """The agents that take work: healthy or degraded."""
        return self._number(AgentStatus.HEALTHY, AgentStatus.DEGRADED)

    @property
    def capacity(self) -> int:
        """The agents that count as capacity: those that take work, and those that register now.

        Draining, unhealthy and offline agents do not count. One that registers counts, so that no
        other agent is started in its place.
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

    #: The jobs that could be claimed now.
    ready: int
    #: The jobs that are claimed or running.
    leased: int
    #: The jobs that wait for their ``run_at`` or for a backoff; they need no agent yet.
    delayed: int = 0
    #: The ready jobs that no agent of the pool can run, because of their labels or types: more
    #: agents of the same kind would not help.
    unmatched: int = 0
    #: The leased jobs whose holders are not capacity (a draining agent, for example, or one that
    #: never registered): the pool needs no slots for them.
    elsewhere: int = 0

    @property
    def demand(self) -> int:
        """The jobs that need slots of the pool's agents."""
        return self.ready - self.unmatched + self.leased - self.elsewhere


@frozen(kw_only=True)
class ScalingSignal:
    """How many agents a pool should have, how many it has, and why."""

    pool_name: str
    #: The number of agents that the pool should have.
    desired: int
    #: The agents that count as capacity, see :attr:`Fleet.capacity`.
    current: int
    #: The rule that decided.
    term: ScalingTerm
    #: The calculation, for people.
    reason: str
    load: Load
    #: The average of the agents that count as capacity; the pool's setting if there are none.
    slots_per_agent: float
    #: When the counts were read, on the store's clock.
    as_of: datetime

    @property
    def change(self) -> int:
        """The number of agents to add, or (below 0) to remove."""
        return self.desired - self.current


@frozen(kw_only=True)
class PoolCondition:
    """The health of a pool, and why."""

    health: PoolHealth
    #: For people.
    reason: str


_CAPACITY = frozenset({AgentStatus.REGISTERING, AgentStatus.HEALTHY, AgentStatus.DEGRADED})


def fleet_of(
    agents: Iterable[Agent],
    *,
    offline: int = 0,
    unreadable: Mapping[AgentStatus, Sequence[str]] | None = None,
    slots_per_agent: int = 1,
) -> Fleet:
    """Return the counts of one pool's agents, with their present status.

    Args:
        agents: the agents that were read.
        offline: how many more are offline.
        unreadable: the ids of the agents that do not decode, by status.
        slots_per_agent: the assumed number of slots of each unreadable agent.
    """
    by_status, slots = Counter({AgentStatus.OFFLINE: offline} if offline else {}), 0
    for agent in agents:
        if agent.status is not AgentStatus.TERMINATED:
            by_status[agent.status] += 1
            slots += agent.usable_slots if agent.status in _CAPACITY else 0
    unread = unreadable or {}
    for status, ids in unread.items():
        by_status[status] += len(ids)
        slots += slots_per_agent * len(ids) if status in _CAPACITY else 0
    return Fleet(
        by_status=dict(by_status),
        slots=slots,
        unreadable=tuple(item for ids in unread.values() for item in ids),
    )


def load_of(
    *,
    ready: int,
    leased: int,
    delayed: int,
    by_lane: Mapping[str, int],
    held: Mapping[str, int] | None,
    agents: Sequence[Agent],
    unreadable: Mapping[AgentStatus, Sequence[str]],
    slots: int,
) -> Load:
    """Return the work of a pool, with the jobs that its agents can't run and that others hold.

    Args:
        ready: the number of jobs that could be claimed now.
        leased: the number of jobs that are claimed or running.
        delayed: the number of jobs that wait for their time.
        by_lane: the number of ready jobs in each lane.
        held: how many jobs each agent holds, by its id; None: the count was not completed, and the
            agents that are capacity are assumed to use all of their slots.
        agents: the agents of the pool.
        unreadable: the ids of the agents that do not decode, by status: they may run any job.
        slots: the slots of the agents that are capacity.
    """
    capacity = {agent.agent_id for agent in agents if agent.status in _CAPACITY}
    capacity.update(
        item for status, ids in unreadable.items() if status in _CAPACITY for item in ids
    )
    inside = slots if held is None else sum(held.get(item, 0) for item in capacity)
    unmatched = 0
    if agents and not unreadable:
        unmatched = sum(
            number
            for key, number in by_lane.items()
            if not any(serves(parse_lane(key), agent.labels, agent.job_types) for agent in agents)
        )
    return Load(
        ready=ready,
        leased=leased,
        delayed=delayed,
        unmatched=min(ready, unmatched),
        elsewhere=max(0, leased - inside),
    )


def scaling_signal(pool: Pool, fleet: Fleet, load: Load, *, as_of: datetime) -> ScalingSignal:
    """Return how many agents the pool should have.

    ``clamp(ceil((ready + leased) / slots_per_agent) + warm_agents, min_agents, max_agents)``,
    without the jobs that more agents of the pool's kind could not run (:attr:`Load.unmatched`) and
    those that other agents hold (:attr:`Load.elsewhere`). If an operator set ``target_agents``,
    that size replaces the size that the work needs.

    Args:
        pool: its bounds must be checked, see :func:`cicd_core.model.pool.checked`.
        fleet: the agents of the pool.
        load: the work of the pool.
        as_of: when both were read, on the store's clock.
    """
    needed = _agents_for(load.demand, pool, fleet)
    called_for = needed + pool.warm_agents
    wanted = called_for if pool.target_agents is None else pool.target_agents
    desired = max(pool.min_agents, min(wanted, pool.max_agents))
    slots_per_agent = fleet.slots / fleet.capacity if fleet.capacity else pool.slots_per_agent
    sentence = _demand_text(pool, load, needed, slots_per_agent)
    if pool.target_agents is not None:
        sentence = f"target_agents is set to {wanted} (the work needs {sentence})"
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
    """Return the health of the pool.

    It is healthy if at least ``min_agents`` take work, and every agent that does not drain is
    healthy.
    """
    if fleet.total == 0:
        return PoolCondition(health=PoolHealth.EMPTY, reason="it has no agents")
    described = fleet.described()
    if fleet.unreadable:
        described = f"{described} ({_unreadable_text(fleet)})"
    if fleet.capacity == 0:
        reason = f"none of its agents takes work: {described}"
        return PoolCondition(health=PoolHealth.UNHEALTHY, reason=reason)
    if fleet.serving < pool.min_agents:
        reason = f"fewer agents take work than min_agents {pool.min_agents}: {described}"
        return PoolCondition(health=PoolHealth.DEGRADED, reason=reason)
    if fleet.unreadable or fleet.described(AgentStatus.HEALTHY, AgentStatus.TERMINATING):
        reason = f"not all of its agents are healthy: {described}"
        return PoolCondition(health=PoolHealth.DEGRADED, reason=reason)
    return PoolCondition(health=PoolHealth.HEALTHY, reason=described)


def _agents_for(jobs: int, pool: Pool, fleet: Fleet) -> int:
    """Return ``ceil(jobs / slots_per_agent)``, with integers only, since a float may round up."""
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
    ready, leased = load.ready - load.unmatched, load.leased - load.elsewhere
    return f"{ready} ready + {leased} leased over {over} = {needed}{warm}"


def _bounds_text(pool: Pool, wanted: int) -> str:
    if wanted > pool.max_agents:
        return f", capped by max_agents {pool.max_agents}"
    if wanted < pool.min_agents:
        return f", raised to min_agents {pool.min_agents}"
    return ""


def _rest_text(fleet: Fleet, load: Load) -> str:
    """Return the text about the agents and jobs that are not counted."""
    idle = fleet.described(*_CAPACITY)
    parts = (
        (idle, f"agents without capacity: {idle}"),
        (load.delayed, f"{load.delayed} delayed not counted"),
        (
            load.unmatched,
            f"{load.unmatched} ready not counted: no agent in the pool has their labels and types",
        ),
        (
            load.elsewhere,
            f"{load.elsewhere} leased not counted: their agents are not capacity of the pool",
        ),
        (fleet.unreadable, _unreadable_text(fleet)),
    )
    return "".join(f"; {text}" for present, text in parts if present)


def _unreadable_text(fleet: Fleet) -> str:
    return f"{len(fleet.unreadable)} of the agents cannot be read and are counted by their status"
