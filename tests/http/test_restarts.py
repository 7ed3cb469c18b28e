"""The server restarts while a client follows events, or waits for a job."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread

from cicd_core import Event, JobSpec, StoreUnavailable
from cicd_core.http.client import RemoteControlPlane
from tests.http.serving import ServerThread
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import SocketStream

    from cicd_core import ControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: More than a call is repeated.
REFUSED = 6


@asynccontextmanager
async def restarting(plane: ControlPlane, url: str, first: ServerThread) -> AsyncGenerator[None]:
    """Stop a server, refuse some connections in its place, and start another one there."""
    port = urlsplit(url).port
    assert port is not None
    refused = anyio.Semaphore(0)

    async def refuse(stream: SocketStream) -> None:
        await stream.aclose()
        refused.release()

    await to_thread.run_sync(first.stop)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, refuse)
        for _ in range(REFUSED):
            await refused.acquire()
        tasks.cancel_scope.cancel()
    second = ServerThread(plane, None, port=port)
    await to_thread.run_sync(second.start)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(second.stop)


async def test_a_stream_of_events_goes_on_after_a_restart(plane: ControlPlane) -> None:
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    seen: list[str] = []
    has_begun = anyio.Event()

    async def follow() -> None:
        async with aclosing(far.events.follow(subject=("jobs", job.job_id))) as events:
            async for event in events:
                assert isinstance(event, Event)
                seen.append(event.type)
                has_begun.set()

    with anyio.fail_after(PATIENCE):
        async with RemoteControlPlane(url) as far, anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await has_begun.wait()
            async with restarting(plane, url, server):
                await plane.jobs.cancel(job.job_id)
                while seen[-1] != "job.cancelled":  # noqa: ASYNC110 - the server is elsewhere
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert seen == ["job.created", "job.enqueued", "job.cancelled"]


async def test_a_wait_for_a_job_goes_on_after_a_restart(plane: ControlPlane) -> None:
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    ended: list[str] = []

    async def wait() -> None:
        ended.append((await far.jobs.wait(job.job_id)).state.value)

    with anyio.fail_after(PATIENCE):
        async with RemoteControlPlane(url) as far, anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            while not server.waiting:  # noqa: ASYNC110 - the server is in another thread
                await anyio.sleep(0.01)
            async with restarting(plane, url, server):
                await plane.jobs.cancel(job.job_id)
                while not ended:  # noqa: ASYNC110 - the wait ends with the job
                    await anyio.sleep(0.01)
    assert ended == ["cancelled"]


async def test_a_server_that_never_answered_is_not_waited_for() -> None:
    async with RemoteControlPlane("http://127.0.0.1:1") as far:
        with pytest.raises(StoreUnavailable), anyio.fail_after(PATIENCE):
            await far.jobs.wait("j")
        with pytest.raises(StoreUnavailable), anyio.fail_after(PATIENCE):
            await anext(far.events.follow())
