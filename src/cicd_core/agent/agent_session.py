"""One session of an agent: it registers, works, drains, and deregisters."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import anyio

from cicd_core.agent.answers import SetupFailed
from cicd_core.agent.claim_loop import ClaimLoop
from cicd_core.agent.exchanger import Exchanger
from cicd_core.agent.executor import Executor, ExecutorContext
from cicd_core.agent.fitness import Fitness
from cicd_core.agent.lease_renewer import Heartbeat, LeaseRenewer
from cicd_core.agent.log_cleaning import clean_log_dir
from cicd_core.agent.retry import LAST_WORDS_SECONDS, Outage, patiently
from cicd_core.agent.slots import Slots
from cicd_core.agent.stuck import StuckWatch, end_process, stuck_reports
from cicd_core.errors import AlreadyExists, CicdError
from cicd_core.job_logs.masking import LogMasks
from cicd_core.model.amounts import amount
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.agent.claim_loop import ClaimTerms
    from cicd_core.agent.handlers import Handlers
    from cicd_core.agent.protocols import LogSink, WorkSource
    from cicd_core.agent.shutdown import Drain
    from cicd_core.agent.stuck import StuckLimit
    from cicd_core.errors import OperationRejected
    from cicd_core.ids import IdSource
    from cicd_core.job_logs.limits import LogLimits
    from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec
    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")


@frozen(kw_only=True)
class Plan:
    """The settings of an agent, checked and complete."""

    spec: AgentSpec
    terms: ClaimTerms
    grace_seconds: float
    heartbeat_interval_seconds: float
    metrics: Callable[[], AgentMetrics | None] | None
    log_dir: Path | None
    log_limits: LogLimits
    send_log_tail: bool
    #: Where to send logs; None: nowhere.
    send_logs: LogSink | None = None
    log_masks: LogMasks = LogMasks()
    #: When the process must end because slots are stuck; None: never.
    exit_when_stuck: StuckLimit | None = None


class AgentSession:
    """An agent's session, from its registration to its deregistration."""

    def __init__(
        self, plan: Plan, source: WorkSource, handlers: Handlers, drain: Drain, ids: IdSource
    ) -> None:
        """Create it in the event loop that it runs in."""
        self._plan = plan
        self._source = source
        self._handlers = handlers
        self._drain = drain
        self._ids = ids
        self._slots = Slots(plan.spec.slots)
        self._fitness = Fitness(plan.spec.slots, self._tell_fitness)
        self._keeper: LeaseRenewer | None = None
        self._refused: OperationRejected | None = None
        self._executor: Executor | None = None
        self._stuck_watch: StuckWatch | None = None

    async def live(self, run_soon: RunSoon) -> None:
        """Register, work until the agent drains, and deregister.

        Raises:
            CicdError: the control plane refuses the agent or its claims, and no retry can help; or
                it was away for a minute, and the agent ends when idle.
            SetupFailed: an agent that ends when idle can't run the jobs that are left.
        """
        agent = await self._register()
        if agent is None:
            return
        _log.info("agent %s: registered in pool %s", agent.agent_id, agent.pool_name)
        keeper = self._keeper = LeaseRenewer(self._source, self._heartbeat(agent, run_soon))
        try:
            async with keeper:
                await self._work(keeper, agent)
        finally:
            await self._say_farewell(keeper)
        watch = self._stuck_watch
        if watch is not None and watch.reason is not None:
            end_process(watch.reason)
        if self._refused is not None:
            raise self._refused
        if self._plan.terms.until_idle and self._fitness.doubt is not None:
            raise SetupFailed(self._fitness.doubt)

    async def _register(self) -> Agent | None:
        """Register; return None if the agent drains before that succeeds."""
        register = partial(self._source.agents.register, self._plan.spec)
        agent: Agent | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on, self._drain.begun, tasks.cancel_scope)
            agent = await patiently(
                register,
                what="the registration",
                passing=(AlreadyExists,),
                give_up=Outage(has_limit=self._plan.terms.until_idle).lasts_too_long,
            )
            tasks.cancel_scope.cancel()
        return agent

    def _stuck(self) -> list[ActiveJob]:
        return [] if self._executor is None else self._executor.stuck()

    def _heartbeat(self, agent: Agent, run_soon: RunSoon) -> Heartbeat:
        limit = self._plan.exit_when_stuck
        if limit is not None:
            self._stuck_watch = StuckWatch(
                limit,
                stuck=self._stuck,
                running=lambda: self._slots.held,
                on_drain=self._drain.ask,
                patience_seconds=self._plan.grace_seconds + LAST_WORDS_SECONDS,
            )
        return Heartbeat(
            spec=self._plan.spec,
            agent=agent,
            every_seconds=self._plan.heartbeat_interval_seconds,
            running=lambda: self._slots.busy,
            fault=lambda: self._fitness.fault,
            metrics=self._plan.metrics,
            on_drain=self._drain.ask,
            on_refused=lambda refused: run_soon(partial(self._be_refused, refused)),
            stuck=lambda: stuck_reports(self._stuck()),
            stuck_watch=self._stuck_watch,
        )

    def _tell_fitness(self) -> None:
        """Send a heartbeat now; an agent that ends when idle drains if it is unhealthy."""
        if self._keeper is not None:
            self._keeper.beat_soon()
        if self._plan.terms.until_idle and self._fitness.fault is not None:
            self._drain.ask(f"this machine cannot run jobs: {self._fitness.fault}")

    def _be_refused(self, refused: OperationRejected) -> None:
        """Finish the running jobs, then end with the error: another process may have the id."""
        if self._refused is None:
            _log.error("agent %s: its heartbeat was refused: %s", self._plan.spec.agent_id, refused)
            self._refused = refused
            self._drain.ask("its heartbeat was refused")

    async def _work(self, keeper: LeaseRenewer, agent: Agent) -> None:
        async with anyio.create_task_group() as watchers:
            watchers.start_soon(keeper.fail_with_it)
            if self._plan.log_dir is not None:
                limits = self._plan.log_limits
                await watchers.start(clean_log_dir, self._plan.log_dir, limits, agent.registered_at)
            async with anyio.create_task_group() as jobs:
                exchanger = Exchanger(self._source.queue)
                self._executor = executor = Executor(self._workshop(keeper, exchanger), jobs)
                loop = ClaimLoop(
                    exchanger,
                    self._plan.terms,
                    self._slots,
                    self._fitness,
                    self._drain,
                    self._ids,
                    executor.begin,
                )
                self._slots.on_idle = loop.notice_idle if self._plan.terms.until_idle else None
                watchers.start_soon(self._conduct_drain, keeper, loop, executor)
                await loop.run()
            watchers.cancel_scope.cancel()

    def _workshop(self, keeper: LeaseRenewer, exchanger: Exchanger) -> ExecutorContext:
        return ExecutorContext(
            exchanger=exchanger,
            handlers=self._handlers,
            keeper=keeper,
            slots=self._slots,
            fitness=self._fitness,
            drain=self._drain,
            log_dir=self._plan.log_dir,
            log_limits=self._plan.log_limits,
            send_log_tail=self._plan.send_log_tail,
            send_logs=self._plan.send_logs,
            log_masks=self._plan.log_masks,
            threads=anyio.CapacityLimiter(self._plan.spec.slots),
        )

    async def _conduct_drain(
        self, keeper: LeaseRenewer, loop: ClaimLoop, executor: Executor
    ) -> None:
        """Wait for the drain, then for the running jobs, then fire their scopes."""
        try:
            await self._drain.begun.wait()
            running = amount(self._slots.busy, "job")
            _log.info("draining with %s running: %s", running, self._drain.reason)
            loop.interrupt()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell_drain, keeper)
                with anyio.move_on_after(self._plan.grace_seconds):
                    await self._drain.immediate.wait()
                stopped = amount(self._slots.busy, "job")
                _log.info("the grace period is over: stopping %s", stopped)
                executor.stop_all(f"the agent drains: {self._drain.reason}")
                loop.give_up()
        finally:
            # After a cancellation, only this flag stops handlers in threads.
            executor.stop_all(f"the agent stops: {self._drain.reason or 'it was cancelled'}")

    async def _tell_drain(self, keeper: LeaseRenewer) -> None:
        await self._tell("the drain request", self._source.agents.drain, keeper)

    async def _say_farewell(self, keeper: LeaseRenewer) -> None:
        with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
            await self._tell("its farewell", self._source.agents.deregister, keeper)

    async def _tell(
        self, what: str, tell: Callable[..., Awaitable[object]], keeper: LeaseRenewer
    ) -> None:
        if self._refused is not None:  # another process with this id must not be drained
            return
        agent_id = self._plan.spec.agent_id
        reason = self._drain.reason or "the agent was cancelled"
        try:
            await patiently(
                lambda: tell(
                    agent_id, reason=reason, actor=agent_id, incarnation=keeper.incarnation
                ),
                what=f"agent {agent_id}: {what}",
            )
        except CicdError as failed:
            _log.warning("agent %s: %s failed: %s", agent_id, what, failed)


async def _cancel_on(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
