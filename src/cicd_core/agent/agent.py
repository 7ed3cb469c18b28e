"""The agent to embed: it claims jobs, runs them, and drains before it ends."""

from __future__ import annotations

import logging
import os
import re
import socket
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from cicd_core.agent.agent_session import AgentSession, Plan
from cicd_core.agent.answers import SetupFailed, alone
from cicd_core.agent.claim_loop import ClaimTerms
from cicd_core.agent.handlers import Handler, Handlers
from cicd_core.agent.logs import log_dir_probe
from cicd_core.agent.shutdown import Drain
from cicd_core.agent.signals import drained_by_signals
from cicd_core.agent.stuck import StuckLimit
from cicd_core.background import beside
from cicd_core.errors import InvalidInput, OperationRejected
from cicd_core.ids import IdSource
from cicd_core.job_logs.limits import LogLimits
from cicd_core.job_logs.masking import LogMasks
from cicd_core.model.agent import AgentSpec, checked
from cicd_core.model.checks import (
    check_integer,
    check_kind,
    check_names,
    check_reason,
    check_seconds,
)
from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping

    from cicd_core.agent.protocols import LogSink, WorkSource
    from cicd_core.model.agent import AgentMetrics

_log = logging.getLogger("cicd_core.agent")

_H = TypeVar("_H", bound=Handler)


class Agent:
    """Claims jobs of one pool and runs them with its handlers.

    A thread of its own renews the leases, even while a handler blocks the event loop. The agent
    runs on asyncio and on trio.

    Example:
        The smallest useful agent:

        .. code-block:: python

            import anyio

            from cicd_core import ControlPlane, JobSpec
            from cicd_core.agent import Agent, JobRun


            async def main() -> None:
                async with ControlPlane.open("memory://") as control_plane:
                    agent = Agent(control_plane, labels=["linux"], slots=2)

                    @agent.handler("greet")
                    async def greet(run: JobRun) -> None:
                        await run.progress(50, "looking for the name")
                        run.log(f"hello, {run.payload['name']}")

                    spec = JobSpec(job_type="greet", payload={"name": "Ada"})
                    await control_plane.queue.enqueue(spec)
                    await agent.run(until_idle=True)


            anyio.run(main)
    """

    def __init__(
        self,
        source: WorkSource,
        pool: str = "default",
        labels: Collection[str] = (),
        slots: int = 1,
        *,
        agent_id: str | None = None,
        hostname: str | None = None,
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        grace_seconds: float = 30.0,
        claim_wait: float = 20.0,
        lease_seconds: float | None = None,
        heartbeat_interval_seconds: float = 10.0,
        log_dir: str | os.PathLike[str] | None = None,
        log_limits: LogLimits | None = None,
        send_log_tail: bool = False,
        send_logs: LogSink | None = None,
        log_masks: LogMasks | None = None,
        metrics: Callable[[], AgentMetrics | None] | None = None,
        exit_when_stuck: int | None = None,
        stuck_seconds: float = 60.0,
    ) -> None:
        """Configure the agent; nothing happens before :meth:`run`.

        Args:
            source: the control plane, or a client of it. The caller keeps and closes it.
            pool: the pool whose jobs it claims.
            labels: all labels of the agent; the required labels of a job must be among them.
            slots: how many jobs it runs at once, 1 to 1,024.
            agent_id: unique among all agents; the default is made of the host, the process and
                random characters.
            hostname: shown to people; the default is the name of the machine.
            version: version of the program that embeds the agent, shown to people.
            metadata: other facts about the agent, shown to people.
            grace_seconds: how long a drain waits for running jobs before it stops them.
            claim_wait: how many seconds the control plane may hold a claim until there is work;
                while the agent holds jobs, no longer than two thirds of a lease.
            lease_seconds: how long a lease lasts without a renewal; the default is that of the
                control plane.
            heartbeat_interval_seconds: seconds between two heartbeats; use a third of the control
                plane's ``heartbeat_timeout_seconds``.
            log_dir: a folder for the logs of jobs, created if it is missing; None keeps only the
                last lines, in memory, while the job runs.
            log_limits: how much to keep there, and for how long; the defaults are 64 MiB per job,
                10 GiB in total, and 14 days.
            send_log_tail: whether to send the end of each log (at most 8 KiB) to the control plane
                with the outcome. Off by default: logs may hold secrets, which the control plane
                should never see.
            send_logs: where to send logs while jobs run: ``RemoteControlPlane.job_logs``, or a
                ``JobLogService`` if the agent reaches the store itself. Needs ``log_dir``, which
                buffers unsent parts. None, the default, sends no logs.
            log_masks: what to mask in a log before it leaves the agent, besides the values of job
                variables with names of secrets, and texts that have the form of a secret.
            metrics: a function that measures the load of the machine for a heartbeat, in a thread.
            exit_when_stuck: number of stuck slots at which the process ends with exit code 75, so
                that its supervisor restarts it; None: never. A slot is stuck when its
                handler was stopped but still runs, as only a thread or a blocked event loop can.
                The agent drains first; it does not wait for anything else in the process.
            stuck_seconds: how long a slot must be stuck to be counted.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        self._ids = IdSource()
        self._source = source
        if hostname is not None:
            check_kind("hostname", hostname, str)
        if log_dir is not None:
            check_kind("log_dir", log_dir, str, os.PathLike)
        if log_limits is not None:
            check_kind("log_limits", log_limits, LogLimits)
        check_kind("send_log_tail", send_log_tail, bool)
        if send_logs is not None and log_dir is None:
            raise InvalidInput("send_logs", ..., "give a log_dir too: logs are sent from there")
        self._send_logs = send_logs
        self._log_masks = log_masks or LogMasks()
        check_kind("log_masks", self._log_masks, LogMasks)
        if metrics is not None and not callable(metrics):
            raise InvalidInput("metrics", metrics, "give a function without parameters")
        host = hostname or socket.gethostname()
        self._spec = checked(
            AgentSpec(
                agent_id=agent_id or self._made_up_id(host),
                pool_name=pool,
                labels=check_names("labels", labels),
                slots=slots,
                hostname=host,
                version=version,
                metadata=metadata or {},
            )
        )
        self._grace_seconds = check_seconds("grace_seconds", grace_seconds)
        self._claim_wait = check_seconds("claim_wait", claim_wait, most=3600)
        self._lease_seconds = lease_seconds
        self._heartbeat_interval_seconds = check_seconds(
            "heartbeat_interval_seconds", heartbeat_interval_seconds, least=0.001
        )
        # A handler may change the working directory of the process.
        self._log_dir = None if log_dir is None else Path(log_dir).absolute()
        self._log_limits = log_limits or LogLimits()
        self._send_log_tail = send_log_tail
        self._metrics = metrics
        self._stuck_limit = _stuck_limit(exit_when_stuck, stuck_seconds, slots)
        self._handlers = Handlers()
        self._drain = Drain()
        self._runs = False

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self._spec.agent_id

    def handler(self, job_type: str) -> Callable[[_H], _H]:
        """Return a decorator that registers a function as the handler of a job type.

        An async function runs in the agent's event loop, any other function in a thread. It returns
        None for a success, an exit code, or an Outcome. If it raises an exception, the verdict is
        ``error``, which the job's policy may retry; for :class:`~cicd_core.agent.JobFailed` it is
        ``failed``.

        Raises:
            InvalidInput: the job type is not a valid name.
            AlreadyExists: the job type already has a handler.
        """

        def add(handler: _H) -> _H:
            self._handlers.add(job_type, handler)
            return handler

        return add

    def add_handler(self, job_type: str, handler: Handler) -> None:
        """Register a function, or a callable object, as the handler of a job type.

        Raises:
            InvalidInput: the job type is not a valid name, or the handler can't be called.
            AlreadyExists: the job type already has a handler.
        """
        self._handlers.add(job_type, handler)

    def drain(self, reason: str = "the program called drain()") -> None:
        """Drain: claim nothing more, finish within the grace period, release the other jobs.

        Safe to call from any thread, and from a handler. If it is called before :meth:`run`, that
        method returns at once.

        Raises:
            InvalidInput: the reason is empty.
        """
        self._drain.ask(check_reason("reason", reason))

    async def run(self, *, handle_signals: bool = True, until_idle: bool = False) -> None:
        """Register, and work until the agent drains.

        A drain waits ``grace_seconds`` for the running jobs. Then it fires the scopes of the others
        and releases them, which uses no attempt. A handler in a thread can't be stopped, so the
        agent waits for it. If this call is cancelled, the jobs are stopped without a grace period.

        Args:
            handle_signals: drain at the first SIGTERM, SIGINT or SIGHUP, and stop everything at the
                second. This works only in the main thread, and only for signals that the program
                does not handle itself. If it handles one, as a web server does, only its own
                handler runs, and the program has to drain the agent or cancel this call; the log
                names such signals. After this call, signals work as before.
            until_idle: return when no job can be claimed and none is running. The agent does not
                wait for delayed jobs, such as retries, and not for a control plane that is away:
                it gives up after a minute. Without ``until_idle`` it never gives up.

        Raises:
            InvalidInput: it has no handler, or the control plane refuses one of its fields.
            OperationRejected: the agent already runs, another process took its id, or it was
                deregistered.
            SetupFailed: the machine can't run jobs. The agent detects that at the start, or, with
                ``until_idle``, when jobs can't begin. Without ``until_idle``, it becomes unhealthy
                instead, claims nothing, and recovers when the fault is gone.
            StoreError: with ``until_idle``, the control plane was away for a minute.
        """
        check_kind("handle_signals", handle_signals, bool)
        check_kind("until_idle", until_idle, bool)
        plan = self._plan(until_idle=until_idle)
        self._refuse_second_run()
        if os.getpid() == 1:
            _log.warning(
                "this is process 1, so exited child processes stay: begin the program with "
                "leave_process_one(), or run the container with an init"
            )
        self._runs = True
        failure: BaseException | None = None
        try:
            await self._live(plan, handle_signals=handle_signals)
        except BaseExceptionGroup as group:
            failure = alone(group)
        finally:
            self._runs = False
            self._drain = Drain()
        if failure is not None:  # raised here, it keeps its own cause
            raise failure

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Agent]:
        """Run in the background while the block runs; drain when the block ends.

        The program handles the signals. At the end of the block, the agent drains within its grace
        period, as :meth:`run` does. If the block is cancelled, the jobs are stopped without one.

        Raises:
            InvalidInput, OperationRejected, SetupFailed: as for :meth:`run`. An error that ends the
                agent early cancels the block and is raised in place of the cancellation; an error
                of the block itself is raised unchanged.
        """
        self._plan(until_idle=False)  # invalid arguments are raised here, not as a cancellation
        self._refuse_second_run()
        run = partial(self.run, handle_signals=False)
        drain = partial(self.drain, "its `async with` block has ended")
        async with beside(run, end=drain):
            yield self

    async def _live(self, plan: Plan, *, handle_signals: bool) -> None:
        await self._check_machine(plan.log_dir)
        self._drain.attach()
        life = AgentSession(plan, self._source, self._handlers, self._drain, self._ids)
        with drained_by_signals(self._drain) if handle_signals else nullcontext():
            # A program may cancel its task more than once, and asyncio then ignores a shield, so
            # the final steps run in another task.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(life.live, run_soon_here())

    async def _check_machine(self, log_dir: Path | None) -> None:
        """Check before the first claim that this machine can run jobs."""
        try:
            await log_dir_probe(log_dir)()
        except OSError as refused:
            why = f"the folder of the logs, {log_dir}: {refused.strerror}; choose another log_dir"
            raise SetupFailed(f"{why} (--log-dir)") from refused
        for probe in self._handlers.probes:
            await probe()

    def _plan(self, *, until_idle: bool) -> Plan:
        job_types = self._handlers.job_types
        if not job_types:
            raise InvalidInput("handlers", [], "add at least one before the agent runs")
        spec = self._spec
        return Plan(
            spec=AgentSpec(
                agent_id=spec.agent_id,
                pool_name=spec.pool_name,
                labels=spec.labels,
                job_types=job_types,
                slots=spec.slots,
                hostname=spec.hostname,
                version=spec.version,
                metadata=spec.metadata,
            ),
            terms=ClaimTerms(
                agent_id=spec.agent_id,
                pool_name=spec.pool_name,
                labels=spec.labels,
                job_types=job_types,
                lease_seconds=self._lease_seconds,
                wait_seconds=self._claim_wait,
                until_idle=until_idle,
            ),
            grace_seconds=self._grace_seconds,
            heartbeat_interval_seconds=self._heartbeat_interval_seconds,
            metrics=self._metrics,
            log_dir=self._log_dir,
            log_limits=self._log_limits,
            send_log_tail=self._send_log_tail,
            send_logs=self._send_logs,
            log_masks=self._log_masks,
            exit_when_stuck=self._stuck_limit,
        )

    def _refuse_second_run(self) -> None:
        if self._runs:
            raise OperationRejected(f"agent {self.agent_id!r} already runs; create another Agent")

    def _made_up_id(self, host: str) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]", "-", host)[:80]
        return f"{name}-{os.getpid()}-{self._ids.claim_id()[:8]}"


def _stuck_limit(slots: int | None, seconds: float, most: int) -> StuckLimit | None:
    seconds = check_seconds("stuck_seconds", seconds)
    if slots is None:
        return None
    return StuckLimit(
        slots=check_integer("exit_when_stuck", slots, least=1, most=most), seconds=seconds
    )
