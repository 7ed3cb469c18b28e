"""The lease renewer: a thread of its own, so that a blocking handler does not lose its lease.

It has its own event loop, of the same kind as the caller's, and its own connection to the control
plane. It renews all leases in one call after a third of their length, sends the agent's heartbeat,
notices cancel requests, timeouts and lost leases, and stops jobs whose leases it could not renew.
It never waits for the main loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.lowlevel import current_token

from cicd_core.agent.lease_clock import PauseWatch, lease_clock
from cicd_core.agent.lease_table import LeaseTable
from cicd_core.agent.measuring import Measuring
from cicd_core.agent.retry import (
    CALL_SECONDS,
    LAST_WORDS_SECONDS,
    Backoff,
    answer_within,
)
from cicd_core.agent.stuck import end_process
from cicd_core.errors import CicdError, NotFound, OperationRejected
from cicd_core.model.agent import AgentStatus
from cicd_core.model.amounts import amount
from cicd_core.threads import run_soon_here
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.agent.protocols import WorkSource
    from cicd_core.agent.stuck import StuckWatch
    from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, StuckReport
    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")

#: The longest pause between two tries of a renewal, as a part of the lease.
_RETRY_PART: Final = 1 / 12
#: How long one try may wait for an answer, as a part of the lease: it leaves time for another.
_ANSWER_PART: Final = 2 / 9
#: The longest pause between two checks while a lease is held, in seconds. Timers do not count the
#: time that a machine sleeps, so an overdue one is only noticed by a check.
_LOOK_SECONDS: Final = 0.5


@frozen(kw_only=True)
class Heartbeat:
    """What a heartbeat reports, how often, and the callbacks for its answers.

    The callbacks run in the renewer's thread, and must neither block nor raise.
    """

    spec: AgentSpec
    #: The agent as it was registered.
    agent: Agent
    every_seconds: float
    #: Returns the number of slots in use.
    running: Callable[[], int]
    #: Returns why the machine can't run any job; None while it can.
    fault: Callable[[], str | None]
    #: Measures the machine, in a thread. It may raise, which is logged, and it may hang.
    metrics: Callable[[], AgentMetrics | None] | None
    #: Called with the reason when an operator drains the agent.
    on_drain: Callable[[str], object]
    #: Called when another agent took this id, or the agent was deregistered.
    on_refused: Callable[[OperationRejected], object]
    #: Returns the slots that can't be freed.
    stuck: Callable[[], Sequence[StuckReport]] = tuple
    #: Ends the process when too many slots are stuck; None: never.
    stuck_watch: StuckWatch | None = None


class LeaseRenewer:
    """Renews leases while it is entered. Any thread may call ``hold`` and ``drop``."""

    def __init__(self, source: WorkSource, heartbeat: Heartbeat) -> None:
        """Create it in the main loop; the thread starts when it is entered."""
        self._source = source
        self._heartbeat = heartbeat
        self._agent = heartbeat.agent
        self._book = LeaseTable()
        self._pauses = PauseWatch()
        self._tell_main = run_soon_here()
        self._backend = _backend_name()
        name = f"cicd-core-keeper-{self._agent.agent_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._stopping = False
        self._tell_keeper: RunSoon | None = None
        self._scope: anyio.CancelScope | None = None
        self._woken: anyio.Event  # created in the renewer's own loop
        self._asleep_until = math.inf
        self._error: BaseException | None = None
        self._link: WorkSource | None = None
        #: Set in the main loop when the thread has ended.
        self.ended = anyio.Event()
        self._renewing = False
        self._renew_not_before = 0.0
        self._renew_backoff = Backoff(first=0.05)
        self._beating = False
        self._beat_at = 0.0
        self._measuring = Measuring(heartbeat.metrics)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stopping = True
            if self._tell_keeper is not None and self._scope is not None:
                self._tell_keeper(self._scope.cancel)
        with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
            await self.ended.wait()
        if self.ended.is_set():
            self._thread.join()
        else:
            _log.warning("the lease renewer does not stop; it ends with the process")

    async def fail_with_it(self) -> None:
        """Wait for the end of the thread, which must not come before the renewer is exited.

        Raises:
            RuntimeError: the thread ended early; the cause is its exception.
        """
        await self.ended.wait()
        raise RuntimeError("the lease renewer failed; leases are not renewed") from self._error

    @property
    def incarnation(self) -> str:
        """The current incarnation: the agent registers again if the control plane forgot it."""
        return self._agent.incarnation

    def hold(
        self,
        holding: ActiveJob,
        *,
        sent_at: float,
        seconds_left: float,
        timeout_at: float,
        at_limit: bool = False,
    ) -> None:
        """Renew a lease that is valid for ``seconds_left`` from ``sent_at`` on.

        Instants are those of :func:`~cicd_core.agent.lease_clock.lease_clock`.
        """
        self._book.hold(
            holding,
            sent_at=sent_at,
            seconds_left=seconds_left,
            timeout_at=timeout_at,
            at_limit=at_limit,
        )
        if min(self._book.renewal_at(), self._book.alarm_at()) < self._asleep_until:
            self._wake()

    def drop(self, holding: ActiveJob) -> None:
        """Stop renewing a lease; later answers about it are ignored."""
        self._book.drop(holding)

    def beat_soon(self) -> None:
        """Send a heartbeat now, because its content has changed."""
        tell = self._tell_keeper
        if tell is not None:
            tell(self._beat_now)

    def _beat_now(self) -> None:
        self._beat_at = 0.0
        self._woken.set()

    def _wake(self) -> None:
        tell = self._tell_keeper
        if tell is not None:
            tell(self._look_again)

    def _look_again(self) -> None:
        self._woken.set()

    def _run(self) -> None:
        try:
            anyio.run(self._main, backend=self._backend)
        except BaseException as error:  # noqa: BLE001 - kept, and raised in the main loop
            self._error = error
        finally:
            self._tell_main(self.ended.set)

    async def _main(self) -> None:
        self._woken = anyio.Event()
        with anyio.CancelScope() as scope:
            with self._lock:
                self._scope, self._tell_keeper = scope, run_soon_here()
                if self._stopping:
                    return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stay_connected)
                await self._keep(tasks)

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            try:
                async with self._source.sibling() as self._link:
                    self._woken.set()
                    await anyio.sleep_forever()
            except CicdError as failed:
                if not failed.recoverable:
                    raise
                _log.warning("the lease renewer is not connected, next try soon: %s", failed)
            await anyio.sleep(backoff.next_delay())

    async def _keep(self, tasks: TaskGroup) -> None:
        due_at = math.inf
        while True:
            self._woken = anyio.Event()
            # Set before the checks, so that a lease added after them wakes this loop.
            self._asleep_until = math.inf
            self._book.stop_overdue()
            self._notice_pause(due_at)
            now = lease_clock()
            await self._end_if_stuck()
            if self._link is not None:
                self._start_due(tasks, self._link, now)
            due_at = await self._sleep()

    async def _end_if_stuck(self) -> None:
        """If too many slots are stuck, deregister the agent and end the process."""
        watch = self._heartbeat.stuck_watch
        if watch is None or not watch.look() or watch.reason is None:
            return
        agent = self._agent
        try:
            with answer_within(LAST_WORDS_SECONDS / 2):
                if self._link is not None:
                    await self._link.agents.deregister(
                        agent.agent_id,
                        reason=watch.reason,
                        actor=agent.agent_id,
                        incarnation=agent.incarnation,
                    )
        except CicdError as failed:
            _log.warning("agent %s: its deregistration failed: %s", agent.agent_id, failed)
        finally:
            end_process(watch.reason)

    def _notice_pause(self, due_at: float) -> None:
        """After a pause of the machine, renew all leases at once to learn which are still held."""
        lost = self._pauses.look(due_at)
        if lost and self._book.held():
            _log.warning("%.1f s were lost (a suspend?): renewing all leases now", lost)
            self._book.renew_soon(lease_clock())
            self._renew_not_before = 0.0

    async def _sleep(self) -> float:
        """Sleep until something is due; return the time when it was due."""
        until = self._book.alarm_at()
        watches = self._heartbeat.stuck_watch is not None and self._heartbeat.running() > 0
        if watches or self._book.held():
            until = min(until, lease_clock() + _LOOK_SECONDS)
        if self._link is not None and not self._renewing:
            until = min(until, max(self._book.renewal_at(), self._renew_not_before))
        if self._link is not None and not self._beating:
            until = min(until, self._beat_at)
        self._asleep_until = until
        with anyio.move_on_after(until - lease_clock()):
            await self._woken.wait()
        return until

    def _start_due(self, tasks: TaskGroup, source: WorkSource, now: float) -> None:
        renewal_at = max(self._book.renewal_at(), self._renew_not_before)
        if not self._renewing and renewal_at <= now:
            self._renewing = True
            tasks.start_soon(self._renew, source)
        if not self._beating and self._beat_at <= now:
            self._beating = True
            self._beat_at = now + self._heartbeat.every_seconds
            tasks.start_soon(self._beat, source)

    async def _renew(self, source: WorkSource) -> None:
        holdings = self._book.held()
        shortest = self._book.shortest()
        sent_at = lease_clock()
        try:
            with answer_within(min(CALL_SECONDS, shortest * _ANSWER_PART)):
                statuses = await source.queue.renew([holding.claimed for holding in holdings])
        except CicdError as failed:
            if not failed.recoverable:
                raise
            leases = amount(len(holdings), "lease")
            _log.warning("%s not renewed, next try soon: %s", leases, failed)
            delay = self._renew_backoff.next_delay()
            if self._book.alarm_at() < math.inf:  # otherwise no deadline is left to meet
                delay = min(delay, shortest * _RETRY_PART)
            self._renew_not_before = lease_clock() + delay
        else:
            self._renew_backoff.reset()
            self._renew_not_before = 0.0
            self._book.renewed(holdings, statuses, sent_at)
        self._renewing = False
        self._woken.set()

    async def _beat(self, source: WorkSource) -> None:
        longest = min(CALL_SECONDS, self._heartbeat.every_seconds)
        metrics = await self._measuring.measured(longest)
        try:
            with answer_within(longest):
                await self._send_heartbeat(source, metrics)
        except OperationRejected as refused:
            self._heartbeat.on_refused(refused)
        except CicdError as failed:
            if not failed.recoverable:
                raise
            _log.warning("the heartbeat was not sent, next try at the next interval: %s", failed)
        self._beating = False
        self._woken.set()

    async def _send_heartbeat(self, source: WorkSource, metrics: AgentMetrics | None) -> None:
        agent = self._agent
        try:
            agent = await source.agents.heartbeat(
                agent.agent_id,
                agent.incarnation,
                metrics=metrics,
                running=self._heartbeat.running(),
                fault=self._heartbeat.fault(),
                **self._stuck_slots(),
            )
        except NotFound:
            _log.warning("the control plane has no record of agent %s: registering", agent.agent_id)
            await self._register_again(source)
        if agent.status is AgentStatus.TERMINATING:
            self._heartbeat.on_drain(agent.drain_reason or "the control plane drains it")

    def _stuck_slots(self) -> dict[str, Any]:
        """Return the stuck slots as an argument; older sources do not accept an empty one."""
        stuck = self._heartbeat.stuck()
        return {"stuck": stuck} if stuck else {}

    async def _register_again(self, source: WorkSource) -> None:
        """Register; the next heartbeat tries again if that is refused."""
        try:
            self._agent = await source.agents.register(self._heartbeat.spec)
        except OperationRejected as refused:
            _log.warning("the registration was refused, next try soon: %s", refused)


def _backend_name() -> str:
    """Return the kind of the running event loop."""
    is_asyncio = isinstance(current_token().native_token, asyncio.AbstractEventLoop)
    return "asyncio" if is_asyncio else "trio"
