"""Logs of jobs: ``/api/queue/jobs/{job_id}/log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.control_plane.job_logs import MAX_TAIL_LINES
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
from cicd_core.model.checks import check_integer
from cicd_core.model.claim import ClaimRef
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.http.server.streams import Write

TABLE: Final = RouteTable("/api/queue/jobs/{job_id}")
_TEXT: Final = "text/plain; charset=utf-8"
_EVENTS: Final = "text/event-stream"
#: A log is untrusted text: no browser may interpret it as a page.
_AS_TEXT: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


def logs_of(call: Call) -> JobLogService:
    """Return the logs of the server.

    Raises:
        OperationRejected: it stores none.
    """
    if call.job_logs is None:
        raise OperationRejected("this server stores no logs of jobs; start it with --logs FOLDER")
    return call.job_logs


@TABLE.add_upload(
    "PATCH",
    "/log",
    Scope.QUEUE_CLAIM,
    gives=LogState,
    takes_headers={
        "Content-Range": "The first and last byte: `bytes 0-9/*`; at the end: `bytes 0-9/10`.",
        asked.LEASE_TOKEN: "The token of the claim's answer: `FENCE.CLAIM_ID`.",
    },
)
async def append(call: Call, data: bytes) -> Reply:
    """Append up to 1 MiB to the log of the attempt with this lease token.

    Bytes that the log already has are skipped, so a repeated call is harmless. 416: they begin
    after its end, which ``Content-Range`` of the answer has; send the bytes from there on.
    ``Content-Encoding: gzip`` is supported; offsets count uncompressed bytes. A total in place of
    the ``*`` marks the log as complete; ``bytes */10`` does so without a byte. A total before the
    end of the log is refused with 416 too.
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
    """Return the states of a job's logs, one per attempt, in order of attempts."""
    return Reply(value={"logs": to_json(list(await logs_of(call).states(call.name("job_id"))))})


@TABLE.add(
    "GET",
    "/log",
    asked.LogQuery,
    Scope.LOGS_READ,
    gives=str,
    takes_headers={"Range": "A range of bytes: `bytes=0-1023`, `bytes=-1024`."},
    media_type=_TEXT,
)
async def read(call: Call, query: asked.LogQuery) -> Reply:
    """Return the log of an attempt, or its last lines, or a range of its bytes.

    The complete log has a line in place of omitted bytes. A range (206) never includes omitted
    bytes: it begins after them, or ends before them, as ``Content-Range`` says. Its total is ``*``
    while the log may grow. ``Log-Attempt`` and ``Log-Complete`` give the attempt, and whether its
    log is complete. ``Range`` is ignored for HEAD, and beside ``If-Range``: logs have no validator.
    """
    logs, job_id = logs_of(call), call.name("job_id")
    if query.tail is not None:
        check_integer("tail", query.tail, least=1, most=MAX_TAIL_LINES)
    state = await logs.state(job_id, query.attempt)
    header = _range_asked_for(call.request)
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
    takes_headers={"Last-Event-ID": "The end of an earlier stream, to continue there."},
    media_type=_EVENTS,
)
async def stream(call: Call, query: asked.LogStreamQuery) -> Reply:
    """Follow a log as Server-Sent Events; ``Last-Event-ID`` continues where a stream ended.

    Each message is an object with ``attempt``, ``offset``, ``missing`` (the number of omitted bytes
    before it) and ``text``, or ``base64``. The message ``end`` is the last one. Without
    ``attempt`` the stream continues with later attempts, until the job has ended.
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


def _range_asked_for(request: Request) -> str | None:
    """Return the header ``Range``, unless it must be ignored (RFC 9110, 13.1.5 and 14.2)."""
    if request.method != "GET" or "if-range" in request.headers:
        return None
    return request.headers.get("range")


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
    elif begin < kept_again:  # as many bytes as requested, after the omitted ones
        begin, behind = kept_again, min(kept_again + behind - begin, state.end)
    if begin >= behind:
        detail = f"there is nothing in that range yet: the log has {state.end} bytes"
        raise BadRequest(RANGE_NOT_SATISFIABLE, detail, {"content-range": f"bytes */{state.end}"})

    log = LogId(job_id, state.attempt)

    async def write_range(write: Write) -> None:
        await _copy(logs, log, begin, behind, write)

    return _part(state, begin, behind, stream=write_range)


def _part(state: LogState, begin: int, behind: int, **content: Any) -> Reply:
    if begin == behind:  # an empty log: it has no range
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
    """Write the bytes between two offsets.

    Raises:
        StoreUnavailable: some of them were removed after the answer began.
    """
    while begin < behind:
        most = min(PIECE_BYTES, behind - begin)
        piece = await logs.read(log.job_id, log.attempt, begin, most=most)
        if piece.missing or not piece.data:
            raise StoreUnavailable("bytes of the log were removed during the answer; ask again")
        await write(piece.data)
        begin = piece.next_offset
