"""Agents, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import asked_to_wire, from_wire, part_of
from cicd_core.model.agent import Agent, AgentStatus, checked, checked_stuck
from cicd_core.model.checks import check_name
from cicd_core.persistence.listing import Page
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.http.client.connection import Connection
    from cicd_core.model.agent import AgentMetrics, AgentSpec, StuckReport


class RemoteAgents:
    """Agents of a server; the same methods as ``AgentService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def register(self, spec: AgentSpec) -> Agent:
        """Start a new incarnation of an agent; the previous one is refused from now on.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentReplaced: another incarnation started before the answer came.
        """
        body = asked_to_wire(checked(spec))
        path = path_of("agents", "register")
        answer = await self._connection.call("POST", path, body, repeatable=True)
        return evolve(from_wire(Agent, answer), incarnation=part_of(answer, "incarnation", str))

    async def heartbeat(
        self,
        agent_id: str,
        incarnation: str,
        *,
        metrics: AgentMetrics | None = None,
        running: int | None = None,
        fault: str | None = None,
        stuck: Sequence[StuckReport] = (),
    ) -> Agent:
        """Report that this incarnation runs; the arguments are those of ``AgentService.heartbeat``.

        Raises:
            AgentReplaced: another incarnation replaced this one: stop.
            AgentDeregistered: it is gone: register again, or stop.
            NotFound: it never registered.
            InvalidInput: a metric is not 0 to 100, ``running`` is out of range, or a field of
                ``stuck`` is wrong.
        """
        body = {
            "incarnation": check_name("incarnation", incarnation),
            "metrics": asked_to_wire(metrics),
            "running": running,
            "fault": fault,
            "stuck": asked_to_wire(checked_stuck(stuck)),
        }
        answer = await self._command("POST", agent_id, "heartbeat", body)
        return evolve(from_wire(Agent, part_of(answer, "agent")), incarnation=incarnation)

    async def set_status(
        self, agent_id: str, status: AgentStatus | str, *, reason: str, actor: str = "operator"
    ) -> Agent:
        """Set an agent's status, as an operator.

        Raises:
            InvalidInput: the status is unknown, or the reason missing.
            NotFound: there is no such agent.
            IllegalTransition: it is draining or gone.
        """
        body = {"status": status, "reason": reason}
        return from_wire(Agent, await self._command("PATCH", agent_id, "status", body))

    async def drain(
        self,
        agent_id: str,
        *,
        reason: str,
        actor: str = "operator",
        incarnation: str | None = None,
    ) -> Agent:
        """Let the agent finish its jobs and claim no new ones.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has replaced it.
            AgentDeregistered: it is gone.
        """
        return await self._leave(agent_id, "drain", reason, incarnation)

    async def deregister(
        self,
        agent_id: str,
        *,
        reason: str = "deregistered",
        actor: str = "operator",
        incarnation: str | None = None,
    ) -> Agent:
        """Mark the agent as gone; the leases of jobs that it still runs expire.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has replaced it.
        """
        return await self._leave(agent_id, "deregister", reason, incarnation)

    async def get(self, agent_id: str) -> Agent:
        """Return the agent, with the time of its last heartbeat.

        Raises:
            NotFound: there is no such agent.
        """
        path = path_of("agents", name=check_name("agent_id", agent_id))
        return from_wire(Agent, await self._connection.get(path))

    async def list(
        self,
        *,
        pool_name: str | None = None,
        status: AgentStatus | str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Agent]:
        """Return a page of agents, the newest first.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
            InvalidCursor: it is damaged, or belongs to another query.
        """
        query = {"pool_name": pool_name, "status": status, "limit": limit, "cursor": cursor}
        return from_wire(Page[Agent], await self._connection.get(path_of("agents"), query))

    async def _leave(
        self, agent_id: str, command: str, reason: str, incarnation: str | None
    ) -> Agent:
        body = {"reason": reason, "incarnation": incarnation}
        agent = from_wire(Agent, await self._command("POST", agent_id, command, body))
        return agent if incarnation is None else evolve(agent, incarnation=incarnation)

    async def _command(
        self, method: str, agent_id: str, command: str, body: Mapping[str, Any]
    ) -> Any:
        name = check_name("agent_id", agent_id)
        path = path_of("agents", name=name, command=command)
        return await self._connection.call(method, path, body, repeatable=True)
