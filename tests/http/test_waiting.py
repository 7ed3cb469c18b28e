"""Claims that wait: their callers go, or the server stops."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from anyio import to_thread

from cicd_core import ControlPlane, JobSpec
from cicd_core.http.server import Limits
from tests.http.serving import ServerThread
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

CLAIM = {"agent_id": "a-1", "wait": PATIENCE}


@pytest.fixture
async def server(plane: ControlPlane) -> AsyncIterator[ServerThread]:
    thread = ServerThread(plane, None)
    yield thread
    await to_thread.run_sync(thread.stop)


async def until_waiting(server: ServerThread, number: int) -> None:
    with anyio.fail_after(PATIENCE):
        while server.waiting != number:  # noqa: ASYNC110 - a server has no event for it
            await anyio.sleep(0.02)


@pytest.mark.parametrize("request_id", [None, "r-1"])
async def test_a_claim_that_waits_is_answered_when_the_server_stops(
    plane: ControlPlane, server: ServerThread, request_id: str | None
) -> None:
    url = await to_thread.run_sync(server.start)
    answers: list[httpx2.Response] = []

    async def claim() -> None:
        async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            body = {**CLAIM, "request_id": request_id}
            answers.append(await client.post(f"{url}/api/queue/claim", json=body))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(claim)
        await until_waiting(server, 1)
        await to_thread.run_sync(server.stop)
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")]


async def test_a_caller_that_goes_takes_no_job_with_it(
    plane: ControlPlane, server: ServerThread
) -> None:
    url = await to_thread.run_sync(server.start)
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps(CLAIM)
    head = (
        f"POST /api/queue/claim HTTP/1.1\r\nhost: {host}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(f"{head}{body}".encode())
        await until_waiting(server, 1)
    await until_waiting(server, 0)
    job = await plane.queue.enqueue(JobSpec(job_type="work"))
    (claimed,) = await plane.queue.claim(agent_id="a-2")
    assert claimed.job.job_id == job.job_id


async def test_one_principal_may_not_take_all_the_room_there_is_for_waiting(
    plane: ControlPlane,
) -> None:
    narrow = ServerThread(plane, None, limits=Limits(max_waiting=1))
    url = await to_thread.run_sync(narrow.start)
    try:
        async with (
            httpx2.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(partial(client.post, "/api/queue/claim", json=CLAIM))
            await until_waiting(narrow, 1)
            refused = await client.post("/api/queue/claim", json={**CLAIM, "agent_id": "a-2"})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["type"] == "urn:cicd-core:problem:too-many-requests"
            at_once = await client.post("/api/queue/claim", json={"agent_id": "a-2"})
            assert at_once.status_code == 204
            await plane.queue.enqueue(JobSpec(job_type="work"))
        await until_waiting(narrow, 0)
    finally:
        await to_thread.run_sync(narrow.stop)
