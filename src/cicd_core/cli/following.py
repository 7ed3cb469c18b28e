"""``enqueue --wait`` for people: the job's output, its events, and why it is not claimed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.cli.event_lines import event_row
from cicd_core.cli.job_logs import LogNotFound, LogReader
from cicd_core.cli.waiting import wait_for
from cicd_core.errors import CicdError
from cicd_core.model.job import Job, JobState

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event

#: Seconds without a claim after which the reasons are shown.
WHY_AFTER: Final = 5.0


class JobFollower:
    """Follows a job to its end: its output goes to stdout, the rest to stderr."""

    def __init__(
        self, plane: ControlPlane, screen: Screen, *, why_after: float = WHY_AFTER
    ) -> None:
        """Write all but the job's output to ``screen``.

        Args:
            plane: the control plane of the job.
            screen: stderr.
            why_after: seconds without a claim after which the reasons are shown.
        """
        self._plane = plane
        self._screen = screen
        self._why_after = why_after
        self._log = LogReader(plane, None, raw=False)
        #: Whether stdout has the job's output.
        self.has_output = False

    async def follow(self, job: Job, cursor: str) -> Job:
        """Return the job when it has ended.

        Args:
            job: the job after its enqueue.
            cursor: a position in the log before that.
        """
        ended = job
        async with anyio.create_task_group() as explaining:
            explaining.start_soon(self._explain, job)
            async with anyio.create_task_group() as copying:
                copying.start_soon(self._copy_output, job)
                (ended,) = await wait_for(self._plane, [job], cursor, self._tell)
            explaining.cancel_scope.cancel()
        return ended

    def _tell(self, event: Event) -> None:
        sys.stdout.flush()
        self._log.end_line()
        self._screen.show(event_row(self._screen, event))

    async def _copy_output(self, job: Job) -> None:
        """Write the job's output as it comes, if its log is on this machine."""
        try:
            await self._log.follow(job, None)
            self._log.end_line()
            self.has_output = True
        except LogNotFound as missing:
            if missing.elsewhere:
                self._screen.show(str(missing))

    async def _explain(self, job: Job) -> None:
        """Show why the job waits, once, if no agent has claimed it for a while."""
        await anyio.sleep(self._why_after)
        try:
            seen = await self._plane.jobs.get(job.job_id)
            if seen.state is not JobState.QUEUED or seen.attempt > job.attempt:
                return
            reasons = await self._plane.jobs.why(job.job_id)
        except CicdError:  # the wait continues, and reports a store that does not answer
            return
        from cicd_core.cli.tables import show_reasons

        self._screen.show(f"no agent has claimed {job.job_id} for {self._why_after:g} s:")
        show_reasons(self._screen, reasons)
