"""What a handler gets: its job, its token, a scope that fires, and ways to tell of its work."""

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

    When :attr:`scope` fires, an async handler is cancelled; a handler that runs in a thread looks
    at :attr:`cancelled` from time to time, and returns or raises when it is true.
    """

    def __init__(self, holding: ActiveJob, log: JobLog, post: ProgressPost) -> None:
        """Made by the runtime when the attempt begins."""
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
        """What owns the job: the fence and the claim id."""
        return self._holding.claimed.token

    @property
    def fence(self) -> int:
        """A number that grows with each claim of the job: hand it to whatever the job writes to."""
        return self._holding.claimed.token.fence

    @property
    def payload(self) -> Mapping[str, Any]:
        """What the job is about, as it was enqueued."""
        return self._holding.claimed.job.payload

    @property
    def scope(self) -> CancelScope:
        """What the handler runs in; it fires on cancel, timeout, lost lease and drain."""
        return self._holding.scope

    @property
    def cancelled(self) -> bool:
        """Whether the work must stop.

        A handler that has seen True here and returns None has stopped; to say that it finished
        all the same, it returns an exit code or an Outcome.
        """
        stopped = self._looked() is not None
        if stopped:
            self._noticed = True
        return stopped

    @property
    def noticed(self) -> bool:
        """Whether :attr:`cancelled` was True when the handler looked."""
        return self._noticed

    def _looked(self) -> Stop | None:
        self._holding.stop_if_overdue()
        return self._holding.stop

    @property
    def stop_reason(self) -> StopReason | None:
        """Which of cancel, timeout, lost lease and drain it was; None while the work may go on."""
        stop = self._looked()
        return None if stop is None else stop.reason

    @property
    def cancel_reason(self) -> str | None:
        """Why the work must stop, for people; None while it may go on."""
        stop = self._looked()
        return None if stop is None else stop.why

    @property
    def deadline(self) -> datetime:
        """When the attempt's time is over: UTC, on the store's clock."""
        job = self._holding.claimed.job
        return (job.started_at or job.created_at) + timedelta(seconds=job.timeout_seconds)

    @property
    def seconds_left(self) -> float:
        """What is left of the job's ``timeout_seconds``, by this machine's clock; at least 0."""
        return max(0.0, self._ends - lease_clock())

    @property
    def log_path(self) -> Path | None:
        """The file of this attempt's log; None if the agent has no ``log_dir``.

        Read it, but write by :meth:`log` and :meth:`log_output`: they keep to the log's limit.
        """
        return self._log.path

    async def progress(self, percent: float | None = None, message: str | None = None) -> None:
        """Tell how far the work is. At most one report a second is sent, the last one always.

        Args:
            percent: 0 to 100, or None where the work can't say.
            message: one line for people.

        Raises:
            InvalidInput: a percentage that is no number from 0 to 100.
        """
        self._holding.stop_if_overdue()
        self._post.post(percent, message)
        await checkpoint()

    def progress_soon(self, percent: float | None = None, message: str | None = None) -> None:
        """Tell how far the work is, as :meth:`progress` does, from any thread."""
        self._holding.stop_if_overdue()
        self._post.post(percent, message)

    def lease_followed(self, follower: Callable[[float], object]) -> AbstractContextManager[None]:
        """Tell a function by when the work must have ended, and whenever a renewal moves that.

        For a handler whose work does not end with it, such as a process: what is still there at
        that moment runs beside the job's next owner soon. The function is called in any thread with
        seconds of the machine's boot clock (``CLOCK_BOOTTIME`` where there is one, else the
        monotonic clock), while the context is entered; it must not block.
        """
        return self._holding.followed(follower)

    def log(self, line: str) -> None:
        """Add a line to the attempt's log, which stays here unless the agent sends its end.

        Raises:
            InvalidInput: it is no string.
        """
        check_kind("line", line, str)
        self._holding.stop_if_overdue()
        self._log.write(line)

    def log_output(self, data: bytes) -> None:
        """Add bytes to the attempt's log as they are, such as a command's output.

        It may wait for the disk: call it in a thread if there is much.

        Raises:
            InvalidInput: they are no bytes.
        """
        check_kind("data", data, bytes)
        self._log.write_bytes(data)
