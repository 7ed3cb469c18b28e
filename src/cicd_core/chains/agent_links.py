"""The ten links about agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.chains.answers import WORKING, agent_response
from cicd_core.chains.links import (
    VALIDATION_ERROR,
    PlaneLink,
    ServiceLink,
    actor_of,
    all_found_in,
    chosen,
    first_empty,
    found_in,
    limit_of,
)
from cicd_core.ids import IdSource
from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, AgentStatus
from cicd_core.model.checks import check_integer
from cicd_core.persistence.listing import MAX_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.chains.links import Plane
    from cicd_core.chains.running import Context

_REQUIRED: Final = ("pool_name",)
_VERSION: Final = "1.0.0"
_LOAD: Final = ("cpu_percent", "memory_percent", "disk_percent")
#: Default number of agents in a list.
_LIMIT: Final = 100


class ValidateAgentRegistrationLink(ServiceLink):
    """Check a new agent: ``validation_error``; ``version`` is 1.0.0 by default."""

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Check ``pool_name``."""
        version = ctx.get("version") or _VERSION
        return {VALIDATION_ERROR: first_empty(ctx, _REQUIRED), "version": version}


class RegisterAgentLink(PlaneLink):
    """Register an agent in ``pool_name``, into ``agent``, with its ``incarnation``."""

    once = "agent"

    def __init__(self, control_plane: Plane, ids: IdSource | None = None) -> None:
        """Take the control plane, and a generator of ids for agents without one."""
        super().__init__(control_plane)
        self._ids = ids or IdSource()

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Register it, if valid; ``max_concurrent_jobs`` are its slots."""
        refused = first_empty(ctx, _REQUIRED)
        if refused is not None:
            return {VALIDATION_ERROR: refused}
        slots = ctx.get("max_concurrent_jobs")
        spec = AgentSpec(
            agent_id=ctx.get("agent_id") or f"agent-{self._ids.commit_id()[:12]}",
            pool_name=ctx.get("pool_name"),
            version=ctx.get("version") or _VERSION,
            slots=1 if slots is None else slots,
            **chosen(ctx, "labels", "hostname"),
        )
        agent = await self.plane.agents.register(spec)
        return {"agent": agent, "agent_id": agent.agent_id, "incarnation": agent.incarnation}


class GetAgentLink(PlaneLink):
    """Read the agent that ``agent_id`` names, into ``agent``."""

    needs = ("agent_id",)
    once = "agent"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read it."""
        return {"agent": await self.plane.agents.get(ctx.get("agent_id"))}


class ListAgentsLink(PlaneLink):
    """Read the agents, of ``pool_name`` and ``status`` if given, into ``agents``."""

    once = "agents"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read one page."""
        filters: dict[str, Any] = {"limit": _LIMIT, **chosen(ctx, "pool_name", "status", "limit")}
        return {"agents": list((await self.plane.agents.list(**filters)).items)}


class GetHealthyAgentsLink(PlaneLink):
    """Read the agents that take work, by their free slots, into ``healthy_agents``."""

    once = "healthy_agents"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read all of them, regardless of ``limit``: the last may have the most free slots."""
        limit = check_integer("limit", limit_of(ctx, _LIMIT), least=1, most=MAX_PAGE)
        found = [
            agent
            for status in WORKING
            for agent in await self._of_status(ctx, status)
            if agent.takes_work
        ]
        found.sort(key=lambda agent: agent.usable_slots - (agent.running or 0), reverse=True)
        return {"healthy_agents": found[:limit]}

    async def _of_status(self, ctx: Context, status: AgentStatus) -> list[Agent]:
        filters: dict[str, Any] = {"status": status, "limit": MAX_PAGE}
        filters |= chosen(ctx, "pool_name")
        page = await self.plane.agents.list(**filters)
        agents = list(page.items)
        while page.cursor is not None:
            page = await self.plane.agents.list(**filters, cursor=page.cursor)
            agents += page.items
        return agents


class RecordAgentHeartbeatLink(PlaneLink):
    """Report that the agent's ``incarnation`` runs, with the load of its machine."""

    needs = ("agent_id", "incarnation")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Send a heartbeat with the machine's percentages, and ``current_job_count``."""
        load = chosen(ctx, *_LOAD)
        agent = await self.plane.agents.heartbeat(
            ctx.get("agent_id"),
            ctx.get("incarnation"),
            metrics=AgentMetrics(**load) if load else None,
            running=ctx.get("current_job_count"),
        )
        return {"agent": agent}


class UpdateAgentStatusLink(PlaneLink):
    """Set an agent's ``status``, as an operator does, for a ``reason``."""

    needs = ("agent_id", "status")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Set it."""
        agent = await self.plane.agents.set_status(
            ctx.get("agent_id"),
            ctx.get("status"),
            reason=ctx.get("reason") or "set by an operator",
            actor=actor_of(ctx),
        )
        return {"agent": agent}


class DeregisterAgentLink(PlaneLink):
    """Mark the agent that ``agent_id`` names as gone."""

    needs = ("agent_id",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Deregister it; a repetition changes nothing."""
        agent = await self.plane.agents.deregister(
            ctx.get("agent_id"), actor=actor_of(ctx), **chosen(ctx, "reason")
        )
        return {"agent": agent}


class SerializeAgentLink(ServiceLink):
    """Put the fields of ``agent`` into ``agent_response``; after a registration with its secret."""

    needs = ("agent",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert it to a dictionary."""
        fields = agent_response(found_in(ctx, "agent", Agent))
        return {"agent_response": {**fields, **chosen(ctx, "incarnation")}}


class SerializeAgentsListLink(ServiceLink):
    """Put the fields of ``agents`` into ``agents_response``."""

    needs = ("agents",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert them to a list of dictionaries."""
        agents = all_found_in(ctx, "agents", Agent)
        return {"agents_response": [agent_response(agent) for agent in agents]}
