"""Requests that mean harm: numbers, names and connections at their ends."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from cicd_core import ControlPlane, JobSpec, StoreReadOnly
from cicd_core.http.server import Limits
from cicd_core.http.server.limits import DEFAULT_LIMITS
from tests.http.in_process import calling
from tests.http.serving import ServerThread, serving
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

    from cicd_core.http.client import RemoteControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

JOBS = "/api/queue/jobs"
#: Beyond what 64 bits hold.
LARGE = 2**70


@pytest.fixture
async def inside(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane) as client:
        yield client


async def test_a_job_with_a_large_number_is_shown_and_claimed(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    payload = {"build": LARGE, "small": -LARGE, "name": "\N{SNOWMAN}"}
    made = await plane.queue.enqueue(JobSpec(job_type="build", payload=payload))
    far = await remote.queue.enqueue(JobSpec(job_type="build", payload=payload))
    for job in (made, far):
        assert (await remote.jobs.get(job.job_id)).payload == payload
    claims = await remote.queue.claim(agent_id="a-1", limit=2)
    assert [each.job.payload for each in claims] == [payload, payload]


async def test_many_jobs_whose_numbers_are_long_in_json_come_in_several_requests(
    remote: RemoteControlPlane,
) -> None:
    specs = [JobSpec(job_type="build", payload={"n": [1e16] * 9_000}) for _ in range(30)]
    assert len(await remote.queue.enqueue_many(specs)) == 30


@pytest.mark.parametrize("number", [LARGE, -LARGE, 2**53, -1])
async def test_a_token_with_a_number_that_is_none_of_ours_owns_nothing(
    inside: httpx2.AsyncClient, plane: ControlPlane, number: int
) -> None:
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    body = {"token": {"fence": number, "claim_id": "0" * 32}}
    refused = await inside.patch(f"{JOBS}/{job.job_id}/start", json=body)
    document = refused.json()
    assert (refused.status_code, document["type"]) == (409, "urn:cicd-core:problem:lease-lost")
    assert document["fence"] == number


@pytest.mark.parametrize("digits", ["9" * 5000, "1048577", "9" * 19])
async def test_a_content_length_over_the_limit_is_refused_whatever_its_length(
    inside: httpx2.AsyncClient, digits: str
) -> None:
    refused = await inside.post(JOBS, content=b"", headers={"content-length": digits})
    assert (refused.status_code, refused.json()["limit"]) == (413, DEFAULT_LIMITS.max_body_bytes)


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 400, "9" * 5000, "NaN", "Infinity", "0x10", "01"]
)
@pytest.mark.parametrize("place", ["timeout_seconds", "payload", "delay_seconds"])
async def test_a_number_that_no_field_takes_is_refused(
    inside: httpx2.AsyncClient, plane: ControlPlane, place: str, number: str
) -> None:
    value = f'{{"deep": [{number}]}}' if place == "payload" else number
    body = f'{{"job_type": "build", "{place}": {value}}}'
    refused = await inside.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert refused.status_code in {400, 422}
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await plane.jobs.list()).items == ()


@pytest.mark.parametrize("text", ["null", "NULL", "true", "1"])
async def test_a_parameter_that_looks_like_another_type_is_the_text_that_it_is(
    inside: httpx2.AsyncClient, plane: ControlPlane, text: str
) -> None:
    await plane.queue.enqueue(JobSpec(job_type="build"))
    named = await plane.queue.enqueue(JobSpec(job_type="build", pool_name=text))
    found = await inside.get(JOBS, params={"pool_name": text})
    assert [each["job_id"] for each in found.json()["items"]] == [named.job_id]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1e30", "1e400", "NaN"]
)
async def test_a_moment_that_no_store_holds_is_refused(
    inside: httpx2.AsyncClient, moment: str
) -> None:
    asked = await inside.get(JOBS, params={"since": moment})
    assert (asked.status_code, asked.json()["field"]) == (422, "since")
    made = await inside.post(JOBS, json={"job_type": "build", "run_at": moment})
    assert (made.status_code, made.json()["field"]) == (422, "run_at")


@pytest.mark.parametrize("name", ["%00", "%ff", "%ed%a0%80", "%2e%2e", "a%0ab", "%E2%98%83", "%zz"])
async def test_a_name_that_is_none_is_refused_or_not_found(
    inside: httpx2.AsyncClient, name: str
) -> None:
    answer = await inside.get(f"/api/agents/pools/{name}/scaling")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_does_not_end_is_refused_after_its_time(plane: ControlPlane) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    with anyio.fail_after(PATIENCE):
        async with calling(plane, limits=Limits(body_seconds=0.01)) as inside:
            refused = await inside.post(JOBS, content=endless())
    assert (refused.status_code, refused.headers["connection"]) == (408, "close")
    assert refused.json()["type"] == "urn:cicd-core:problem:too-slow"


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: "])
async def test_a_connection_without_a_request_is_closed_after_its_time(
    plane: ControlPlane, sent: bytes
) -> None:
    assert await answer_to(plane, sent, limits=Limits(head_seconds=0.01)) == b""


async def test_a_head_without_an_end_is_refused(plane: ControlPlane) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: "
    answer = await answer_to(plane, head, *[b"a" * 1024] * 2048)
    assert answer.startswith(b"HTTP/1.1 431 ") or answer == b"", answer


SMALL_HEADS = Limits(max_head_bytes=1024)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: %b\r\n\r\n" % (b"a" * 1024),
        b"GET /health?%b HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" % (b"a" * 1024),
        b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n%b\r\n" % (b"a: b\r\n" * 200),
    ],
)
async def test_a_large_head_in_one_read_is_refused_once(plane: ControlPlane, head: bytes) -> None:
    answer = await answer_to(plane, head, limits=SMALL_HEADS)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_large_headers_after_a_body_end_the_connection(plane: ControlPlane) -> None:
    asked = b"POST /api/queue/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
    trailer = b"\r\n2\r\n{}\r\n0\r\nx-long: %b\r\n\r\n" % (b"a" * 1024)
    assert await answer_to(plane, asked + trailer, limits=SMALL_HEADS) == b""


async def test_the_body_before_a_head_does_not_count_as_a_part_of_it(plane: ControlPlane) -> None:
    body = b'{"job_type": "build", "payload": {"text": "%b"}}' % (b"x" * 2048)
    asked = b"POST /api/queue/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n" % len(
        body
    )
    asked += b"content-type: application/json\r\n\r\n"
    head = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    answer = await answer_to(plane, asked + body + head[:9], head[9:], limits=SMALL_HEADS)
    assert [each[:3] for each in answer.split(b"HTTP/1.1 ")[1:]] == [b"201", b"200"]


async def test_a_caller_that_takes_nothing_of_its_answers_is_dropped(plane: ControlPlane) -> None:
    server = ServerThread(plane, None, Limits(stalled_seconds=0.05))
    url = await to_thread.run_sync(server.start)
    host, _, port = url.removeprefix("http://").partition(":")
    asked = b"GET /api/openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    try:
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(asked * 400)  # more than the buffers between the two hold
            with anyio.fail_after(PATIENCE):
                while server.connections == 0:  # noqa: ASYNC110 - a server has no event for it
                    await anyio.sleep(0.01)
                while server.connections > 0:  # noqa: ASYNC110 - as above
                    await anyio.sleep(0.01)
    finally:
        await to_thread.run_sync(server.stop)


async def test_a_request_in_pieces_is_answered(plane: ControlPlane) -> None:
    head = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    answer = await answer_to(plane, *(head[at : at + 9] for at in range(0, len(head), 9)))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"status": "healthy"}


async def test_an_unknown_caller_does_not_learn_why_the_store_is_away(
    inside: httpx2.AsyncClient, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> Any:
        raise StoreReadOnly("redis.internal:6379 takes no writes")

    monkeypatch.setattr(plane.store.backend, "now", away)
    refused = await inside.get("/health/ready")
    assert refused.status_code == 503
    assert "redis.internal" not in refused.text


async def answer_to(plane: ControlPlane, *parts: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return all that a server says to these bytes until it closes the connection."""
    answer = b""
    async with serving(plane, limits=limits) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            with anyio.fail_after(PATIENCE), suppress(anyio.BrokenResourceError):  # it was closed
                for part in parts:
                    await stream.send(part)
                async for heard in stream:
                    answer += heard
    return answer
