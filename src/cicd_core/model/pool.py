"""Pools: named groups of agents, with limits of size."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field

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
from cicd_core.values import frozen

#: The most agents that one pool may have.
MAX_AGENTS = 100_000


@frozen(kw_only=True)
class Pool:
    """A pool. Its numbers of agents and jobs are counted on demand, never stored."""

    pool_name: str
    created_at: datetime
    updated_at: datetime

    region: str | None = None
    zone: str | None = None
    min_agents: int = 0
    max_agents: int = 10
    #: The size that an operator sets; None: as the queue needs.
    target_agents: int | None = None
    #: Agents beyond the need of the queue, so that new work starts at once.
    warm_agents: int = 0
    #: Number of jobs that an agent runs at once, used while the pool has no agents.
    slots_per_agent: int = 1
    description: str = ""
    metadata: Mapping[str, str] = field(factory=dict[str, str])


@frozen(kw_only=True)
class PoolSpec:
    """A pool to create or replace: omitted fields get their defaults."""

    #: 1 to 128 characters of ``A-Z a-z 0-9 . _ : / -``, as all names.
    pool_name: str
    #: The region of its agents, for people. A name, or None.
    region: str | None = None
    #: The zone within the region, for people. A name, or None.
    zone: str | None = None
    #: Minimum of the scaling signal, in agents: 0 to 100,000, 0 by default.
    min_agents: int = 0
    #: Maximum of the scaling signal, in agents: 0 to 100,000, 10 by default.
    max_agents: int = 10
    #: The size that an operator sets; None (the default): as the queue needs.
    target_agents: int | None = None
    #: Agents beyond the need of the queue, so that new work starts at once. 0 by
    #: default.
    warm_agents: int = 0
    #: Number of jobs that an agent runs at once, used while the pool has no agents: 1 to 1,024,
    #: 1 by default.
    slots_per_agent: int = 1
    #: For people: at most 1,024 characters.
    description: str = ""
    #: Texts by name, for people and your own programs.
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
