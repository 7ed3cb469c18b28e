"""Logs over HTTP: appended at a place, read in ranges, followed."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    ControlPlane,
    InvalidInput,
    JobSpec,
    KeySpec,
    LeaseLost,
    LogOffsetMismatch,
    NotFound,
    OperationRejected,
    Outcome,
    Verdict,
)
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import Limits, TokenAccess, create_app
from cicd_core.http.wire.job_logs import token_to_header
from cicd_core.http.wire.values import reference_of
from cicd_core.job_logs import FileLogStore, LogLimits
from cicd_core.job_logs.contract import MAX_CHUNK
from cicd_core.job_logs.limits import HEAD_BYTES, LEAST_LIMIT, cut_line
from cicd_core.model.job import LeaseToken
from cicd_core.values import evolve
from tests.http.in_process import calling, client_of, problem_of
from tests.http.serving import ServerThread, serving
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

    from cicd_core import ClaimedJob
    from cicd_core.control_plane.log_following import FollowedPiece

#: The same in every process, without the time in it.
ZIPPED = gzip.compress(b"hello", mtime=0)

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
def store(tmp_path: Path) -> FileLogStore:
    return FileLogStore(tmp_path / "logs", LogLimits(job_bytes=LEAST_LIMIT))


@pytest.fixture
def logs(plane: ControlPlane, store: FileLogStore) -> JobLogService:
    return JobLogService(plane, store)


@pytest.fixture
async def inside(plane: ControlPlane, logs: JobLogService) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane, job_logs=logs) as client:
        yield client


@pytest.fixture
async def far(plane: ControlPlane, store: FileLogStore) -> AsyncIterator[RemoteControlPlane]:
    async with serving(plane, logs=store) as url, RemoteControlPlane(url) as remote:
        yield remote


@pytest.fixture
async def held(plane: ControlPlane) -> ClaimedJob:
    await plane.queue.enqueue(JobSpec(job_type="build"))
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
    return claimed


def path_of(held: ClaimedJob, end: str = "log") -> str:
    return f"/api/queue/jobs/{held.job.job_id}/{end}"


async def send(
    client: httpx2.AsyncClient, held: ClaimedJob, data: bytes, content_range: str, **headers: str
) -> httpx2.Response:
    given = {
        "lease-token": token_to_header(held),
        "content-type": "application/octet-stream",
        "content-range": content_range,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    sent = {name: value for name, value in given.items() if value}
    return await client.patch(path_of(held), content=data, headers=sent)


async def followed(pieces: Any) -> list[FollowedPiece]:
    with anyio.fail_after(PATIENCE):
        return [piece async for piece in pieces]


async def test_chunks_are_appended_at_their_places_and_a_repeated_one_is_harmless(
    inside: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    for _ in range(2):
        answer = await send(inside, held, b"hello ", "bytes 0-5/*")
        assert (answer.status_code, answer.json()["end"]) == (200, 6)
    last = await send(inside, held, b"lo world", "bytes 3-10/11")
    assert (last.status_code, last.json()["complete"]) == (200, True)
    read = await inside.get(path_of(held))
    assert (read.status_code, read.content) == (200, b"hello world")
    assert (read.headers["log-attempt"], read.headers["log-complete"]) == ("1", "true")
    assert read.headers["content-type"] == "text/plain; charset=utf-8"
    assert read.headers["x-content-type-options"] == "nosniff"


async def test_a_gap_is_answered_416_with_the_end(
    inside: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    await send(inside, held, b"hello", "bytes 0-4/*")
    refused = await send(inside, held, b"world", "bytes 6-10/*")
    assert (refused.status_code, refused.headers["content-range"]) == (416, "bytes */5")
    problem = problem_of(refused)
    assert (problem["type"], problem["end"]) == ("log-offset-mismatch", 5)
    assert (await inside.get(path_of(held))).content == b"hello"


async def test_an_empty_end_completes_a_log(inside: httpx2.AsyncClient, held: ClaimedJob) -> None:
    ended = await send(inside, held, b"", "bytes */0")
    assert (ended.status_code, ended.json()["complete"], ended.json()["end"]) == (200, True, 0)
    read = await inside.get(path_of(held))
    assert (read.status_code, read.content, read.headers["log-complete"]) == (200, b"", "true")
    assert (await inside.get(path_of(held), params={"tail": 5})).content == b""


@pytest.mark.parametrize(("data", "total"), [(b"", 5), (b"hello", 5), (b"", 0)])
async def test_a_log_that_is_longer_can_t_end_there(
    inside: httpx2.AsyncClient, held: ClaimedJob, data: bytes, total: int
) -> None:
    await send(inside, held, b"hello world", "bytes 0-10/*")
    places = f"0-{total - 1}" if data else "*"
    refused = await send(inside, held, data, f"bytes {places}/{total}")
    assert (refused.status_code, refused.headers["content-range"]) == (416, "bytes */11")
    assert f"can't end at {total}" in problem_of(refused)["detail"]
    assert (await inside.get(path_of(held))).headers["log-complete"] == "false"
    ended = await send(inside, held, b"", "Bytes */11")
    assert (ended.status_code, ended.json()["complete"]) == (200, True)


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes 0-4", "bytes 0-3/*", "bytes 0-4/6", "bytes 4-0/*", "items 0-4/*", "bytes */*"],
)
async def test_a_range_that_does_not_fit_the_body_is_refused(
    inside: httpx2.AsyncClient, held: ClaimedJob, content_range: str
) -> None:
    refused = await send(inside, held, b"hello", content_range)
    assert (refused.status_code, problem_of(refused)["type"]) == (400, "wrong-content-range")


@pytest.mark.parametrize("token", ["", "7", "7.xyz", "7.", ".0", f"7.{'0' * 32}\t1"])
async def test_a_token_that_is_none_is_refused(
    inside: httpx2.AsyncClient, held: ClaimedJob, token: str
) -> None:
    refused = await send(inside, held, b"hello", "bytes 0-4/*", lease_token=token)
    problem = problem_of(refused)
    assert (refused.status_code, problem["field"]) == (422, "Lease-Token")


async def test_a_token_of_no_attempt_writes_nothing(
    far: RemoteControlPlane, held: ClaimedJob
) -> None:
    token = LeaseToken(fence=held.token.fence, claim_id="0" * 32)
    stranger = evolve(reference_of(held), token=token)
    with pytest.raises(LeaseLost, match="no attempt at the job has that token"):
        await far.job_logs.append(stranger, 0, b"hello")
    with pytest.raises(LeaseLost, match="the job no longer exists"):
        await far.job_logs.append(evolve(reference_of(held), job_id="j-none"), 0, b"hello")
    assert await far.job_logs.states(held.job.job_id) == ()


async def test_what_an_attempt_still_said_is_taken_after_its_end_into_its_own_log(
    plane: ControlPlane, far: RemoteControlPlane, held: ClaimedJob
) -> None:
    await far.job_logs.append(held, 0, b"first ")
    await plane.queue.release(held, reason="draining")
    with anyio.fail_after(PATIENCE):
        (again,) = await plane.queue.claim(agent_id="a-2", start=True, wait=60)
    await far.job_logs.append(again, 0, b"second")
    await far.job_logs.append(held, 6, b"end", complete=True)
    states = await far.job_logs.states(held.job.job_id)
    assert [(each.attempt, each.end, each.complete) for each in states] == [
        (1, 9, True),
        (2, 6, False),
    ]
    assert (await far.job_logs.read(held.job.job_id, 1)).data == b"first end"
    assert (await far.job_logs.tail(held.job.job_id)).data == b"second"


async def test_gzip_is_taken_and_a_bomb_is_not(
    inside: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    data = b"hello\n" * 1000
    taken = await send(
        inside, held, gzip.compress(data), f"bytes 0-{len(data) - 1}/*", content_encoding="gzip"
    )
    assert (taken.status_code, taken.json()["end"]) == (200, len(data))
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    refused = await send(inside, held, bomb, "bytes 6000-6999/*", content_encoding="gzip")
    assert (refused.status_code, problem_of(refused)["type"]) == (413, "too-large")
    assert (await inside.get(path_of(held))).content == data


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"no gzip", 400),
        ("gzip", ZIPPED[:-4], 400),
        ("gzip", ZIPPED * 2, 400),
        ("gzip", zlib.compress(b"hello"), 400),
        ("br", b"hello", 415),
        ("gzip, gzip", b"hello", 415),
    ],
    ids=["no gzip", "cut", "twice", "zlib", "unknown", "two"],
)
async def test_an_encoding_that_does_not_decode_is_refused(
    inside: httpx2.AsyncClient, held: ClaimedJob, encoding: str, body: bytes, status: int
) -> None:
    refused = await send(inside, held, body, "bytes 0-4/*", content_encoding=encoding)
    assert refused.status_code == status
    assert (await inside.get(path_of(held))).status_code == 404


async def test_json_is_no_log(inside: httpx2.AsyncClient, held: ClaimedJob) -> None:
    refused = await send(inside, held, b"{}", "bytes 0-1/*", content_type="application/json")
    assert (refused.status_code, problem_of(refused)["type"]) == (415, "wrong-media-type")


@pytest.mark.parametrize(
    ("wanted", "data", "answered"),
    [
        ("bytes=0-", b"0123456789", "bytes 0-9/*"),
        ("bytes=2-4", b"234", "bytes 2-4/*"),
        ("bytes=8-99", b"89", "bytes 8-9/*"),
        ("bytes=-3", b"789", "bytes 7-9/*"),
        ("bytes=-99", b"0123456789", "bytes 0-9/*"),
        ("Bytes=2-4", b"234", "bytes 2-4/*"),
    ],
)
async def test_a_range_is_answered_with_its_places(
    inside: httpx2.AsyncClient, held: ClaimedJob, wanted: str, data: bytes, answered: str
) -> None:
    await send(inside, held, b"0123456789", "bytes 0-9/*")
    answer = await inside.get(path_of(held), headers={"range": wanted})
    assert (answer.status_code, answer.content) == (206, data)
    assert answer.headers["content-range"] == answered
    assert answer.headers["content-length"] == str(len(data))


async def test_a_range_counts_for_get_alone_and_without_a_condition(
    inside: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    await send(inside, held, b"0123456789", "bytes 0-9/*")
    wanted = {"range": "bytes=2-4"}
    head = await inside.head(path_of(held), headers=wanted)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")
    assert "content-range" not in head.headers
    answer = await inside.get(path_of(held), headers={**wanted, "if-range": '"any"'})
    assert (answer.status_code, answer.content) == (200, b"0123456789")


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_range_of_nothing_is_answered_416(
    inside: httpx2.AsyncClient, held: ClaimedJob, wanted: str
) -> None:
    await send(inside, held, b"0123456789", "bytes 0-9/*")
    refused = await inside.get(path_of(held), headers={"range": wanted})
    assert (refused.status_code, refused.headers["content-range"]) == (416, "bytes */10")
    assert problem_of(refused)["type"] == "range-not-satisfiable"


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=5-4x", "lines=0-1", "bytes=-"])
async def test_a_range_of_another_form_is_answered_with_the_whole_log(
    inside: httpx2.AsyncClient, held: ClaimedJob, wanted: str
) -> None:
    await send(inside, held, b"0123456789", "bytes 0-9/*")
    answer = await inside.get(path_of(held), headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, b"0123456789")


async def test_the_tail_is_the_last_lines(inside: httpx2.AsyncClient, held: ClaimedJob) -> None:
    await send(inside, held, b"one\ntwo\nthree\n", "bytes 0-13/*")
    for lines, data in [(1, b"three\n"), (2, b"two\nthree\n"), (9, b"one\ntwo\nthree\n")]:
        answer = await inside.get(path_of(held), params={"tail": lines})
        assert (answer.status_code, answer.content) == (206, data)
        assert answer.headers["content-range"] == f"bytes {14 - len(data)}-13/*"
    for lines in (0, 10_001):
        refused = await inside.get(path_of(held), params={"tail": lines})
        assert (refused.status_code, problem_of(refused)["field"]) == (422, "tail")
    both = await inside.get(path_of(held), params={"tail": 1}, headers={"range": "bytes=0-1"})
    assert both.status_code == 422


async def test_the_tail_of_a_long_line_is_its_end(logs: JobLogService, held: ClaimedJob) -> None:
    job_id = held.job.job_id
    for number in range(2):
        await logs.append(held, number * MAX_CHUNK, b"x" * MAX_CHUNK)
    piece = await logs.tail(job_id, lines=1)
    assert (len(piece.data), piece.next_offset) == (MAX_CHUNK, 2 * MAX_CHUNK)


async def test_a_long_log_is_read_with_a_line_where_it_is_cut(
    inside: httpx2.AsyncClient, logs: JobLogService, held: ClaimedJob
) -> None:
    size = 2 * LEAST_LIMIT
    data = b"".join(b"%063d\n" % number for number in range(size // 64))
    for offset in range(0, size, MAX_CHUNK):
        await logs.append(held, offset, data[offset : offset + MAX_CHUNK])
    state = await logs.state(held.job.job_id)
    behind = HEAD_BYTES + state.missing
    whole = await inside.get(path_of(held))
    cut = cut_line(state.missing).encode()
    assert whole.content == data[:HEAD_BYTES] + cut + data[behind:]
    assert whole.headers["content-length"] == str(len(whole.content))
    before = await inside.get(path_of(held), headers={"range": "bytes=0-"})
    assert before.content == data[:HEAD_BYTES]
    after = await inside.get(path_of(held), headers={"range": f"bytes={HEAD_BYTES + 5}-"})
    assert after.headers["content-range"] == f"bytes {behind}-{size - 1}/*"
    assert after.content == data[behind:]
    within = f"bytes={HEAD_BYTES}-{HEAD_BYTES + 5}"
    answer = await inside.get(path_of(held), headers={"range": within})
    assert answer.headers["content-range"] == f"bytes {behind}-{behind + 5}/*"


async def test_the_client_reads_what_the_service_reads(
    far: RemoteControlPlane, logs: JobLogService, held: ClaimedJob
) -> None:
    job_id, size = held.job.job_id, 2 * LEAST_LIMIT
    for offset in range(0, size, MAX_CHUNK):
        await far.job_logs.append(held, offset, b"%063d\n" % offset * (MAX_CHUNK // 64))
    assert await far.job_logs.states(job_id) == await logs.states(job_id)
    assert await far.job_logs.state(job_id) == await logs.state(job_id, 1)
    for offset in (0, 5, HEAD_BYTES - 10, HEAD_BYTES + 10, size - 10, size, size + 5):
        near = await logs.read(job_id, 1, offset, most=100)
        assert await far.job_logs.read(job_id, 1, offset, most=100) == near
    assert await far.job_logs.tail(job_id, lines=3) == await logs.tail(job_id, lines=3)
    with pytest.raises(LogOffsetMismatch) as refused:
        await far.job_logs.append(held, size + 1, b"gap")
    assert refused.value.end == size
    with pytest.raises(NotFound, match="log"):
        await far.job_logs.state(job_id, 2)
    with pytest.raises(NotFound, match="j-none"):
        await far.job_logs.states("j-none")


async def test_a_log_is_followed_over_its_attempts_until_the_job_has_ended(
    plane: ControlPlane, far: RemoteControlPlane, held: ClaimedJob
) -> None:
    job_id = held.job.job_id
    found: list[FollowedPiece] = []

    async def follow() -> None:
        found.extend(await followed(far.job_logs.follow(job_id)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await far.job_logs.append(held, 0, b"one \xe2\x82")
        await far.job_logs.append(held, 6, b"\xac ends", complete=True)
        await plane.queue.release(held, reason="draining")
        (again,) = await plane.queue.claim(agent_id="a-2", start=True, wait=60)
        await far.job_logs.append(again, 0, b"two", complete=True)
        await plane.queue.complete(again, Outcome(verdict=Verdict.SUCCESS))
    told = dict.fromkeys((1, 2), b"")
    for piece in found:
        assert piece.next_offset == len(told[piece.attempt]) + len(piece.data)
        told[piece.attempt] += piece.data
    assert told == {1: "one € ends".encode(), 2: b"two"}


async def test_one_attempt_is_followed_to_its_end_alone(
    far: RemoteControlPlane, held: ClaimedJob
) -> None:
    await far.job_logs.append(held, 0, b"one two", complete=True)
    (piece,) = await followed(far.job_logs.follow(held.job.job_id, attempt=1, offset=4))
    assert (piece.data, piece.next_offset) == (b"two", 7)


@pytest.mark.thorough
async def test_the_log_of_a_lost_agent_ends_where_it_ends(
    plane: ControlPlane, logs: JobLogService, held: ClaimedJob
) -> None:
    await logs.append(held, 0, b"half a li")
    await plane.queue.complete(held, Outcome(verdict=Verdict.FAILED))
    (piece,) = await followed(logs.follow(held.job.job_id))
    assert piece.data == b"half a li"


async def test_a_stream_is_text_and_goes_on_where_it_ended(
    inside: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    data = "a€b".encode() + b"\xff" + "c€".encode()
    await send(inside, held, data, f"bytes 0-{len(data) - 1}/{len(data)}")
    answer = await inside.get(path_of(held, "log/stream"), params={"attempt": 1})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert 'data: {"attempt":1,"offset":0,"missing":0,"text":"a€b�c€"}' in answer.text
    assert f"id: 1-{len(data)}\n" in answer.text
    assert answer.text.endswith("event: end\ndata: {}\n\n")
    again = await inside.get(
        path_of(held, "log/stream"), params={"attempt": 1}, headers={"last-event-id": "1-5"}
    )
    assert '"offset":5,"missing":0,"text":"�c€"' in again.text
    damaged = await inside.get(path_of(held, "log/stream"), headers={"last-event-id": "5"})
    assert problem_of(damaged)["type"] == "invalid-cursor"


async def test_a_stream_never_cuts_a_character(
    far: RemoteControlPlane, url_client: httpx2.AsyncClient, held: ClaimedJob
) -> None:
    texts: list[str] = []
    begun = anyio.Event()

    async def read() -> None:
        path = path_of(held, "log/stream")
        async with url_client.stream("GET", path, params={"attempt": 1}) as answer:
            async for line in answer.aiter_lines():
                texts.append(line)
                if '"text":"a"' in line:
                    begun.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await far.job_logs.append(held, 0, b"a\xf0\x9f")
            await begun.wait()
            await far.job_logs.append(held, 3, b"\x98\x80b\xf0\x9f", complete=True)
    assert any('"offset":1,"missing":0,"text":"😀b"' in line for line in texts)
    assert any('"offset":6,"missing":0,"text":"�"' in line for line in texts)


@pytest.fixture
async def url_client(far: RemoteControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    import httpx2 as client_library  # noqa: PLC0415 - the annotation above is for type checkers

    address = far._connection.address.url  # noqa: SLF001 - the same server
    async with client_library.AsyncClient(base_url=address, trust_env=False) as client:
        yield client


async def test_a_follower_goes_on_after_a_restart_of_the_server(
    plane: ControlPlane, store: FileLogStore, held: ClaimedJob
) -> None:
    first = ServerThread(plane, None, logs=store)
    url = await anyio.to_thread.run_sync(first.start)
    port = int(url.rpartition(":")[2])
    found: list[FollowedPiece] = []
    begun = anyio.Event()
    logs = JobLogService(plane, store)
    await logs.append(held, 0, b"before ")

    async def follow(remote: RemoteControlPlane) -> None:
        async for piece in remote.job_logs.follow(held.job.job_id, attempt=1):
            found.append(piece)
            begun.set()

    async with RemoteControlPlane(url) as remote:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, remote)
                await begun.wait()
                await anyio.to_thread.run_sync(first.stop)
                second = ServerThread(plane, None, logs=store, port=port)
                await anyio.to_thread.run_sync(second.start)
                await logs.append(held, 7, b"after", complete=True)
    await anyio.to_thread.run_sync(second.stop)
    assert [piece.data for piece in found] == [b"before ", b"after"]


async def test_a_server_that_keeps_no_logs_says_what_to_do(
    plane: ControlPlane, held: ClaimedJob
) -> None:
    async with serving(plane) as url, RemoteControlPlane(url) as remote:
        for call in (
            remote.job_logs.append(held, 0, b"text"),
            remote.job_logs.states(held.job.job_id),
            remote.job_logs.tail(held.job.job_id),
            anext(remote.job_logs.follow(held.job.job_id)),
        ):
            with pytest.raises(OperationRejected, match="start it with --logs FOLDER"):
                await call


async def test_reading_logs_takes_a_scope_of_its_own(
    plane: ControlPlane, logs: JobLogService, held: ClaimedJob
) -> None:
    await logs.append(held, 0, b"secret", complete=True)
    app = create_app(plane, auth=TokenAccess(plane.keys, plane.sessions), job_logs=logs)
    spec = KeySpec(name="reader", scopes=["jobs:read"])
    reader = (await plane.keys.create(spec)).token
    viewer = (await plane.keys.create(KeySpec(name="viewer", scopes=["logs:read"]))).token
    session = (await plane.sessions.create("ada")).token
    async with client_of(app) as client:
        for end in ("log", "logs", "log/stream?attempt=1"):
            for token, status in ((reader, 403), (session, 403), (viewer, 200)):
                headers = {"authorization": f"Bearer {token}"}
                answer = await client.get(path_of(held, end), headers=headers)
                assert answer.status_code == status, (end, token)


async def test_one_principal_sends_and_follows_so_much_at_once(
    plane: ControlPlane, logs: JobLogService, held: ClaimedJob
) -> None:
    async with calling(plane, job_logs=logs, limits=Limits(max_uploads=0, max_streams=0)) as client:
        for refused in (
            await send(client, held, b"text", "bytes 0-3/*"),
            await client.get(path_of(held, "log/stream")),
        ):
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


async def test_a_place_of_nineteen_digits_is_read_as_by_the_service(
    far: RemoteControlPlane, logs: JobLogService, held: ClaimedJob
) -> None:
    await far.job_logs.append(held, 0, b"hello")
    job_id, place = held.job.job_id, 2**62 - 10
    here, there = await logs.read(job_id, 1, place), await far.job_logs.read(job_id, 1, place)
    assert there == here
    with pytest.raises(LogOffsetMismatch) as wrong:
        await far.job_logs.append(held, place, b"more")
    assert wrong.value.end == 5


async def test_wrong_arguments_are_refused(far: RemoteControlPlane, held: ClaimedJob) -> None:
    job_id = held.job.job_id
    for call in (
        far.job_logs.append(held, -1, b""),
        far.job_logs.append(held, 0, "text"),  # type: ignore[arg-type] # what is refused
        far.job_logs.append("j-1", 0, b""),  # type: ignore[arg-type] # what is refused
        far.job_logs.read(job_id, 0),
        far.job_logs.read(job_id, 1, -1),
        far.job_logs.read(job_id, 1, most=MAX_CHUNK + 1),
        far.job_logs.tail(job_id, lines=0),
        anext(far.job_logs.follow(job_id, attempt=0)),
    ):
        with pytest.raises(InvalidInput):
            await call
