"""Requests that offer another protocol, as those of Java's HTTP client do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pytest

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core import ControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
JSON = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
BODY = '{"job_type": "build", "payload": {"n": 7}}'
FRAMED = {
    "length": (f"Content-Length: {len(BODY)}\r\n", BODY),
    "chunks": (
        "Transfer-Encoding: chunked\r\n",
        f"a\r\n{BODY[:10]}\r\n{len(BODY) - 10:x}\r\n{BODY[10:]}\r\n0\r\nTrailer: x\r\n\r\n",
    ),
}
LAST = f"GET /health HTTP/1.1\r\n{JSON}Connection: close\r\n\r\n"


async def answers_to(url: str, *packets: str) -> bytes:
    """Send packets, each when the one before has left; return all answers."""
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    answers = b""
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(place.hostname, place.port) as stream:
            for packet in packets:
                await stream.send(packet.encode())
            async for part in stream:
                answers += part
    return answers


@pytest.mark.parametrize("framing", FRAMED)
@pytest.mark.parametrize("step", [1, 7, 100_000], ids=["bytes", "pieces", "whole"])
async def test_the_body_of_a_request_with_an_offer_is_read(
    plane: ControlPlane, url: str, framing: str, step: int
) -> None:
    length, body = FRAMED[framing]
    post = f"POST /api/queue/jobs HTTP/1.1\r\n{JSON}{OFFER}{length}\r\n{body}"
    text = f"{post}{post}{LAST}"
    packets = [text[at : at + step] for at in range(0, len(text), step)]
    answers = await answers_to(url, *packets)
    assert answers.count(b"HTTP/1.1 201 Created") == 2
    assert answers.count(b"HTTP/1.1 ") == 3
    jobs = (await plane.jobs.list()).items
    assert [job.payload for job in jobs] == [{"n": 7}, {"n": 7}]


async def test_the_body_of_a_request_with_an_offer_is_never_the_next_request(
    plane: ControlPlane, url: str
) -> None:
    hidden = f"POST /api/queue/jobs HTTP/1.1\r\n{JSON}Content-Length: {len(BODY)}\r\n\r\n{BODY}"
    head = f"PUT /api/agents/pools/p HTTP/1.1\r\n{JSON}{OFFER}Content-Length: {len(hidden)}\r\n\r\n"
    answers = await answers_to(url, head, hidden, LAST)
    assert answers.startswith(b"HTTP/1.1 400 Bad Request")
    assert answers.count(b"HTTP/1.1 ") == 2
    assert (await plane.jobs.list()).items == ()
    assert (await plane.pools.list()).items == ()


async def test_a_request_without_a_body_and_with_an_offer_is_answered(url: str) -> None:
    get = f"GET /info HTTP/1.1\r\n{JSON}{OFFER}\r\n"
    websocket = f"GET /info HTTP/1.1\r\n{JSON}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answers = await answers_to(url, get, websocket, get, LAST)
    assert answers.count(b"HTTP/1.1 200 OK") == 4
