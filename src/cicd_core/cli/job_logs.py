"""``logs``: what a job printed, on the machine of the agent that ran it."""

from __future__ import annotations

import codecs
import io
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import unquote, urlsplit

import typer

from cicd_core.cli.jobs import JobArgument
from cicd_core.cli.options import StoreOption
from cicd_core.errors import CicdError, InvalidInput, NotFound

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.job import Job

#: How soon one looks again while a job prints nothing, in seconds.
_PAUSE: Final = 0.2


class LogNotFound(NotFound):
    """An attempt's log is not on this machine, or there is none."""

    def __init__(self, job_id: str, why: str) -> None:
        """Name the job, and say why it has no log here."""
        CicdError.__init__(self, f"no log of job {job_id!r} here: {why}")
        self.kind = "log"
        self.key = job_id


def logs(
    job_id: JobArgument,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", min=1, help="Which attempt. Left out: the newest."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Bytes as the job printed them, escape sequences too.")
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            "--log-dir",
            metavar="DIR",
            help="Where the agent keeps its logs. Left out: where the job says, or the default.",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Show what a job printed; run it on the machine of the job's agent.

    Of a long log the beginning and the end are kept; a line says how many
    bytes are left out. Control characters are made visible.
    """
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.opening import run, store_url

    async def work(plane: ControlPlane) -> None:
        job = await plane.jobs.get(job_id)
        reader = LogReader(plane, log_dir, raw=raw)
        await (reader.follow(job, attempt) if follow else reader.show(job, attempt))

    with reporting(as_json=False):
        run(work, store_url(store, quiet=True))


class LogReader:
    """Writes logs of one job to stdout."""

    def __init__(self, plane: ControlPlane, log_dir: Path | None, *, raw: bool) -> None:
        """Look in ``log_dir``; None: where the job says, then in the default folder."""
        self._plane = plane
        self._log_dir = log_dir
        self._raw = raw

    async def show(self, job: Job, attempt: int | None) -> None:
        """Write what is there of an attempt's log.

        Raises:
            InvalidInput: there was no such attempt.
            LogNotFound: it is not here.
        """
        number = attempt or job.attempt
        if number > job.attempt:
            raise InvalidInput("attempt", number, f"the job was claimed {job.attempt} times")
        if number == 0:
            raise LogNotFound(job.job_id, "no agent has claimed the job yet")
        output = _Output(raw=self._raw)
        path = self._find(job, number)
        if path is None:
            raise await self._missing(job, number)
        output.copy(path)
        output.end()

    async def follow(self, job: Job, attempt: int | None) -> None:
        """Write the log until the attempt, or without a number the job, has ended.

        Raises:
            LogNotFound: it is not here.
        """
        import anyio

        from cicd_core.agent.retry import patiently

        number, found = attempt or max(job.attempt, 1), False
        output = _Output(raw=self._raw)
        while True:
            path = self._find(job, number)
            if path is not None:
                found = True
                output.copy(path)
            elif job.attempt >= number and not found:
                await self._check_host(job, number)
            if job.attempt > number and attempt is None:
                output.end()
                number, output = number + 1, _Output(raw=self._raw)
                sys.stderr.write(f"attempt {number}\n")
                continue
            if _is_over(job, number):
                break
            await anyio.sleep(_PAUSE)
            read = partial(self._plane.jobs.get, job.job_id)
            job = await patiently(read, what="reading a job")
        output.end()
        if not found:
            raise await self._missing(job, number)

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
        """Return the error that says where the log is, as far as that is known."""
        if job.attempt < number:
            return LogNotFound(job.job_id, f"no agent has begun attempt {number}")
        agent_id, host = await self._ran_on(job, number)
        folders = ", ".join(dict.fromkeys(str(folder) for folder in self._folders(job)))
        where = f"agent {agent_id} ran attempt {number} on host {host or '(unknown)'}"
        if host is not None and host != socket.gethostname():
            return LogNotFound(job.job_id, f"{where}; run this command there")
        return LogNotFound(
            job.job_id,
            f"{where}, and {folders} has no log of it: it printed nothing, its log was removed, or "
            f"the agent keeps its logs elsewhere (--log-dir)",
        )

    async def _check_host(self, job: Job, number: int) -> None:
        """Refuse to wait for a log that grows on another machine.

        Raises:
            LogNotFound: it does.
        """
        _, host = await self._ran_on(job, number)
        if host is not None and host != socket.gethostname() and self._log_dir is None:
            raise await self._missing(job, number)

    async def _ran_on(self, job: Job, number: int) -> tuple[str | None, str | None]:
        """Return the agent of an attempt and its host, as far as they are known."""
        agents = {attempt.number: attempt.agent_id for attempt in job.attempts}
        agent_id = agents.get(number, job.agent_id)
        try:
            agent = None if agent_id is None else await self._plane.agents.get(agent_id)
        except NotFound:
            agent = None
        return agent_id, None if agent is None else agent.hostname


class _Output:
    """Writes one attempt's log to stdout, from its beginning on."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._offset = 0
        bytes_decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)

    def copy(self, path: Path) -> None:
        """Write what came since the last call."""
        from cicd_core.agent.capped_log import cut_line, read_piece

        while True:
            try:
                piece = read_piece(path, self._offset)
            except FileNotFoundError:  # a part has just been joined to the file, or was left out
                break
            if piece.missing:
                self._write(cut_line(piece.missing).encode())
            if not piece.data:
                break
            self._write(piece.data)
            self._offset = piece.next_offset
        sys.stdout.flush()

    def end(self) -> None:
        """Write what may have been the first bytes of a character."""
        self._write(b"", final=True)
        sys.stdout.flush()

    def _write(self, data: bytes, *, final: bool = False) -> None:
        from cicd_core.cli.printable import printable

        if self._raw:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(printable(self._decoder.decode(data, final=final)))


def _is_over(job: Job, attempt: int) -> bool:
    """Return whether an attempt prints nothing more, and none comes that is waited for."""
    from cicd_core.cli.waiting import RESTING

    return job.attempt > attempt or job.state in RESTING
