"""The six chains about agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.chains.agent_links import (
    DeregisterAgentLink,
    GetHealthyAgentsLink,
    ListAgentsLink,
    RecordAgentHeartbeatLink,
    RegisterAgentLink,
    SerializeAgentLink,
    SerializeAgentsListLink,
    UpdateAgentStatusLink,
    ValidateAgentRegistrationLink,
)
from cicd_core.chains.answers import agent_response
from cicd_core.chains.requests import (
    AgentsWanted,
    GoneAgent,
    Heartbeat,
    NewAgent,
    StatusOfAgent,
)
from cicd_core.chains.service_chain import Request, ServiceChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.chains.links import Plane
    from cicd_core.chains.running import Context, Link


class AgentChain(ServiceChain[Request]):
    """A chain about one agent, which returns its fields."""

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the agent's fields."""
        return dict(ctx.get("agent_response"))


class AgentRegistrationChain(AgentChain[NewAgent]):
    """Register an agent: its fields, and the ``incarnation`` for its heartbeats."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Validate, register, serialize."""
        return (
            ValidateAgentRegistrationLink(),
            RegisterAgentLink(control_plane),
            SerializeAgentLink(),
        )


class AgentHeartbeatChain(AgentChain[Heartbeat]):
    """Record a heartbeat: the agent's fields."""

    needs = ("agent_id", "incarnation")

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Record, serialize."""
        return (RecordAgentHeartbeatLink(control_plane), SerializeAgentLink())


class ListAgentsChain(ServiceChain[AgentsWanted]):
    """Read agents: ``agents``, ``total``."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """List, serialize."""
        return (ListAgentsLink(control_plane), SerializeAgentsListLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the agents' fields."""
        agents = list(ctx.get("agents_response"))
        return {"agents": agents, "total": len(agents)}


class GetHealthyAgentsChain(ServiceChain[AgentsWanted]):
    """List the agents that take work: ``healthy_agents``, ``total``."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """List."""
        return (GetHealthyAgentsLink(control_plane),)

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the agents' fields."""
        agents = [agent_response(agent) for agent in ctx.get("healthy_agents")]
        return {"healthy_agents": agents, "total": len(agents)}


class AgentStatusUpdateChain(AgentChain[StatusOfAgent]):
    """Set an agent's status: its fields."""

    needs = ("agent_id", "status")

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Update, serialize."""
        return (UpdateAgentStatusLink(control_plane), SerializeAgentLink())


class AgentDeregistrationChain(AgentChain[GoneAgent]):
    """Deregister an agent: its fields."""

    needs = ("agent_id",)

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Deregister, serialize."""
        return (DeregisterAgentLink(control_plane), SerializeAgentLink())
