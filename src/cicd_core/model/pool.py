"""A pool: a named group of agents, and how large it may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from cicd_core.errors import InvalidInput
from cicd_core.model.agent import MAX_SLOTS
from cicd_core.model.checks import (
    check_integer,
    check_kind,
    check_metadata,
    check_name,
    check_optional_name,
    check_text,
)

#: The most agents that one pool may have.
MAX_AGENTS = 100_000


@frozen(kw_only=True)
class Pool:
    """A pool. How many agents and jobs it has is counted when somebody asks, and never stored."""

    pool_name: str
    created_at: datetime
    updated_at: datetime

    region: str | None = None
    zone: str | None = None
    min_agents: int = 0
    max_agents: int = 10
    #: The size that an operator asks for; None: what the queue calls for.
    target_agents: int | None = None
    #: Agents to keep beyond what the queue calls for, so that new work starts at once.
    warm_agents: int = 0
    #: How many jobs an agent of this pool runs at once, where no agent is there to say.
    slots_per_agent: int = 1
    description: str = ""
    metadata: Mapping[str, str] = field(factory=dict[str, str])


@frozen(kw_only=True)
class PoolSpec:
    """A pool to be made or replaced. The fields mean what they mean on :class:`Pool`."""

    pool_name: str
    region: str | None = None
    zone: str | None = None
    min_agents: int = 0
    max_agents: int = 10
    target_agents: int | None = None
    warm_agents: int = 0
    slots_per_agent: int = 1
    description: str = ""
    metadata: Mapping[str, str] = field(factory=dict[str, str])


def checked(spec: PoolSpec) -> PoolSpec:
    """Return the spec with its metadata sorted.

    Raises:
        InvalidInput: a field is wrong, or ``min_agents <= target_agents <= max_agents`` or
            ``warm_agents <= max_agents`` does not hold; the error names the field.
        TooLarge: a text is over its limit.
    """
    check_kind("spec", spec, PoolSpec)
    least = check_integer("min_agents", spec.min_agents, least=0, most=MAX_AGENTS)
    most = check_integer("max_agents", spec.max_agents, least=0, most=MAX_AGENTS)
    if least > most:
        raise InvalidInput("min_agents", least, f"give at most max_agents, {most}")
    target = spec.target_agents
    if target is not None:
        check_integer("target_agents", target, least=least, most=most)
    return PoolSpec(
        pool_name=check_name("pool_name", spec.pool_name),
        region=check_optional_name("region", spec.region),
        zone=check_optional_name("zone", spec.zone),
        min_agents=least,
        max_agents=most,
        target_agents=target,
        warm_agents=check_integer("warm_agents", spec.warm_agents, least=0, most=most),
        slots_per_agent=check_integer(
            "slots_per_agent", spec.slots_per_agent, least=1, most=MAX_SLOTS
        ),
        description=check_text("description", spec.description),
        metadata=check_metadata(spec.metadata),
    )
