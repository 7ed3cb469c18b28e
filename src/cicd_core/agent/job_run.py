"""The argument of a handler: its job, its token, its scope, progress and log."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.model.checks import check_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from anyio import CancelScope

    from cicd_core.agent.active_job import ActiveJob, Stop, StopReason
    from cicd_core.agent.logs import JobLog
    from cicd_core.agent.progress import ProgressPost
    from cicd_core.model.job import Job, LeaseToken


class JobRun:
    """One attempt at a job, as its handler sees it. Safe to use from the handler's threads.

    When :attr:`scope` fires, an async handler is cancelled. A handler in a thread should check
    :attr:`cancelled` regularly, and return or raise when it is true.
    """

    def __init__(self, holding: ActiveJob, log: JobLog, post: ProgressPost) -> None:
        """The runtime creates it when the attempt begins."""
        self._holding = holding
        self._log = log
        self._post = post
        self._noticed = False
        self._ends = lease_clock() + holding.claimed.job.timeout_seconds

    @property
    def job(self) -> Job:
        """The job, as of the claim or the last progress report."""
        return self._holding.claimed.job

    @property
    def token(self) -> LeaseToken:
        """The lease token: the fencing token and the claim id."""
        return self._holding.claimed.token

    @property
    def fence(self) -> int:
        """The fencing token, which grows with each claim: pass it to systems that you change."""
        return self._holding.claimed.token.fence

    @property
    def payload(self) -> Mapping[str, Any]:
        """The payload of the job, as it was enqueued."""
        return self._holding.claimed.job.payload

    @property
    def scope(self) -> CancelScope:
        """The cancel scope of the handler; it fires on cancel, timeout, lost lease and drain."""
        return self._holding.scope

    @property
    def cancelled(self) -> bool:
        """Whether the work must stop.

        A handler that has seen True and returns None counts as stopped. If it finished the work all
        the same, it should return an exit code or an Outcome.
        """
        stopped = self._looked() is not None
        if stopped:
            self._noticed = True
        return stopped

    @property
    def noticed(self) -> bool:
        """Whether the handler has read :attr:`cancelled` as True."""
        return self._noticed

    def _looked(self) -> Stop | None:
        self._holding.stop_if_overdue()
        return self._holding.stop

    @property
    def stop_reason(self) -> StopReason | None:
        """The reason: cancel, timeout, lost lease or drain; None while the work may continue."""
        stop = self._looked()
        return None if stop is None else stop.reason

    @property
    def cancel_reason(self) -> str | None:
        """Why the work must stop, as text for people; None while it may continue."""
        stop = self._looked()
        return None if stop is None else stop.why

    @property
    def deadline(self) -> datetime:
        """When the attempt times out: UTC, on the store's clock."""
        job = self._holding.claimed.job
        return (job.started_at or job.created_at) + timedelta(seconds=job.timeout_seconds)

    @property
    def seconds_left(self) -> float:
        """Seconds left of the job's ``timeout_seconds``, by this machine's clock; at least 0."""
        return max(0.0, self._ends - lease_clock())

    @property
    def log_path(self) -> Path | None:
        """The file of this attempt's log; None if the agent has no ``log_dir``.

        You may read it. Write with :meth:`log` and :meth:`log_output`: they respect its limit.
        """
        return self._log.path

    async def progress(self, percent: float | None = None, message: str | None = None) -> None:
        """Report progress. The agent sends at most one report per second, and always the last one.

        Args:
            percent: 0 to 100, or None if it is unknown.
            message: one line for people.

        Raises:
            InvalidInput: ``percent`` is not a number from 0 to 100, or ``message`` not a string.
        """
        self._holding.stop_if_overdue()
        self._post.post(percent, message)
        await checkpoint()

    def progress_soon(self, percent: float | None = None, message: str | None = None) -> None:
        """Report progress from any thread, as :meth:`progress` does."""
        self._holding.stop_if_overdue()
        self._post.post(percent, message)

    def lease_followed(self, follower: Callable[[float], object]) -> AbstractContextManager[None]:
        """Call a function with the time by which the work must have ended, now and at each change.

        Use it if the work can outlive the handler, as a process can: work that still runs at that
        time would soon run beside the job's next attempt. While the context is entered, the
        function is called in any thread, with seconds of the machine's boot clock
        (``CLOCK_BOOTTIME`` if there is one, else the monotonic clock). It must not block.
        """
        return self._holding.followed(follower)

    def log(self, line: str) -> None:
        """Add a line to the attempt's log; it stays on this machine unless the agent sends logs.

        Raises:
            InvalidInput: it is not a string.
        """
        check_kind("line", line, str)
        self._holding.stop_if_overdue()
        self._log.write(line)

    def log_output(self, data: bytes) -> None:
        """Add bytes to the attempt's log unchanged, such as the output of a command.

        The call may wait for the disk: call it in a thread for large output.

        Raises:
            InvalidInput: they are not bytes.
        """
        check_kind("data", data, bytes)
        self._log.write_bytes(data)
