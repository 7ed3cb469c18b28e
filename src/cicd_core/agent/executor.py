"""Runs claimed jobs: the handler in its scope, progress and log beside it, then the report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.active_job import ActiveJob, StopReason
from cicd_core.agent.answers import SetupFailed, outcome_of_error, reason_of
from cicd_core.agent.handlers import call, is_cancelled, probe_of
from cicd_core.agent.job_run import JobRun
from cicd_core.agent.lease_clock import lease_clock
from cicd_core.agent.log_folder import log_path
from cicd_core.agent.log_sender import LogSender, variables_of
from cicd_core.agent.logs import JobLog, check_log_dir, log_dir_probe
from cicd_core.agent.own_task import run_apart
from cicd_core.agent.progress import ProgressPost
from cicd_core.agent.reporting import Release, report, result_of, with_log
from cicd_core.agent.retry import LAST_WORDS_SECONDS, patiently
from cicd_core.errors import CicdError, StoreUnavailable
from cicd_core.job_logs.masking import LogMasks
from cicd_core.threads import run_soon_here
from cicd_core.values import frozen

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import TaskGroup

    from cicd_core.agent.exchanger import Exchanger
    from cicd_core.agent.fitness import Fitness, Probe
    from cicd_core.agent.handlers import Handler, Handlers
    from cicd_core.agent.lease_renewer import LeaseRenewer
    from cicd_core.agent.protocols import LogSink
    from cicd_core.agent.reporting import Ending
    from cicd_core.agent.shutdown import Drain
    from cicd_core.agent.slots import Slots
    from cicd_core.job_logs.limits import LogLimits
    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job
    from cicd_core.model.outcome import Outcome

_log = logging.getLogger("cicd_core.agent")

#: If a claim took longer than this part of the rest of its lease, a renewal confirms it before the
#: handler begins: the lease may have expired before the answer arrived.
_CONFIRM_PART: Final = 1 / 2


@frozen(kw_only=True)
class ExecutorContext:
    """The objects that all jobs of an agent share."""

    exchanger: Exchanger
    handlers: Handlers
    keeper: LeaseRenewer
    slots: Slots
    fitness: Fitness
    drain: Drain
    log_dir: Path | None
    log_limits: LogLimits
    send_log_tail: bool
    #: Where to send logs; None: nowhere.
    send_logs: LogSink | None = None
    log_masks: LogMasks = LogMasks()
    #: Limits the threads of handlers that are not async functions.
    threads: anyio.CapacityLimiter


@frozen
class _Lease:
    """A lease: the time that was left of it when the call that reported it was sent."""

    sent_at: float
    seconds_left: float
    at_limit: bool

    @property
    def is_fresh(self) -> bool:
        """Whether enough of the lease is left to begin."""
        return lease_clock() - self.sent_at <= self.seconds_left * _CONFIRM_PART


class Executor:
    """Runs the jobs of one agent, each in a task of its own."""

    def __init__(self, workshop: ExecutorContext, tasks: TaskGroup) -> None:
        """Use ``tasks`` for the jobs, in the event loop that runs here."""
        self._workshop = workshop
        self._tasks = tasks
        self._run_soon = run_soon_here()
        self._running: set[ActiveJob] = set()
        self._stopped: str | None = None

    def begin(self, claimed: ClaimedJob, sent_at: float) -> None:
        """Start a job whose claim was sent at ``sent_at``; it takes its slot at once."""
        self._workshop.slots.take()
        self._tasks.start_soon(self._execute, claimed, sent_at)

    def stop_all(self, why: str) -> None:
        """Fire the scopes of all running jobs, and of all jobs that begin later."""
        self._stopped = why
        for holding in self._running:
            holding.fire(StopReason.DRAIN, why)

    def stuck(self) -> list[ActiveJob]:
        """Return the jobs whose stopped handlers still run. Safe to call from any thread."""
        return [holding for holding in tuple(self._running) if holding.is_stuck]

    async def _execute(self, claimed: ClaimedJob, sent_at: float) -> None:
        needs = self._workshop.handlers.stop_seconds(claimed.job.job_type)
        holding = ActiveJob(claimed, self._run_soon, stop_seconds=needs)
        self._running.add(holding)
        if self._stopped is not None:
            holding.fire(StopReason.DRAIN, self._stopped)
        ending: Ending = Release("the agent was stopped")
        exchanger = self._workshop.exchanger
        try:
            try:
                ending = await self._surely_worked(holding, sent_at)
            finally:  # the next job need not wait for this one's report
                self._workshop.slots.give_back()
            await report(exchanger, holding, ending, in_haste=lambda: self._stopped is not None)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
                await report(exchanger, holding, ending)
            raise
        finally:
            self._workshop.keeper.drop(holding)
            self._running.discard(holding)
            self._workshop.slots.settle()

    async def _surely_worked(self, holding: ActiveJob, sent_at: float) -> Ending:
        """Run the job; a defect ends only this job, not others or the agent."""
        try:
            return await self._worked(holding, sent_at)
        except Exception as defect:  # noqa: BLE001 - any defect is handled alike
            _log.exception("%s: the agent could not run it", holding)
            return outcome_of_error(defect)

    async def _worked(self, holding: ActiveJob, sent_at: float) -> Ending:
        job = holding.claimed.job
        drain = self._workshop.drain
        if drain.reason is not None:
            return Release(f"claimed while the agent drained: {drain.reason}")
        lease = await self._confirmed(holding, sent_at)
        if lease is None:
            return self._not_begun(holding)
        self._workshop.keeper.hold(
            holding,
            sent_at=lease.sent_at,
            seconds_left=lease.seconds_left,
            timeout_at=lease_clock() + job.timeout_seconds,
            at_limit=lease.at_limit,
        )
        _log.info("%s: running", holding)
        return await self._handled(holding)

    @staticmethod
    def _not_begun(holding: ActiveJob) -> Ending:
        stop = holding.stop
        if holding.gone or stop is None:
            return None
        _log.warning("%s: it was not started: %s", holding, stop.why)
        return Release(stop.why)

    async def _confirmed(self, holding: ActiveJob, sent_at: float) -> _Lease | None:
        """Return the lease once enough of it is left; None if it is lost."""
        claimed = holding.claimed
        lease = _Lease(sent_at, claimed.seconds_left, claimed.at_limit)
        patient_until = lease_clock() + claimed.lease_seconds
        try:
            while not lease.is_fresh:
                asked_at = lease_clock()
                (status,) = await patiently(
                    lambda: self._workshop.exchanger.queue.renew([holding.claimed]),
                    what=f"{holding}: the renewal of a lease from a slow claim",
                    give_up=lambda: lease_clock() > patient_until,
                )
                if not status.held:
                    holding.lose("it expired before the job started")
                    return None
                left = status.seconds_left
                lease = _Lease(
                    asked_at, claimed.lease_seconds if left is None else left, status.at_limit
                )
                if not lease.is_fresh and asked_at > patient_until:
                    raise StoreUnavailable("its renewals take as long as the lease")
        except CicdError as failed:
            holding.fire(StopReason.LEASE_LOST, f"it cannot be confirmed: {failed}")
            return None
        return lease

    async def _handled(self, holding: ActiveJob) -> Ending:
        job = holding.claimed.job
        workshop = self._workshop
        directory = workshop.log_dir
        try:
            check_log_dir(directory)
        except SetupFailed as failed:
            return self._given_back(holding, failed, log_dir_probe(directory))
        path = None if directory is None else log_path(directory, job)
        log = JobLog(path, workshop.log_limits)
        masks = workshop.log_masks.with_variables(variables_of(job))
        sender = self._sender(holding, log, masks)
        post = ProgressPost(
            holding, workshop.exchanger.queue, self._run_soon, self._tasks.start_soon
        )
        run = JobRun(holding, log, post)
        try:
            said = await self._said(holding, run)
            # The verdict is certain now: a cancellation of the agent must not discard it.
            with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
                await post.finish()
            if isinstance(said, SetupFailed):
                return self._given_back(holding, said, probe_of(self._handler(job)))
            workshop.fitness.worked()
            if sender is not None:
                sender.end()
                await sender.wait_a_moment()
            tail = masks if workshop.send_log_tail else None
            return with_log(result_of(holding, said), log, tail=tail)
        finally:
            post.close()
            await log.aclose()
            if sender is not None:
                sender.end()

    def _sender(self, holding: ActiveJob, log: JobLog, masks: LogMasks) -> LogSender | None:
        """Start sending a log, if logs are sent; this may continue after the attempt's report."""
        if self._workshop.send_logs is None:
            return None
        sender = LogSender(holding, log, self._workshop.send_logs, masks, self._run_soon)
        log.on_news = sender.call
        self._tasks.start_soon(sender.run)
        return sender

    def _handler(self, job: Job) -> Handler:
        return self._workshop.handlers.get(job.job_type)

    def _given_back(self, holding: ActiveJob, failed: SetupFailed, probe: Probe | None) -> Ending:
        """Release, unused, a job that this machine could not begin."""
        holding.began = False  # a handler that raises SetupFailed did not begin its work
        if holding.stop is not None:  # the stop may be the cause of the failure
            return result_of(holding, None)
        self._workshop.fitness.failed(failed, probe)
        return Release(f"the agent's machine cannot run it: {reason_of(failed)}")

    async def _said(self, holding: ActiveJob, run: JobRun) -> Outcome | SetupFailed | None:
        """Call the handler in a task of its own, and return its answer; None: it was stopped.

        Damage that a handler does to its task ends with that task: the report needs an intact one.
        """
        said: Outcome | SetupFailed | None = None
        interrupt: BaseException | None = None

        async def call_it() -> None:
            nonlocal said, interrupt
            try:
                said = await self._called(holding, run)
            except BaseException as error:  # noqa: BLE001 - raised below, in the intact task
                interrupt = error

        cancelled = await run_apart(self._tasks, call_it, cancel=holding.scope.cancel)
        failure = interrupt or cancelled
        if said is None and failure is not None:
            raise failure
        return said

    async def _called(self, holding: ActiveJob, run: JobRun) -> Outcome | SetupFailed | None:
        holding.at_work = True
        try:
            with holding.scope:
                if holding.stop is not None:
                    return None
                handler = self._handler(run.job)
                holding.began = True
                return await call(handler, run, self._workshop.threads)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - such as a scope that was left open
            # If the handler caught the error of an asyncio.TaskGroup, the scope passes its own
            # cancellation on: Python 3.11 and 3.12 leave that task marked as cancelled.
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            stopped = is_cancelled() or (cancelled and holding.scope.cancel_called)
            return None if stopped else outcome_of_error(error)
        finally:
            holding.at_work = False
        return None
