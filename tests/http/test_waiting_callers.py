"""Claims that wait, and whose callers lose their right or go in that moment."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from starlette.requests import Request

from cicd_core import ControlPlane, JobSpec, JobState, KeySpec
from cicd_core.agent.retry import Backoff
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.client.queue import pause_after_poll
from cicd_core.http.server import BearerAccess, create_app
from cicd_core.http.server.waiting import CallerGone, Waiting
from tests.http.in_process import client_of
from tests.http.serving import ServerThread
from tests.patience import PATIENCE

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.mark.parametrize("request_id", [None, "r-1"])
async def test_a_key_that_is_revoked_during_a_wait_gets_nothing(
    plane: ControlPlane, request_id: str | None
) -> None:
    issued = await plane.keys.create(KeySpec(name="a-1", agent_id="a-1"))
    app = create_app(plane, auth=BearerAccess(plane.keys))
    answers: list[httpx2.Response] = []

    async def claim(client: httpx2.AsyncClient) -> None:
        body = {"agent_id": "a-1", "wait": PATIENCE, "request_id": request_id}
        answers.append(await client.post("/api/queue/claim", json=body))

    headers = {"authorization": f"Bearer {issued.token}"}
    async with client_of(app, headers=headers, timeout=None) as client:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(claim, client))
                while app.state.waiting.number == 0:
                    await checkpoint()
                await plane.keys.revoke(issued.key.key_id)
                job = await plane.queue.enqueue(JobSpec(job_type="build"))
    (answer,) = answers
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    left = await plane.jobs.get(job.job_id)
    assert (left.state, left.attempts_used) == (JobState.QUEUED, 0)
    assert left.attempts[-1].released


async def test_a_key_that_is_revoked_during_a_wait_for_a_job_does_not_see_it(
    plane: ControlPlane,
) -> None:
    issued = await plane.keys.create(KeySpec(name="ci", scopes=["jobs:read"]))
    app = create_app(plane, auth=BearerAccess(plane.keys))
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    answers: list[httpx2.Response] = []

    async def wait(client: httpx2.AsyncClient) -> None:
        query = {"seconds": PATIENCE}
        answers.append(await client.get(f"/api/jobs/{job.job_id}/wait", params=query))

    headers = {"authorization": f"Bearer {issued.token}"}
    async with client_of(app, headers=headers, timeout=None) as client:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, client)
                while app.state.waiting.number == 0:
                    await checkpoint()
                await plane.keys.revoke(issued.key.key_id)
                await plane.jobs.cancel(job.job_id)
    assert [answer.status_code for answer in answers] == [401]


async def test_what_comes_when_its_caller_has_gone_is_undone() -> None:
    may_go = anyio.Event()
    undone: list[str] = []

    async def receive() -> dict[str, Any]:
        await may_go.wait()
        return {"type": "http.disconnect"}

    async def work() -> str:
        with anyio.CancelScope(shield=True):  # as a claim that the store has taken already
            may_go.set()
            await anyio.sleep(0.01)
        return "a claim"

    async def undo(answer: str) -> None:
        undone.append(answer)

    request = Request({"type": "http"}, receive)
    with pytest.raises(CallerGone):
        await Waiting().attend(request, "ada", work, undo=undo)
    assert undone == ["a claim"]


def test_a_claim_pauses_only_before_a_server_that_does_not_wait() -> None:
    backoff = Backoff()
    pauses = [pause_after_poll(0.01, 25.0, backoff) for _ in range(6)]
    assert all(0 < pause <= 5 for pause in pauses)
    assert pauses[-1] > pauses[0]
    assert [pause_after_poll(waited, 25.0, backoff) for waited in (2.0, 10.0, 25.0)] == [0, 0, 0]
    assert pause_after_poll(0.01, 25.0, backoff) <= 0.1
    assert pause_after_poll(0.2, 0.2, backoff) == 0


async def test_a_server_that_stops_is_not_asked_again_and_again(plane: ControlPlane) -> None:
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    try:
        server.stop_waiting()
        async with RemoteControlPlane(url) as remote:
            assert await remote.queue.claim(agent_id="a-1", wait=0.5) == []
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            numbers = (await client.get("/metrics")).text
    finally:
        await to_thread.run_sync(server.stop)
    answered = re.search(r'requests_total\{.*"/api/queue/claim",status="204"\} (\d+)', numbers)
    assert answered is not None
    assert 1 <= int(answered[1]) < 12
