"""Agents: ``/api/agents``."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from cicd_core.errors import InvalidInput, NotFound
from cicd_core.http.server.replies import created, ok, page
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import requests as asked
from cicd_core.http.wire.values import registration_to_wire
from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.principal import NotPermitted, Scope
from cicd_core.persistence.listing import Page
from cicd_core.public_json import to_json

TABLE: Final = RouteTable("/api/agents")
#: Number of heartbeats within the time after which an agent is offline.
_BEATS: Final = 3


@TABLE.add(
    "POST",
    "/register",
    asked.AgentBody,
    Scope.QUEUE_CLAIM,
    status=201,
    gives=Object({"incarnation": str}, of=Agent),
)
async def register(call: Call, body: asked.AgentBody) -> Reply:
    """Start a new incarnation of an agent; the answer has its `incarnation`.

    An agent can't be named `healthy`, `pools` or `register`: these are paths of other routes.
    """
    if body.agent_id in asked.RESERVED_AGENT_IDS:
        reason = f"/api/agents/{body.agent_id} is another route; choose another id"
        raise InvalidInput("agent_id", body.agent_id, reason)
    call.own_agent(body.agent_id, body.pool_name)
    await _require_own_pool(call, body.agent_id)
    agent = await call.plane.agents.register(body.value())
    return created(call, "/api/agents", agent.agent_id, registration_to_wire(agent))


@TABLE.add("GET", "", asked.AgentsQuery, Scope.AGENTS_READ, gives=Page[Agent])
async def list_agents(call: Call, query: asked.AgentsQuery) -> Reply:
    """Return a page of agents, the newest first."""
    return page(call, await call.plane.agents.list(**query.fields()))


@TABLE.add("GET", "/healthy", asked.HealthyQuery, Scope.AGENTS_READ, gives=Page[Agent])
async def healthy(call: Call, query: asked.HealthyQuery) -> Reply:
    """Return a page of the healthy agents, the newest first."""
    found = await call.plane.agents.list(**query.fields(), status=AgentStatus.HEALTHY)
    return page(call, found)


@TABLE.add("GET", "/{agent_id}", asked.Nothing, Scope.AGENTS_READ, gives=Agent)
async def get_agent(call: Call, _: asked.Nothing) -> Reply:
    """Return an agent, with the time of its last heartbeat."""
    return ok(await call.plane.agents.get(call.name("agent_id")))


@TABLE.add(
    "POST",
    "/{agent_id}/heartbeat",
    asked.HeartbeatBody,
    Scope.QUEUE_CLAIM,
    gives=Object({"agent": Agent, "next_heartbeat_seconds": float}),
)
async def heartbeat(call: Call, body: asked.HeartbeatBody) -> Reply:
    """Report that an agent is alive; the answer says when to report again."""
    agent = await call.plane.agents.heartbeat(
        call.own_agent(call.name("agent_id")),
        body.incarnation,
        metrics=body.load(),
        running=body.running,
        fault=body.fault,
        stuck=body.stuck_reports(),
    )
    interval = call.plane.settings.heartbeat_timeout_seconds / _BEATS
    return Reply(value={"agent": to_json(agent), "next_heartbeat_seconds": interval})


@TABLE.add("PATCH", "/{agent_id}/status", asked.StatusBody, Scope.AGENTS_ADMIN, gives=Agent)
async def set_status(call: Call, body: asked.StatusBody) -> Reply:
    """Set an agent's status, as an operator."""
    agent_id, actor = call.name("agent_id"), call.actor
    return ok(
        await call.plane.agents.set_status(agent_id, body.status, reason=body.reason, actor=actor)
    )


@TABLE.add("POST", "/{agent_id}/drain", asked.LeavingBody, Scope.QUEUE_CLAIM, gives=Agent)
async def drain(call: Call, body: asked.LeavingBody) -> Reply:
    """Let an agent finish its jobs and claim no new ones."""
    agent_id = _leaving(call, body.incarnation)
    return ok(await call.plane.agents.drain(agent_id, **body.fields(), actor=call.actor))


@TABLE.add("POST", "/{agent_id}/deregister", asked.DeregisterBody, Scope.QUEUE_CLAIM, gives=Agent)
async def deregister(call: Call, body: asked.DeregisterBody) -> Reply:
    """Mark an agent as gone."""
    agent_id = _leaving(call, body.incarnation)
    return ok(await call.plane.agents.deregister(agent_id, **body.fields(), actor=call.actor))


async def _require_own_pool(call: Call, agent_id: str) -> None:
    """Check the pool of an agent, for a caller that is limited to pools but not to an agent.

    Raises:
        NotPermitted: the agent is in another pool.
    """
    pools = call.principal.pools
    if pools is None or call.principal.agent_id is not None:
        return
    with suppress(NotFound):
        agent = await call.plane.agents.get(agent_id)
        if agent.pool_name not in pools:
            reason = f"agent {agent_id!r} is not in one of its pools"
            raise NotPermitted(call.principal.name, reason)


def _leaving(call: Call, incarnation: str | None) -> str:
    """Return the agent to drain or deregister; an agent's own process must name its incarnation.

    Raises:
        NotPermitted: the caller is neither that agent nor an operator.
    """
    if incarnation is None:
        call.require(Scope.AGENTS_ADMIN)
    return call.own_agent(call.name("agent_id"))
