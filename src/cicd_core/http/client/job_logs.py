"""Logs of jobs, over HTTP."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cicd_core.control_plane.log_following import FollowedPiece
from cicd_core.errors import NotFound, UnsupportedCapability
from cicd_core.http.client.holders import reference_shown
from cicd_core.http.client.paths import path_of
from cicd_core.http.client.resuming import ResumedStream
from cicd_core.http.wire import job_logs as wire
from cicd_core.http.wire.values import converted, from_wire, part_of, values_from_wire
from cicd_core.job_logs.contract import MAX_CHUNK, LogState
from cicd_core.job_logs.pieces import PIECE_BYTES, LogPiece
from cicd_core.model.checks import check_integer, check_kind, check_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.http.client.connection import Connection
    from cicd_core.http.client.server_sent import Message
    from cicd_core.model.claim import ClaimedJob, ClaimRef

#: Size from which a chunk is compressed with gzip, and the level: speed matters more.
_GZIP_FROM: Final = 1024
_GZIP_LEVEL: Final = 1
_MAX_TAIL: Final = 10_000


class RemoteJobLogs:
    """Logs of a server; the same methods as ``JobLogService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def append(
        self,
        claimed: ClaimedJob | ClaimRef,
        offset: int,
        data: bytes,
        *,
        complete: bool = False,
    ) -> LogState:
        """Append bytes to the log of the attempt with this token; return the log's state.

        The arguments are those of ``JobLogService.append``.

        Raises:
            LeaseLost: no attempt at the job has that token.
            LogOffsetMismatch: the bytes begin after the log's end; the error has the end.
            OperationRejected: the server stores no logs.
            StoreUnavailable: the server did not answer.
        """
        reference = reference_shown(claimed)
        check_kind("data", data, bytes)
        check_integer("offset", offset, least=0, most=2**62)
        headers = {
            wire.LEASE_TOKEN: wire.token_to_header(reference),
            "content-range": wire.range_to_header(offset, len(data), complete=complete),
            "content-type": "application/octet-stream",
        }
        body = _zipped(data)
        if body is not data:
            headers["content-encoding"] = "gzip"
        path = _path(reference.job_id, "log")
        answer = await self._connection.call("PATCH", path, body, repeatable=True, headers=headers)
        return from_wire(LogState, answer)

    async def states(self, job_id: str) -> tuple[LogState, ...]:
        """Return the states of a job's logs in order of attempts.

        Raises:
            NotFound: there is neither a log nor such a job.
        """
        answer = await self._connection.get(_path(job_id, "logs"))
        return tuple(values_from_wire(LogState, part_of(answer, "logs")))

    async def state(self, job_id: str, attempt: int | None = None) -> LogState:
        """Return the state of an attempt's log; by default, that of the newest attempt with a log.

        Raises:
            NotFound: there is no such job, or no such log.
        """
        found = [each for each in await self.states(job_id) if attempt in {None, each.attempt}]
        if not found:
            raise NotFound("log", job_id)
        return found[-1]

    async def read(
        self, job_id: str, attempt: int, offset: int = 0, *, most: int = PIECE_BYTES
    ) -> LogPiece:
        """Return up to ``most`` bytes of a log from an offset on; empty: there are none yet.

        Raises:
            InvalidInput: an argument is wrong.
        """
        check_integer("attempt", attempt, least=1, most=2**31)
        check_integer("offset", offset, least=0, most=2**62)
        check_integer("most", most, least=1, most=MAX_CHUNK)
        headers = {"range": f"bytes={offset}-{offset + most - 1}"}
        try:
            return await self._piece(job_id, {"attempt": attempt}, offset, headers)
        except NotFound:
            return LogPiece(data=b"", missing=0, next_offset=offset)

    async def tail(self, job_id: str, attempt: int | None = None, *, lines: int = 100) -> LogPiece:
        """Return the last lines of a log, at most 1 MiB of them.

        Raises:
            InvalidInput: ``lines`` is not 1 to 10,000.
            NotFound: there is no such log.
        """
        check_integer("lines", lines, least=1, most=_MAX_TAIL)
        return await self._piece(job_id, {"attempt": attempt, "tail": lines}, None, {})

    async def _piece(
        self, job_id: str, query: dict[str, Any], offset: int | None, headers: dict[str, str]
    ) -> LogPiece:
        found = await self._connection.get_bytes(_path(job_id, "log"), query, headers=headers)
        data, said = found or (b"", {wire.ATTEMPT: ""})
        if wire.ATTEMPT not in said:
            raise UnsupportedCapability("the answer is not a log of the server; check the URL")
        place = wire.place_of_range(said.get("content-range")) if data else None
        begin = (offset or 0) if place is None else place
        missing = 0 if offset is None else begin - offset
        return LogPiece(data=data, missing=missing, next_offset=begin + len(data))

    async def follow(
        self, job_id: str, *, attempt: int | None = None, offset: int = 0
    ) -> AsyncGenerator[FollowedPiece, None]:
        """Yield pieces of a log as they come; the arguments are those of ``JobLogService.follow``.

        If the stream breaks off, it continues where it ended.

        Close it when you leave early: ``async with aclosing(logs.follow(job_id)) as pieces``.

        Raises:
            InvalidInput: an argument is wrong.
            NotFound: there is no such job.
            StoreUnavailable: the server did not answer four times in a row, or for a minute once it
                has sent something.
        """
        path = _path(job_id, "log/stream")
        query = {"attempt": attempt, "offset": offset, "encoding": "base64"}
        stream = ResumedStream(self._connection, path, query)
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                yield _piece_of(message)


class _Piece(msgspec.Struct):
    """The fields of a message in a stream."""

    attempt: int
    offset: int
    missing: int
    #: Encoded as base64 in the message.
    base64: bytes


def _piece_of(message: Message) -> FollowedPiece:
    piece = converted(message.data, _Piece)
    return FollowedPiece(
        attempt=piece.attempt,
        data=piece.base64,
        missing=piece.missing,
        next_offset=piece.offset + len(piece.base64),
    )


def _path(job_id: str, command: str) -> str:
    return path_of("queue", "jobs", name=check_name("job_id", job_id), command=command)


def _zipped(data: bytes) -> bytes:
    """Return the compressed bytes, or the bytes themselves if they are not more."""
    if len(data) < _GZIP_FROM:
        return data
    zipper = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    zipped = zipper.compress(data) + zipper.flush()
    return zipped if len(zipped) < len(data) else data
