"""``logs``: a job's output, on the machine of the agent that ran it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import unquote, urlsplit

import typer

from cicd_core.cli.jobs import JobArgument
from cicd_core.cli.log_output import Output
from cicd_core.cli.options import StoreOption
from cicd_core.errors import CicdError, InvalidInput, NotFound
from cicd_core.model.amounts import amount

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.job import Job

#: Interval of reads while a job prints nothing, in seconds.
_PAUSE: Final = 0.2


class LogNotFound(NotFound):
    """An attempt's log is not on this machine, or does not exist."""

    def __init__(self, job_id: str, why: str, *, elsewhere: bool = False) -> None:
        """Take the job, why it has no log here, and whether another machine has it."""
        CicdError.__init__(self, f"no log of job {job_id!r} on this machine: {why}")
        self.kind = "log"
        self.key = job_id
        self.elsewhere = elsewhere


def logs(
    job_id: JobArgument,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the job ends.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt", metavar="N", min=1, help="Number of the attempt. Default: the newest."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Raw bytes of the output, with escape sequences.")
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            "--log-dir",
            metavar="DIR",
            help="The agent's log folder. Default: the one that the job names, or the default.",
        ),
    ] = None,
    sent_to: Annotated[
        str | None,
        typer.Option(
            "--sent-to",
            metavar="FOLDER",
            help="Where agents without a server send their logs (agent --send-logs-to).",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Show a job's output: from its server, or on the machine of its agent.

    A server has the logs that agents send (agent --send-logs); other logs are
    with their agents. Of a long log the start and the end are kept; a line has
    the number of omitted bytes. Control characters are made visible.
    """
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.opening import run, store_url
    from cicd_core.cli.sent_logs import sent_logs, show_sent

    async def work(plane: ControlPlane) -> None:
        job = await plane.jobs.get(job_id)
        async with sent_logs(plane, sent_to) as sent:
            if (
                sent is not None
                and log_dir is None
                and await show_sent(sent, job_id, attempt, follow=follow, raw=raw)
            ):
                return
        reader = LogReader(plane, log_dir, raw=raw)
        await (reader.follow(job, attempt) if follow else reader.show(job, attempt))

    with reporting(as_json=False):
        run(work, store_url(store, quiet=True))


class LogReader:
    """Writes the logs of a job to stdout."""

    def __init__(self, plane: ControlPlane, log_dir: Path | None, *, raw: bool) -> None:
        """Look in ``log_dir``; None: in the job's folder, then in the default folder."""
        self._plane = plane
        self._log_dir = log_dir
        self._raw = raw
        self._output = Output(raw=raw)

    async def show(self, job: Job, attempt: int | None) -> None:
        """Write the existing part of an attempt's log.

        Raises:
            InvalidInput: there is no such attempt.
            LogNotFound: it is not on this machine.
        """
        number = attempt or job.attempt
        if number > job.attempt:
            raise InvalidInput(
                "attempt", number, f"the job was claimed {amount(job.attempt, 'time')}"
            )
        if number == 0:
            raise LogNotFound(job.job_id, "no agent has claimed the job yet")
        path = self._find(job, number)
        if path is None:
            raise await self._missing(job, number)
        self._output.copy(path)
        self._output.end()

    async def follow(self, job: Job, attempt: int | None) -> None:
        """Write the log until the attempt, or without a number the job, has ended.

        Raises:
            LogNotFound: it is not on this machine.
        """
        import anyio

        from cicd_core.agent.retry import patiently

        number, found = attempt or max(job.attempt, 1), False
        while True:
            path = self._find(job, number)
            if path is not None:
                found = True
                self._output.copy(path)
            elif job.attempt >= number and not found:
                await self._check_host(job, number)
            if job.attempt > number and attempt is None:
                self._output.end()
                self.end_line()
                number, self._output = number + 1, Output(raw=self._raw)
                sys.stderr.write(f"attempt {number}\n")
                continue
            if _is_over(job, number):
                break
            await anyio.sleep(_PAUSE)
            read = partial(self._plane.jobs.get, job.job_id)
            job = await patiently(read, what="reading a job")
        self._output.end()
        if not found:
            raise await self._missing(job, number)

    def end_line(self) -> None:
        """End an open line of the job, on a terminal that shows messages below it."""
        if self._output.in_line and sys.stdout.isatty() and sys.stderr.isatty():
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._output.in_line = False

    def _find(self, job: Job, number: int) -> Path | None:
        from cicd_core.agent.log_folder import log_name

        paths = (folder / log_name(job.job_id, number) for folder in self._folders(job))
        return next((path for path in paths if path.is_file()), None)

    def _folders(self, job: Job) -> Iterator[Path]:
        from cicd_core.cli.agent_process import default_log_dir

        if self._log_dir is not None:
            yield self._log_dir
            return
        address = urlsplit(job.logs_url or "")
        if address.scheme == "file":
            yield Path(unquote(address.path)).parent
        yield default_log_dir()

    async def _missing(self, job: Job, number: int) -> LogNotFound:
        """Return the error with the place of the log, if known."""
        if job.attempt < number:
            return LogNotFound(job.job_id, f"no agent has started attempt {number}")
        agent_id, host = await self._ran_on(job, number)
        folders = ", ".join(dict.fromkeys(str(folder) for folder in self._folders(job)))
        where = f"agent {agent_id} ran attempt {number} on host {host or '(unknown)'}"
        if host is not None and host != socket.gethostname():
            hint = f"{where}; run `cicd-core logs {job.job_id}` there"
            return LogNotFound(job.job_id, hint, elsewhere=True)
        return LogNotFound(
            job.job_id,
            f"{where}, but {folders} has no log of it: it printed nothing, its log was removed, or "
            f"the agent keeps its logs elsewhere (--log-dir)",
        )

    async def _check_host(self, job: Job, number: int) -> None:
        """Refuse to wait for a log that grows on another machine.

        Raises:
            LogNotFound: the log is on another machine.
        """
        _, host = await self._ran_on(job, number)
        if host is not None and host != socket.gethostname() and self._log_dir is None:
            raise await self._missing(job, number)

    async def _ran_on(self, job: Job, number: int) -> tuple[str | None, str | None]:
        """Return the agent of an attempt and its host, if known."""
        agents = {attempt.number: attempt.agent_id for attempt in job.attempts}
        agent_id = agents.get(number, job.agent_id)
        try:
            agent = None if agent_id is None else await self._plane.agents.get(agent_id)
        except NotFound:
            agent = None
        return agent_id, None if agent is None else agent.hostname


def _is_over(job: Job, attempt: int) -> bool:
    """Return whether an attempt prints no more, and no awaited attempt follows."""
    from cicd_core.model.job import RESTING_STATES

    return job.attempt > attempt or job.state in RESTING_STATES
