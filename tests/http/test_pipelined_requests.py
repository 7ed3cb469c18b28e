"""A caller that sends the next request before it has the answer to the first one, and goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread

from cicd_core import JobSpec, JobState
from tests.http.serving import ServerThread
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core import ControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

HOST = "Host: 127.0.0.1\r\n"


async def test_a_claim_that_waits_ends_with_its_connection(plane: ControlPlane) -> None:
    body = json.dumps({"agent_id": "a-1", "wait": 3600})
    head = f"{HOST}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    claim = f"POST /api/queue/claim HTTP/1.1\r\n{head}{body}"
    server = ServerThread(plane, None)
    place = urlsplit(await to_thread.run_sync(server.start))
    assert place.port is not None
    try:
        with anyio.fail_after(PATIENCE):
            async with await anyio.connect_tcp("127.0.0.1", place.port) as stream:
                await stream.send(f"{claim}GET /health HTTP/1.1\r\n{HOST}\r\n".encode())
                while server.waiting != 1:  # noqa: ASYNC110 - the server is in another thread
                    await anyio.sleep(0.01)
            while server.waiting:  # noqa: ASYNC110 - the server is in another thread
                await anyio.sleep(0.01)
        job = await plane.queue.enqueue(JobSpec(job_type="build"))
        assert (await plane.jobs.get(job.job_id)).state is JobState.QUEUED
    finally:
        await to_thread.run_sync(server.stop)
