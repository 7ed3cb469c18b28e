"""Logs that agents send: their destination, the masks for them, and their display."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, cast

from cicd_core.cli.log_output import Output
from cicd_core.errors import InvalidInput, NotFound, OperationRejected
from cicd_core.model.principal import NotPermitted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from cicd_core.agent import LogMasks, LogSink
    from cicd_core.agent.protocols import WorkSource
    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.client import RemoteControlPlane
    from cicd_core.http.client.job_logs import RemoteJobLogs
    from cicd_core.job_logs import LogLimits


async def log_sink(
    stack: AsyncExitStack,
    source: WorkSource,
    *,
    sends: bool,
    place: str | None,
    is_far: bool,
    limits: LogLimits,
) -> LogSink | None:
    """Return the sink for logs; None: logs are not sent.

    Args:
        stack: keeps the opened store open.
        source: the agent's control plane, or a client of it.
        sends: whether logs go to the server.
        place: a folder, or a URL, for logs without a server.
        is_far: whether the control plane is a server.
        limits: how much to keep in the folder.

    Raises:
        InvalidInput: there is no server for the logs, or a server and a folder.
    """
    if sends and not is_far:
        reason = "there is no server (--server): send logs to a folder, --send-logs-to FOLDER"
        raise InvalidInput("send-logs", sends, reason)
    if place is None:
        return cast("RemoteControlPlane", source).job_logs if sends else None
    if is_far:
        reason = "the agent uses a server: send logs there, with --send-logs"
        raise InvalidInput("send-logs-to", place, reason)
    from cicd_core.background import beside
    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.job_logs import open_log_store

    store = await stack.enter_async_context(open_log_store(place, limits=limits))
    logs = JobLogService(cast("ControlPlane", source), store)
    await stack.enter_async_context(beside(logs.run))
    return logs


def log_masks(variables: Sequence[str], files: Sequence[Path], patterns: Sequence[str]) -> LogMasks:
    """Return the masks for logs: the given secrets, and variables with names of secrets.

    Args:
        variables: names of variables of this process.
        files: files with one secret per line.
        patterns: regular expressions.

    Raises:
        InvalidInput: a variable is not set, a file can't be read, or a pattern is invalid.
    """
    from cicd_core.agent import LogMasks

    values: list[str] = []
    for name in variables:
        if name not in os.environ:
            raise InvalidInput("mask-env", name, "there is no such variable")
        values.append(os.environ[name])
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as unreadable:
            raise InvalidInput("mask-file", str(file), f"it can't be read: {unreadable}") from None
        values += [line for line in lines if line.strip()]
    return LogMasks.of(values=values, patterns=patterns).with_variables(os.environ)


@asynccontextmanager
async def sent_logs(
    plane: ControlPlane, place: str | None
) -> AsyncGenerator[JobLogService | RemoteJobLogs | None]:
    """Open the logs in ``place``, or those of the server; None: there is neither.

    Raises:
        InvalidInput: there are both a server and a place.
    """
    far: RemoteJobLogs | None = getattr(plane, "job_logs", None)
    if place is None:
        yield far
        return
    if far is not None:
        raise InvalidInput("sent-to", place, "the server has the logs: omit one of the two options")
    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.job_logs import open_log_store

    async with open_log_store(place) as store:
        yield JobLogService(plane, store)


async def show_sent(
    logs: JobLogService | RemoteJobLogs,
    job_id: str,
    attempt: int | None,
    *,
    follow: bool,
    raw: bool,
) -> bool:
    """Write a log that was sent; return False if there is none.

    Raises:
        NotPermitted: the caller may not read logs.
    """
    output = Output(raw=raw)
    try:
        if follow:
            return await _follow(logs, job_id, attempt, output)
        state = await logs.state(job_id, attempt)
        offset = 0
        while offset < state.end:
            piece = await logs.read(job_id, state.attempt, offset)
            if not output.take(piece.data, piece.missing):
                break
            offset = piece.next_offset
    except NotPermitted:
        raise
    except (NotFound, OperationRejected):  # no agent sent it, or the server stores no logs
        return False
    output.end()
    return True


async def _follow(
    logs: JobLogService | RemoteJobLogs, job_id: str, attempt: int | None, output: Output
) -> bool:
    number: int | None = None
    async with aclosing(logs.follow(job_id, attempt=attempt)) as pieces:
        async for piece in pieces:
            if number is not None and piece.attempt != number:
                output.end()
                sys.stderr.write(f"attempt {piece.attempt}\n")
            number = piece.attempt
            output.take(piece.data, piece.missing)
    output.end()
    return number is not None
