"""A client whose URL leads to something that is not the server: each call ends, with an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from cicd_core import (
    CicdError,
    ControlPlane,
    JobSpec,
    KeySpec,
    Outcome,
    StoreUnavailable,
    UnsupportedCapability,
    WaitTimedOut,
)
from cicd_core.http.client import RemoteControlPlane
from cicd_core.model.agent import AgentSpec
from cicd_core.model.claim import ClaimRef
from cicd_core.model.job import LeaseToken
from tests.http.answering import answering
from tests.http.serving import ServerThread
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

HELD = ClaimRef(job_id="j", token=LeaseToken(fence=1, claim_id="ab"))
STREAM = "200 OK\r\ncontent-type: text/event-stream"


async def first_of(items: AsyncIterator[Any]) -> Any:
    return await anext(items)


#: One call for each form of an answer.
CALLS: dict[str, Callable[[RemoteControlPlane], Awaitable[Any]]] = {
    "now": lambda far: far.now(),
    "register": lambda far: far.agents.register(AgentSpec(agent_id="a")),
    "heartbeat": lambda far: far.agents.heartbeat("a", "i"),
    "agents": lambda far: far.agents.list(),
    "summary": lambda far: far.dashboard.summary(),
    "events": lambda far: far.events.read(),
    "end of the log": lambda far: far.events.end(),
    "job": lambda far: far.jobs.get("j"),
    "end of a job": lambda far: far.jobs.wait("j", timeout=0),
    "reasons": lambda far: far.jobs.why("j"),
    "append": lambda far: far.job_logs.append(HELD, 0, b"x"),
    "logs": lambda far: far.job_logs.states("j"),
    "log": lambda far: far.job_logs.read("j", 1),
    "tail": lambda far: far.job_logs.tail("j"),
    "new key": lambda far: far.keys.create(KeySpec(name="n", scopes=["jobs:read"])),
    "keys": lambda far: far.keys.list(),
    "caller": lambda far: far.keys.authenticate(f"cicd_{'0' * 16}_{'0' * 64}"),
    "pool": lambda far: far.pools.status("p"),
    "enqueue": lambda far: far.queue.enqueue(JobSpec(job_type="b")),
    "batch": lambda far: far.queue.enqueue_many([JobSpec(job_type="b")]),
    "claim": lambda far: far.queue.claim(agent_id="a", request_id="r"),
    "start": lambda far: far.queue.start(HELD),
    "renew": lambda far: far.queue.renew([HELD]),
    "complete": lambda far: far.queue.complete(HELD, Outcome.exited(0)),
    "exchange": lambda far: far.queue.exchange([(HELD, Outcome.exited(0))]),
    "session": lambda far: far.sessions.create("u"),
    "log out": lambda far: far.sessions.log_out_everywhere("u"),
}
PARTS = (
    *("events", "cursor", "truncated", "items", "unreadable", "incomplete", "jobs", "leases"),
    *("claims", "token", "key", "session", "ended", "agent", "incarnation", "store_time"),
    *("logs", "reasons", "ends", "claim"),
)
BODIES = {
    "page": b"<html>\n\n<body>Please log in</body>\n\n</html>",
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "deep": b"[" * 100_000,
    "texts": json.dumps(dict.fromkeys(PARTS, "x")).encode(),
    "nulls": json.dumps(dict.fromkeys(PARTS)).encode(),
    "objects": json.dumps({part: {} for part in PARTS}).encode(),
}


@pytest.mark.parametrize("body", BODIES)
async def test_an_answer_of_another_form_is_an_error_of_the_library(body: str) -> None:
    async with answering("200 OK", BODIES[body]) as (url, _), RemoteControlPlane(url) as far:
        for name, call in CALLS.items():
            if (name, body) == ("end of the log", "texts"):
                continue  # a cursor is any text
            with pytest.raises(UnsupportedCapability), anyio.fail_after(PATIENCE):
                pytest.fail(f"{name} returned {await call(far)!r}")


@pytest.mark.parametrize("kind", ["text/html", "application/json", ""])
async def test_a_stream_of_another_type_is_refused_and_not_asked_for_again(kind: str) -> None:
    head = f"200 OK\r\ncontent-type: {kind}"
    async with answering(head, BODIES["page"]) as (url, asked), RemoteControlPlane(url) as far:
        for stream in (far.events.follow(), far.job_logs.follow("j")):
            with pytest.raises(UnsupportedCapability, match="check the URL"):
                with anyio.fail_after(PATIENCE):
                    await first_of(stream)
    assert len(asked) == 2


async def test_a_stream_that_ends_before_its_first_message_is_given_up() -> None:
    async with answering(STREAM) as (url, asked), RemoteControlPlane(url) as far:
        with pytest.raises(StoreUnavailable, match="end before"), anyio.fail_after(PATIENCE):
            await first_of(far.events.follow())
    assert len(asked) == 4


@pytest.mark.parametrize("data", ["[]", '{"base64": 5}', '{"base64": "!", "attempt": 1}', "{"])
async def test_a_message_of_another_form_is_an_error_of_the_library(data: str) -> None:
    body = f"data: {data}\n\n".encode()
    async with answering(STREAM, body) as (url, _), RemoteControlPlane(url) as far:
        for stream in (far.events.follow(), far.job_logs.follow("j")):
            with pytest.raises(CicdError), anyio.fail_after(PATIENCE):
                pytest.fail(f"it yielded {await first_of(stream)!r}")


async def test_a_server_that_stops_is_unavailable_and_the_client_is_not_closed(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core.http.client.connection.TRIES", 1)
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    try:
        server.stop_waiting()
        async with RemoteControlPlane(url) as far:
            with pytest.raises(StoreUnavailable, match="stopping") as stopping:
                await far.now()
    finally:
        await to_thread.run_sync(server.stop)
    assert stopping.value.retryable


async def test_a_wait_for_a_job_ends_in_time_at_a_server_that_stops(plane: ControlPlane) -> None:
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    try:
        server.stop_waiting()
        async with RemoteControlPlane(url) as far:
            with pytest.raises(WaitTimedOut), anyio.fail_after(PATIENCE):
                await far.jobs.wait(job.job_id, timeout=0.1)
            await plane.jobs.cancel(job.job_id)
            ended = await far.jobs.wait(job.job_id, timeout=0)
    finally:
        await to_thread.run_sync(server.stop)
    assert ended.state == "cancelled"
