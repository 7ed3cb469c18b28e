"""Logs of jobs: ``/api/queue/jobs/{job_id}/log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import InvalidInput, OperationRejected, StoreUnavailable
from cicd_core.http.server.bodies import BadRequest
from cicd_core.http.server.log_stream import LogStream
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import job_logs as asked
from cicd_core.http.wire.problems import RANGE_NOT_SATISFIABLE, WRONG_RANGE
from cicd_core.http.wire.requests import Nothing
from cicd_core.job_logs.contract import LogId, LogState
from cicd_core.job_logs.limits import cut_line
from cicd_core.job_logs.pieces import PIECE_BYTES
from cicd_core.model.claim import ClaimRef
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.http.server.streams import Write

TABLE: Final = RouteTable("/api/queue/jobs/{job_id}")
_TEXT: Final = "text/plain; charset=utf-8"
_EVENTS: Final = "text/event-stream"
#: A log is a stranger's text: no browser shall take it for a page.
_AS_TEXT: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


def logs_of(call: Call) -> JobLogService:
    """Return the logs that the server keeps.

    Raises:
        OperationRejected: it keeps none.
    """
    if call.job_logs is None:
        raise OperationRejected("this server keeps no logs of jobs; start it with --logs FOLDER")
    return call.job_logs


@TABLE.add_upload(
    "PATCH",
    "/log",
    Scope.QUEUE_CLAIM,
    gives=LogState,
    takes_headers={
        "Content-Range": "Where the bytes begin and end: `bytes 0-9/*`; the last: `bytes 0-9/10`.",
        asked.LEASE_TOKEN: "The token of the claim's answer: `FENCE.CLAIM_ID`.",
    },
)
async def append(call: Call, data: bytes) -> Reply:
    """Append up to 1 MiB to the log of the attempt whose token is shown.

    Bytes that the log has already are passed over: a repeated call is harmless. 416: they begin
    behind its end, which ``Content-Range`` of the answer tells; send what follows from there.
    ``Content-Encoding: gzip`` is taken; places are those of the bytes behind it. A total in place
    of the ``*`` says that nothing follows.
    """
    logs, headers = logs_of(call), call.request.headers
    sent = asked.range_of_header(headers.get("content-range"))
    if sent is None or sent.size != len(data):
        detail = f"the body has {len(data)} bytes; send Content-Range: bytes FIRST-LAST/*"
        raise BadRequest(WRONG_RANGE, detail)
    reference = ClaimRef(
        job_id=call.name("job_id"),
        token=asked.token_of_header(headers.get(asked.LEASE_TOKEN)),
        agent_id=call.principal.agent_id,
    )
    state = await logs.append(reference, sent.offset, data, complete=sent.complete)
    return Reply(value=to_json(state))


@TABLE.add("GET", "/logs", Nothing, Scope.LOGS_READ, gives=Object({"logs": list[LogState]}))
async def states(call: Call, _: Nothing) -> Reply:
    """Return how far the logs of a job are, one an attempt, the first attempt first."""
    return Reply(value={"logs": to_json(list(await logs_of(call).states(call.name("job_id"))))})


@TABLE.add(
    "GET",
    "/log",
    asked.LogQuery,
    Scope.LOGS_READ,
    gives=str,
    takes_headers={"Range": "Some bytes by their places: `bytes=0-1023`, `bytes=-1024`."},
    media_type=_TEXT,
)
async def read(call: Call, query: asked.LogQuery) -> Reply:
    """Return the log of an attempt, or the lines of its end, or a range of it.

    All of it has a line where bytes are left out. A range (206) never reaches over them: it begins
    behind them, or ends before, as ``Content-Range`` says, whose total is ``*`` while the log may
    grow. ``Log-Attempt`` and ``Log-Complete`` say which log it is, and whether nothing follows.
    """
    logs, job_id = logs_of(call), call.name("job_id")
    state = await logs.state(job_id, query.attempt)
    header = call.request.headers.get("range")
    if query.tail is not None:
        if header is not None:
            raise InvalidInput("tail", query.tail, "give it or the header Range, not both")
        piece = await logs.tail(job_id, state.attempt, lines=query.tail)
        return _part(state, piece.offset, piece.next_offset, value=piece.data)
    wanted = asked.wanted_range(header, state.end)
    if wanted is None:
        return _whole(logs, job_id, state)
    return _range(logs, job_id, state, *wanted)


@TABLE.add(
    "GET",
    "/log/stream",
    asked.LogStreamQuery,
    Scope.LOGS_READ,
    gives=str,
    takes_headers={"Last-Event-ID": "Where a stream ended: it goes on there."},
    media_type=_EVENTS,
)
async def stream(call: Call, query: asked.LogStreamQuery) -> Reply:
    """Follow a log as Server-Sent Events; ``Last-Event-ID`` goes on where a stream ended.

    Each message is an object with ``attempt``, ``offset``, ``missing`` (bytes left out before it)
    and ``text``, or ``base64``. The message ``end`` says that nothing follows. Without ``attempt``
    the stream goes on with the attempts that follow, until the job has ended.
    """
    logs, job_id = logs_of(call), call.name("job_id")
    call.streams.require_room(call.principal.name)
    follower = logs.follower(job_id, attempt=query.attempt, offset=query.offset)
    last = call.request.headers.get("last-event-id")
    if last:
        follower.begin_at(*asked.place_of_text(last))
    await call.plane.jobs.get(job_id)  # an unknown job is refused before the answer begins
    call.streams.require_room(call.principal.name)  # others may have begun during that read
    return Reply(
        stream=LogStream(call, follower, query.encoding).run,
        media_type=_EVENTS,
        headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
    )


def _whole(logs: JobLogService, job_id: str, state: LogState) -> Reply:
    cut = cut_line(state.missing).encode() if state.missing else b""

    log = LogId(job_id, state.attempt)

    async def write_all(write: Write) -> None:
        await _copy(logs, log, 0, state.head, write)
        if cut:
            await write(cut)
        behind = state.head + state.missing
        await _copy(logs, log, behind, state.end, write)

    length = {"content-length": str(state.kept + len(cut)), "accept-ranges": "bytes"}
    return Reply(
        stream=write_all, media_type=_TEXT, headers={**_AS_TEXT, **_facts(state), **length}
    )


def _range(logs: JobLogService, job_id: str, state: LogState, begin: int, behind: int) -> Reply:
    kept_again = state.head + state.missing
    if begin < state.head:
        behind = min(behind, state.head)
    elif begin < kept_again:  # as many bytes as were asked for, from the first one on that is kept
        begin, behind = kept_again, min(kept_again + behind - begin, state.end)
    if begin >= behind:
        detail = f"there is nothing in that range yet: the log has {state.end} bytes"
        raise BadRequest(RANGE_NOT_SATISFIABLE, detail, {"content-range": f"bytes */{state.end}"})

    log = LogId(job_id, state.attempt)

    async def write_range(write: Write) -> None:
        await _copy(logs, log, begin, behind, write)

    return _part(state, begin, behind, stream=write_range)


def _part(state: LogState, begin: int, behind: int, **content: Any) -> Reply:
    if begin == behind:  # a log without a byte: there is no range of it
        return Reply(value=b"", media_type=_TEXT, headers={**_AS_TEXT, **_facts(state)})
    total = str(state.end) if state.complete else "*"
    headers = {
        **_AS_TEXT,
        **_facts(state),
        "content-range": f"bytes {begin}-{behind - 1}/{total}",
        "content-length": str(behind - begin),
    }
    return Reply(media_type=_TEXT, status=206, headers=headers, **content)


def _facts(state: LogState) -> dict[str, str]:
    complete = str(state.complete).lower()
    return {asked.ATTEMPT: str(state.attempt), asked.COMPLETE: complete}


async def _copy(logs: JobLogService, log: LogId, begin: int, behind: int, write: Write) -> None:
    """Write the bytes between two places.

    Raises:
        StoreUnavailable: some of them were left out since the answer began.
    """
    while begin < behind:
        most = min(PIECE_BYTES, behind - begin)
        piece = await logs.read(log.job_id, log.attempt, begin, most=most)
        if piece.missing or not piece.data:
            raise StoreUnavailable("the log lost bytes of the answer meanwhile; ask again")
        await write(piece.data)
        begin = piece.next_offset
