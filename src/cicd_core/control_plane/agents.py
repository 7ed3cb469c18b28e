"""Agents: they register, beat, drain and go; a heartbeat is the renewal of their record's lease."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
from attrs import evolve, frozen

from cicd_core.background import together
from cicd_core.control_plane.listing import Listing, Page, read_page
from cicd_core.errors import (
    AgentReplaced,
    AgentUnavailable,
    InvalidInput,
    OperationRejected,
    TooManyConflicts,
)
from cicd_core.lifecycle import agents as lifecycle
from cicd_core.model.agent import Agent, AgentStatus, HealthPolicy, checked, checked_stuck
from cicd_core.model.checks import check_name
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import AGENTS, BY_POOL, BY_STATUS, of_pool
from cicd_core.persistence.mappings import micros
from cicd_core.store.records import Lease, Partition, Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.agent import AgentMetrics, AgentSpec, StuckReport
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import StoreTime

#: No renewal of a heartbeat is ever too late: the lease's limit lies a century ahead.
_CENTURY = 100 * 365 * 24 * 3_600_000_000
#: How many agents are remembered between their heartbeats.
_REMEMBERED = 16_384


#: The statuses of agents whose processes are there.
PRESENT = (
    AgentStatus.REGISTERING,
    AgentStatus.HEALTHY,
    AgentStatus.DEGRADED,
    AgentStatus.UNHEALTHY,
    AgentStatus.TERMINATING,
)


@frozen(kw_only=True)
class PresentAgents:
    """The agents of a pool whose processes are there, as far as heartbeats tell."""

    agents: tuple[Agent, ...]
    #: How many are offline.
    offline: int
    #: The ids of those whose records do not decode, by status.
    unreadable: Mapping[AgentStatus, tuple[str, ...]]


class AgentService:
    """Agents. Satisfies the runtime's ``AgentRegistry``."""

    def __init__(self, context: Context, repository: Repository[Agent]) -> None:
        """Take the way to the store, and the agents' records."""
        self._context = context
        self._repository = repository
        self._policy = HealthPolicy(heartbeat_ttl=context.settings.heartbeat_seconds)
        self._beating: dict[str, Loaded[Agent]] = {}
        #: When each agent was last found fit for work, in seconds of the event loop's clock.
        self._fit: dict[str, float] = {}

    async def register(self, spec: AgentSpec) -> Agent:
        """Begin a new incarnation of an agent; the one before, if it lives, is refused from now on.

        The answer is REGISTERING, and carries the ``incarnation`` that its heartbeats must show.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentReplaced: another incarnation began before the answer came.
        """
        wanted = checked(spec)
        incarnation = self._context.ids.claim_id()

        def decide(agent: Agent | None, now: datetime) -> Decision[Agent]:
            return lifecycle.register(agent, spec=wanted, incarnation=incarnation, now=now)

        def lease(_: object, time: StoreTime) -> Lease:
            return self._lease(incarnation, time)

        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            known = (await self._repository.get_many([wanted.agent_id])).get(wanted.agent_id)
            if known is not None:
                changed = await self._repository.change(
                    wanted.agent_id, decide, before=known, lease=lease
                )
                return self._own(changed, incarnation)
            time = await self._context.store.now()
            made = await self._repository.create(
                decide(None, from_micros(time.calendar)), time=time, lease=lease(None, time)
            )
            if made is not None:
                return self._own(made, incarnation)
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"agent {wanted.agent_id}"], attempts)

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
        """Say that this incarnation lives; one round trip, and a commit when its health changes.

        Args:
            agent_id: the agent.
            incarnation: of the process that beats.
            metrics: of its machine; None: not measured this time, the last ones hold.
            running: slots in use; None: the agent does not say.
            fault: why its machine can't run any job, in the agent's own words: it is unhealthy, and
                gets none, until a heartbeat comes without one.
            stuck: the slots among those in use that it can't free; they are part of its health, and
                its record names them (:attr:`cicd_core.model.agent.Agent.stuck`).

        Raises:
            AgentReplaced: another incarnation took its place: stop.
            OperationRejected: it has gone: register again, or stop.
            NotFound: it never registered.
            InvalidInput: a metric is not 0 to 100, ``running`` is out of range, or a field of
                ``stuck`` is wrong.
        """
        check_name("agent_id", agent_id)
        check_name("incarnation", incarnation)
        stuck = checked_stuck(stuck)  # it is read more than once from here on
        renewal = Renewal(
            collection=AGENTS.name,
            key=agent_id,
            claim_id=incarnation,
            duration=micros(self._context.settings.heartbeat_seconds),
        )
        (answer,) = await self._context.store.renew([renewal])
        known = self._beating.get(agent_id)
        if known is None or answer is None or known.version != answer.version:
            known = await self._repository.get(agent_id)

        def decide(agent: Agent, now: datetime) -> Decision[Agent]:
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
        if answer is None:  # the decision says why, unless it was taken away in this very moment
            raise OperationRejected(
                f"agent {agent_id!r}: its heartbeat holds nothing any more; register it"
            )
        if decision.changed:
            changed = await self._repository.change(agent_id, decide, before=known)
            return self._own(changed, incarnation)
        return self._seen(evolve(known, value=decision.value))

    async def set_status(
        self, agent_id: str, status: AgentStatus | str, *, reason: str, by: str = "operator"
    ) -> Agent:
        """An operator's word on an agent's health.

        Raises:
            InvalidInput: an unknown status, or no reason.
            NotFound: there is no such agent.
            IllegalTransition: it is draining or gone.
        """
        wanted = _checked_status(status)
        return await self._change(
            agent_id,
            lambda agent, now: lifecycle.set_status(
                agent, status=wanted, now=now, by=by, reason=reason
            ),
        )

    async def drain(
        self,
        agent_id: str,
        *,
        reason: str,
        by: str = "operator",
        incarnation: str | None = None,
    ) -> Agent:
        """Let it finish what it runs, and take nothing new.

        Args:
            agent_id: the agent.
            reason: why, for people.
            by: who asks.
            incarnation: of the process that drains itself, so that it never drains its successor;
                None for an operator, who means whoever has the id.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has taken its place.
            IllegalTransition: it is gone.
        """
        return await self._change(
            agent_id,
            lambda agent, now: lifecycle.drain(
                agent, now=now, by=by, reason=reason, incarnation=incarnation
            ),
        )

    async def deregister(
        self,
        agent_id: str,
        *,
        reason: str = "deregistered",
        by: str = "operator",
        incarnation: str | None = None,
    ) -> Agent:
        """Say that it is gone for good; what it still runs is lost by its leases.

        Args:
            agent_id: the agent.
            reason: why, for people.
            by: who asks.
            incarnation: of the process that leaves, so that it never ends its successor; None for
                an operator.

        Raises:
            NotFound: there is no such agent.
            AgentReplaced: another incarnation has taken its place.
        """
        return await self._change(
            agent_id,
            lambda agent, now: lifecycle.deregister(
                agent, now=now, by=by, reason=reason, incarnation=incarnation
            ),
        )

    async def require_fit(self, agent_id: str) -> None:
        """Check that work may be given to an agent; one that never registered is not judged.

        Its record is read, unless it was found fit within ``lane_refresh_seconds``: a claim then
        costs no read, and an agent that falls ill elsewhere is given work for a few seconds more.

        Raises:
            AgentUnavailable: it is unhealthy, drains, or has gone.
        """
        check_name("agent_id", agent_id)
        found_fit = self._fit.get(agent_id)
        longest = self._context.settings.lane_refresh_seconds
        if found_fit is not None and anyio.current_time() - found_fit < longest:
            return
        # Of one that does not decode nobody can say that it is unfit.
        found = (await self._repository.get_readable([agent_id])).get(agent_id)
        if found is not None and not found.value.may_claim:
            agent = found.value
            raise AgentUnavailable(agent_id, agent.status.value, agent.status_reason)
        if len(self._fit) >= _REMEMBERED:
            self._fit.clear()
        self._fit[agent_id] = anyio.current_time()

    async def get(self, agent_id: str) -> Agent:
        """Return the agent, with the moment of its last heartbeat.

        Raises:
            NotFound: there is no such agent.
        """
        found = await self._repository.get(check_name("agent_id", agent_id))
        return self._beaten(found, await self._context.store.now())

    async def in_pool(self, pool_name: str) -> list[Agent]:
        """Return every agent of a pool that is not gone for good, those that are offline too."""
        offline = await self._of_status(pool_name, AgentStatus.OFFLINE)
        return [*(await self.present(pool_name)).agents, *offline.items]

    async def present(self, pool_name: str) -> PresentAgents:
        """Return the agents of a pool that are there; those that are offline are only counted.

        Cost: it grows with the agents that are there, not with those that have gone.
        """
        pages = await together([partial(self._of_status, pool_name, each) for each in PRESENT])
        silent = _partitions(pool_name, AgentStatus.OFFLINE)
        (offline,) = await self._context.store.count(silent)
        return PresentAgents(
            agents=tuple({each.agent_id: each for page in pages for each in page.items}.values()),
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
            InvalidCursor: it is damaged, or of another query.
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
            expires=instant + micros(self._context.settings.heartbeat_seconds),
            limit=instant + _CENTURY,
        )

    async def _change(
        self, agent_id: str, decide: Callable[[Agent, datetime], Decision[Agent]]
    ) -> Agent:
        check_name("agent_id", agent_id)
        return self._seen(await self._repository.change(agent_id, decide))

    def _own(self, loaded: Loaded[Agent], incarnation: str) -> Agent:
        """Remember the agent, and refuse an incarnation that was replaced since it wrote."""
        agent = self._seen(loaded)
        if agent.incarnation != incarnation:
            raise AgentReplaced(agent.agent_id, incarnation)
        return agent

    def _seen(self, loaded: Loaded[Agent]) -> Agent:
        """Remember what the next heartbeat is compared with."""
        if len(self._beating) >= _REMEMBERED:
            self._beating.clear()
        self._beating[loaded.value.agent_id] = loaded
        if not loaded.value.may_claim:
            self._fit.pop(loaded.value.agent_id, None)
        return loaded.value

    def _overlaid(self, loaded: Loaded[Agent], time: StoreTime) -> Loaded[Agent]:
        return evolve(loaded, value=self._beaten(loaded, time))

    def _beaten(self, loaded: Loaded[Agent], time: StoreTime) -> Agent:
        """Return the agent with its last heartbeat: by the lease, whatever a calendar showed."""
        if loaded.lease is None:
            return loaded.value
        heard = time.calendar_of(loaded.lease.renewed)
        return evolve(loaded.value, heartbeat_at=from_micros(heard))


def _partitions(pool_name: str | None, *statuses: AgentStatus) -> tuple[Partition, ...]:
    if pool_name is None:
        return tuple(Partition(AGENTS.name, BY_STATUS, each.value) for each in statuses)
    check_name("pool_name", pool_name)
    values = [of_pool(pool_name, each.value) for each in statuses]
    return tuple(Partition(AGENTS.name, BY_POOL, value) for value in values)


def _checked_status(status: AgentStatus | str) -> AgentStatus:
    try:
        return AgentStatus(status)
    except ValueError:
        raise InvalidInput("status", status, f"give one of {', '.join(AgentStatus)}") from None
