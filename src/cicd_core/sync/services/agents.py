"""AgentService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.agents import AgentService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.control_plane.agents import PresentAgents
    from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, AgentStatus, StuckReport
    from cicd_core.persistence.listing import Page


class AgentService(Facade[Service]):
    """Agents. Satisfies the runtime's ``AgentRegistry``."""

    def register(self, spec: AgentSpec) -> Agent:
        """Start a new incarnation of an agent; the previous one is refused from now on.

        The answer is REGISTERING and has the ``incarnation`` that heartbeats must send.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentReplaced: another incarnation started before the answer came.
        """
        return self._call(partial(self._service.register, spec))

    def heartbeat(
        self,
        agent_id: str,
        incarnation: str,
        *,
        metrics: AgentMetrics | None = None,
        running: int | None = None,
        fault: str | None = None,
        stuck: Sequence[StuckReport] = (),
    ) -> Agent:
        """Report that this incarnation runs: one round trip, and a commit when its health changes.

        Args:
            agent_id: the agent.
            incarnation: that of the reporting process.
            metrics: those of its machine; None: not measured, the last ones stay.
            running: slots in use; None: not reported.
            fault: why its machine cannot run any job, in the agent's words: the agent is unhealthy
                and gets no jobs until a heartbeat has no fault.
            stuck: the used slots that it cannot free; they affect its health, and its record
                lists them (:attr:`cicd_core.model.agent.Agent.stuck`).

        Raises:
            AgentReplaced: another incarnation replaced this one: stop.
            AgentDeregistered: it is gone: register again, or stop.
            NotFound: it never registered.
            InvalidInput: a metric is not 0 to 100, ``running`` is out of range, or a field of
                ``stuck`` is wrong.
        """
        return self._call(
            partial(
                self._service.heartbeat,
                agent_id,
                incarnation,
                metrics=metrics,
                running=running,
                fault=fault,
                stuck=stuck,
            )
        )

    def set_status(
        self, agent_id: str, status: AgentStatus | str, *, reason: str, actor: str = "operator"
    ) -> Agent:
        """Set an agent's status, as an operator.

        Raises:
            InvalidInput: the status is unknown, or the reason missing.
            NotFound: there is no such agent.
            IllegalTransition: it is draining or gone.
        """
        return self._call(
            partial(self._service.set_status, agent_id, status, reason=reason, actor=actor)
        )

    def drain(
        self, agent_id: str, *, reason: str, actor: str = "operator", incarnation: str | None = None
    ) -> Agent:
        """Let the agent finish its jobs and claim no new ones.

        Args:
            agent_id: the agent.
            reason: the reason, for people.
            actor: the caller.
            incarnation: that of a process that drains itself, so that it cannot drain its
                successor; None for an operator, which means any incarnation.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has replaced it.
            AgentDeregistered: it is gone.
        """
        return self._call(
            partial(
                self._service.drain, agent_id, reason=reason, actor=actor, incarnation=incarnation
            )
        )

    def deregister(
        self,
        agent_id: str,
        *,
        reason: str = "deregistered",
        actor: str = "operator",
        incarnation: str | None = None,
    ) -> Agent:
        """Mark the agent as gone; the leases of jobs that it still runs expire.

        Args:
            agent_id: the agent.
            reason: the reason, for people.
            actor: the caller.
            incarnation: that of the leaving process, so that it cannot end its successor; None for
                an operator.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has replaced it.
        """
        return self._call(
            partial(
                self._service.deregister,
                agent_id,
                reason=reason,
                actor=actor,
                incarnation=incarnation,
            )
        )

    def require_fit(self, agent_id: str) -> None:
        """Check that an agent may get work; an agent that never registered passes.

        The check reads its record, unless it passed within ``lane_refresh_seconds``: then a claim
        costs no read, and an agent that has become unhealthy gets work for a few seconds more.

        Raises:
            AgentUnavailable: it is unhealthy or drains.
            AgentDeregistered: it is deregistered.
        """
        return self._call(partial(self._service.require_fit, agent_id))

    def get(self, agent_id: str) -> Agent:
        """Return the agent, with the time of its last heartbeat.

        Raises:
            NotFound: there is no such agent.
        """
        return self._call(partial(self._service.get, agent_id))

    def in_pool(self, pool_name: str) -> list[Agent]:
        """Return every agent of a pool that is not gone, including offline agents."""
        return self._call(partial(self._service.in_pool, pool_name))

    def present(self, pool_name: str) -> PresentAgents:
        """Return the online agents of a pool; offline ones are only counted.

        Cost: grows with the online agents, not with those that are gone.
        """
        return self._call(partial(self._service.present, pool_name))

    def list(
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
        return self._call(
            partial(
                self._service.list, pool_name=pool_name, status=status, limit=limit, cursor=cursor
            )
        )
