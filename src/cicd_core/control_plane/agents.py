"""Agents: registration, heartbeats, drain; a heartbeat renews the lease of the agent's record."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - to_json resolves annotations
from functools import partial
from typing import TYPE_CHECKING

from cicd_core.background import together
from cicd_core.clock import monotonic_seconds
from cicd_core.errors import (
    AgentDeregistered,
    AgentReplaced,
    AgentUnavailable,
    OperationRejected,
)
from cicd_core.lifecycle import agents as lifecycle
from cicd_core.model.agent import Agent, AgentStatus, HealthPolicy, checked, checked_stuck
from cicd_core.model.checks import check_name
from cicd_core.model.choices import check_choice
from cicd_core.model.instants import SECOND, from_micros, micros
from cicd_core.persistence.collections import AGENTS, BY_POOL, BY_STATUS, of_pool
from cicd_core.persistence.listing import Listing, Page, read_page
from cicd_core.store.records import Lease, Partition, Renewal
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.agent import AgentMetrics, AgentSpec, StuckReport
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import StoreTime

#: A heartbeat is never too late to renew: the limit of the lease is a century ahead.
_CENTURY = 100 * 365 * 24 * 3600 * SECOND
#: Number of agents cached between their heartbeats.
_REMEMBERED = 16_384

#: The statuses of agents whose processes run.
PRESENT = (
    AgentStatus.REGISTERING,
    AgentStatus.HEALTHY,
    AgentStatus.DEGRADED,
    AgentStatus.UNHEALTHY,
    AgentStatus.TERMINATING,
)


@frozen(kw_only=True)
class PresentAgents:
    """The agents of a pool whose processes run, according to their heartbeats."""

    agents: tuple[Agent, ...]
    #: Number of offline agents.
    offline: int
    #: The ids of agents whose records do not decode, by status.
    unreadable: Mapping[AgentStatus, tuple[str, ...]]


class AgentService:
    """Agents. Satisfies the runtime's ``AgentRegistry``."""

    def __init__(self, context: Context, repository: Repository[Agent]) -> None:
        self._context = context
        self._repository = repository
        self._policy = HealthPolicy(heartbeat_ttl=context.settings.heartbeat_timeout_seconds)
        self._beating: dict[str, Loaded[Agent]] = {}
        #: When each agent was last found fit for work, in seconds of this process's clock.
        self._fit: dict[str, float] = {}

    async def register(self, spec: AgentSpec) -> Agent:
        """Start a new incarnation of an agent; the previous one is refused from now on.

        The answer is REGISTERING and has the ``incarnation`` that heartbeats must send.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentReplaced: another incarnation started before the answer came.
        """
        wanted = checked(spec)
        incarnation = self._context.ids.claim_id()

        def decide(agent: Agent | None, now: datetime, _: int) -> Decision[Agent]:
            return lifecycle.register(agent, spec=wanted, incarnation=incarnation, now=now)

        def lease(_: object, time: StoreTime) -> Lease:
            return self._lease(incarnation, time)

        registered = await self._repository.put(wanted.agent_id, decide, lease=lease)
        return self._own(registered, incarnation)

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
        check_name("agent_id", agent_id)
        check_name("incarnation", incarnation)
        stuck = checked_stuck(stuck)  # it may be an iterator, and is read more than once
        renewal = Renewal(
            collection=AGENTS.name,
            key=agent_id,
            claim_id=incarnation,
            duration=micros(self._context.settings.heartbeat_timeout_seconds),
        )
        (answer,) = await self._context.store.renew([renewal])
        known = self._beating.get(agent_id)
        if known is None or answer is None or known.version != answer.version:
            known = await self._repository.get(agent_id)

        def decide(agent: Agent, now: datetime, _: int = 0) -> Decision[Agent]:
            return lifecycle.heartbeat(
                agent,
                incarnation=incarnation,
                now=now,
                metrics=metrics,
                running=running,
                fault=fault,
                stuck=stuck,
                policy=self._policy,
            )

        decision = decide(known.value, await self._context.calendar())
        if answer is None:  # the decision says why, unless the record was deleted just now
            raise OperationRejected(
                f"agent {agent_id!r}: its record has no heartbeat any more; register it again"
            )
        if decision.changed:
            changed = await self._repository.change(agent_id, decide, before=known)
            return self._own(changed, incarnation)
        return self._seen(evolve(known, value=decision.value))

    async def set_status(
        self, agent_id: str, status: AgentStatus | str, *, reason: str, actor: str = "operator"
    ) -> Agent:
        """Set an agent's status, as an operator.

        Raises:
            InvalidInput: the status is unknown, or the reason missing.
            NotFound: there is no such agent.
            IllegalTransition: it is draining or gone.
        """
        wanted = _checked_status(status)
        return await self._change(
            agent_id,
            lambda agent, now, _: lifecycle.set_status(
                agent, status=wanted, now=now, actor=actor, reason=reason
            ),
        )

    async def drain(
        self,
        agent_id: str,
        *,
        reason: str,
        actor: str = "operator",
        incarnation: str | None = None,
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
        return await self._change(
            agent_id,
            lambda agent, now, _: lifecycle.drain(
                agent, now=now, actor=actor, reason=reason, incarnation=incarnation
            ),
        )

    async def deregister(
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
        return await self._change(
            agent_id,
            lambda agent, now, _: lifecycle.deregister(
                agent, now=now, actor=actor, reason=reason, incarnation=incarnation
            ),
        )

    async def require_fit(self, agent_id: str) -> None:
        """Check that an agent may get work; an agent that never registered passes.

        The check reads its record, unless it passed within ``lane_refresh_seconds``: then a claim
        costs no read, and an agent that has become unhealthy gets work for a few seconds more.

        Raises:
            AgentUnavailable: it is unhealthy or drains.
            AgentDeregistered: it is deregistered.
        """
        check_name("agent_id", agent_id)
        found_fit = self._fit.get(agent_id)
        longest = self._context.settings.lane_refresh_seconds
        if found_fit is not None and monotonic_seconds() - found_fit < longest:
            return
        # The status of a record that does not decode is unknown, so the agent passes.
        found = (await self._repository.get_readable([agent_id])).get(agent_id)
        if found is not None and not found.value.may_claim:
            agent = found.value
            if agent.status is AgentStatus.TERMINATED:
                raise AgentDeregistered(agent_id, agent.status.value, agent.status_reason)
            raise AgentUnavailable(agent_id, agent.status.value, agent.status_reason)
        if len(self._fit) >= _REMEMBERED:
            self._fit.clear()
        self._fit[agent_id] = monotonic_seconds()

    async def get(self, agent_id: str) -> Agent:
        """Return the agent, with the time of its last heartbeat.

        Raises:
            NotFound: there is no such agent.
        """
        found = await self._repository.get(check_name("agent_id", agent_id))
        return self._beaten(found, await self._context.store.now())

    async def in_pool(self, pool_name: str) -> list[Agent]:
        """Return every agent of a pool that is not gone, including offline agents."""
        offline = await self._of_status(pool_name, AgentStatus.OFFLINE)
        return [*(await self.present(pool_name)).agents, *offline.items]

    async def present(self, pool_name: str) -> PresentAgents:
        """Return the online agents of a pool; offline ones are only counted.

        Cost: grows with the online agents, not with those that are gone.
        """
        pages = await together([partial(self._of_status, pool_name, item) for item in PRESENT])
        silent = _partitions(pool_name, AgentStatus.OFFLINE)
        (offline,) = await self._context.store.count(silent)
        return PresentAgents(
            agents=tuple({item.agent_id: item for page in pages for item in page.items}.values()),
            offline=offline.number,
            unreadable={
                status: page.unreadable
                for status, page in zip(PRESENT, pages, strict=True)
                if page.unreadable
            },
        )

    async def _of_status(self, pool_name: str, status: AgentStatus) -> Page[Agent]:
        """Return all of a pool's agents of one status, as one page."""
        agents: list[Agent] = []
        unreadable: list[str] = []
        cursor: str | None = None
        while True:
            page = await self.list(pool_name=pool_name, status=status, limit=500, cursor=cursor)
            agents += page.items
            unreadable += page.unreadable
            cursor = page.cursor
            if cursor is None:
                return Page(tuple(agents), None, tuple(unreadable))

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
        wanted = None if status is None else _checked_status(status)
        time = await self._context.store.now()
        listing = Listing(
            partitions=_partitions(pool_name, *(AgentStatus if wanted is None else (wanted,))),
            load=lambda record: self._overlaid(self._repository.load(record), time),
            keep=lambda agent: wanted is None or agent.status is wanted,
            filters=(str(wanted), str(pool_name)),
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    def _lease(self, incarnation: str, time: StoreTime) -> Lease:
        instant = time.micros
        return Lease(
            claim_id=incarnation,
            granted=instant,
            renewed=instant,
            expires=instant + micros(self._context.settings.heartbeat_timeout_seconds),
            limit=instant + _CENTURY,
        )

    async def _change(
        self, agent_id: str, decide: Callable[[Agent, datetime, int], Decision[Agent]]
    ) -> Agent:
        check_name("agent_id", agent_id)
        return self._seen(await self._repository.change(agent_id, decide))

    def _own(self, loaded: Loaded[Agent], incarnation: str) -> Agent:
        """Cache the agent, and refuse an incarnation that was replaced after its write."""
        agent = self._seen(loaded)
        if agent.incarnation != incarnation:
            raise AgentReplaced(agent.agent_id, incarnation)
        return agent

    def _seen(self, loaded: Loaded[Agent]) -> Agent:
        """Cache the values that the next heartbeat is compared with."""
        if len(self._beating) >= _REMEMBERED:
            self._beating.clear()
        self._beating[loaded.value.agent_id] = loaded
        if not loaded.value.may_claim:
            self._fit.pop(loaded.value.agent_id, None)
        return loaded.value

    def _overlaid(self, loaded: Loaded[Agent], time: StoreTime) -> Loaded[Agent]:
        return evolve(loaded, value=self._beaten(loaded, time))

    def _beaten(self, loaded: Loaded[Agent], time: StoreTime) -> Agent:
        """Return the agent with its last heartbeat, which the lease has, not the calendar."""
        if loaded.lease is None:
            return loaded.value
        heard = time.calendar_of(loaded.lease.renewed)
        return evolve(loaded.value, heartbeat_at=from_micros(heard))


def _partitions(pool_name: str | None, *statuses: AgentStatus) -> tuple[Partition, ...]:
    if pool_name is None:
        return tuple(Partition(AGENTS.name, BY_STATUS, item.value) for item in statuses)
    check_name("pool_name", pool_name)
    values = [of_pool(pool_name, item.value) for item in statuses]
    return tuple(Partition(AGENTS.name, BY_POOL, value) for value in values)


def _checked_status(status: AgentStatus | str) -> AgentStatus:
    return check_choice("status", status, AgentStatus)
