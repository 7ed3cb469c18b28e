"""The log over HTTP: pages, streams that go on without loss, CloudEvents."""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute
from anyio.lowlevel import checkpoint

from cicd_core import (
    ControlPlane,
    DeploymentSpec,
    Event,
    InvalidCursor,
    InvalidInput,
    JobSpec,
    Outcome,
)
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import Limits
from tests.http.in_process import calling, problem_of
from tests.http.serving import ServerThread
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from anyio.abc import ByteStream, SocketStream

    from cicd_core.store.contract import Store
    from cicd_core.store.records import LogPage

pytestmark = pytest.mark.anyio

EVENTS = "/api/events"
STREAM = f"{EVENTS}/stream"


async def live(plane: ControlPlane) -> None:
    """Let a job run and a deployment go live and back."""
    await plane.queue.enqueue(JobSpec(job_type="build"))
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
    await plane.queue.complete(claimed, Outcome.exited(1))
    spec = DeploymentSpec(service_name="team/shop", version="1 2", environment="eu")
    await plane.deployments.create(spec, deployment_id="d-1")
    await plane.deployments.record_staging("d-1", succeeded=True)
    await plane.deployments.begin_production("d-1")
    await plane.deployments.record_production("d-1", succeeded=True)
    await plane.deployments.roll_back("d-1", reason="slow")


async def told(plane: ControlPlane) -> list[Event]:
    return [*(await plane.events.read(limit=1000)).events]


async def exhaust(events: AsyncGenerator[object]) -> None:
    async for _ in events:
        pass


@asynccontextmanager
async def stream(
    http: httpx2.AsyncClient, query: str = "", **headers: str
) -> AsyncGenerator[AsyncIterator[dict[str, str]]]:
    """Follow the stream; yields its messages."""
    async with http.stream("GET", f"{STREAM}?format=event{query}", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "no-transform" in answer.headers["cache-control"]
        assert answer.headers["x-accel-buffering"] == "no"

        async def messages() -> AsyncIterator[dict[str, str]]:
            rest = ""
            async for part in answer.aiter_text():
                *blocks, rest = (rest + part).split("\n\n")
                for block in blocks:
                    pairs = (line.partition(": ") for line in block.split("\n"))
                    yield {name: value for name, _, value in pairs}

        yield messages()


def test_pages_are_cloud_events_with_the_types_of_cdevents() -> None:
    async def check() -> None:
        async with (
            ControlPlane.open("memory://", maintenance=False) as plane,
            calling(plane) as http,
        ):
            await live(plane)
            page = (await http.get(f"{EVENTS}?limit=1000")).json()
            near = await told(plane)
        events = {each["id"]: each for each in page["events"]}
        assert list(events) == [each.event_id for each in near]
        types = [each["type"].removeprefix("dev.cdevents.") for each in page["events"]]
        assert types == [
            "cicd_core.job.created",
            "cicd_core.job.enqueued",
            "cicd_core.job.claimed",
            "taskrun.started.0.2.0",
            "taskrun.finished.0.2.0",
            "cicd_core.deployment.created",
            "cicd_core.deployment.staging_started",
            "service.deployed.0.2.0",
            "cicd_core.deployment.production_started",
            "service.deployed.0.2.0",
            "service.rolledback.0.2.0",
        ]
        for each in page["events"]:
            assert (each["specversion"], each["source"]) == ("1.0", "/cicd-core")
            assert each["time"].endswith("Z")
            assert "claim_id" not in json.dumps(each)
        finished, back = page["events"][4], page["events"][-1]
        assert finished["data"]["subject"]["content"]["outcome"] == "failure"
        assert finished["data"]["customData"]["type"] == "job.failed"
        assert finished["subject"] == finished["data"]["subject"]["id"]
        assert back["data"]["subject"]["content"] == {
            "environment": {"id": "eu/production"},
            "artifactId": "pkg:generic/team%2Fshop@1%202",
        }
        assert back["data"]["context"]["timestamp"] == back["time"]

    anyio.run(check)


@pytest.mark.asyncio_only
async def test_pages_go_on_from_their_cursor_and_from_any_event() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane, calling(plane) as http:
        await live(plane)
        near = [each.event_id for each in await told(plane)]
        found: list[str] = []
        link: str | None = f"{EVENTS}?limit=4"
        while link:
            page = await http.get(link)
            found += [each["id"] for each in page.json()["events"]]
            link = page.links.get("next", {}).get("url")
        assert found == near
        for seen in range(len(near)):
            rest = (await http.get(EVENTS, params={"cursor": f"~{seen}"})).json()
            assert [each["id"] for each in rest["events"]] == near[seen:]
        end = (await http.get(f"{EVENTS}/end")).json()["cursor"]
        assert (await http.get(EVENTS, params={"cursor": end})).json() == {
            "events": [],
            "cursor": end,
            "truncated": False,
        }
        for wrong in ("nonsense", "~x", "~1234", "x~1"):
            refused = await http.get(EVENTS, params={"cursor": wrong})
            assert problem_of(refused)["type"] == "invalid-cursor", wrong
            refused = await http.get(STREAM, headers={"last-event-id": wrong})
            assert problem_of(refused)["type"] == "invalid-cursor", wrong
        assert problem_of(await http.get(f"{EVENTS}?limit=0"))["field"] == "limit"
        assert problem_of(await http.get(f"{STREAM}?types=job.nothing"))["field"] == "types[0]"
        both = await http.get(f"{STREAM}?from_now=true&cursor={end}")
        assert problem_of(both)["field"] == "from_now"
        assert (await http.head(STREAM)).status_code == 200


@pytest.mark.asyncio_only
async def test_a_stream_goes_on_after_any_of_its_events(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    await live(plane)
    near = [each.event_id for each in await told(plane)]
    places: list[str] = []
    with anyio.fail_after(PATIENCE):
        async with stream(http) as messages:
            async for message in messages:
                if "data" in message:
                    places.append(message["id"])
                if len(places) == len(near):
                    break
        for seen, place in enumerate(places[:-1], start=1):
            async with stream(http, **{"last-event-id": place}) as messages:
                async for message in messages:
                    if "data" in message:
                        assert json.loads(message["data"])["event_id"] == near[seen]
                        break


async def test_streams_tell_what_happens_to_all_that_follow(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    found: dict[str, list[str]] = {"all": [], "jobs": [], "late": []}

    async def follow(name: str, number: int, **filters: Any) -> None:
        async with aclosing(remote.events.follow(**filters)) as events:
            async for event in events:
                assert isinstance(event, Event)
                found[name].append(event.event_id)
                if len(found[name]) == number:
                    return

    await live(plane)
    begin = await remote.events.end()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: follow("all", 31))
            tasks.start_soon(lambda: follow("jobs", 25, types=["job.*"]))
            tasks.start_soon(lambda: follow("late", 20, cursor=begin))
            for _ in range(10):
                await plane.queue.enqueue(JobSpec(job_type="build"))
                await anyio.lowlevel.checkpoint()
    near = await told(plane)
    assert found == {
        "all": [each.event_id for each in near],
        "jobs": [each.event_id for each in near if each.type.startswith("job.")],
        "late": [each.event_id for each in near[11:]],
    }


async def test_the_stream_of_a_job_ends_with_it(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    types: list[str] = []

    async def follow() -> None:
        async for event in remote.events.follow(subject=("jobs", job.job_id)):
            assert isinstance(event, Event)
            types.append(event.type)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
            await plane.queue.complete(claimed, Outcome.exited(0))
    assert types == ["job.created", "job.enqueued", "job.claimed", "job.started", "job.succeeded"]
    assert [each async for each in remote.events.follow(subject=("jobs", "none"))] == []


@pytest.mark.asyncio_only
async def test_what_is_wrong_with_a_reader_is_said_as_by_the_service(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    await live(plane)
    far, near = await remote.events.read(limit=3), await plane.events.read(limit=3)
    assert far == near
    assert await remote.events.read(far.cursor) == await plane.events.read(near.cursor)
    with pytest.raises(InvalidInput, match="limit"):
        await remote.events.read(limit=0)
    with pytest.raises(InvalidCursor):
        await remote.events.read("nonsense")
    with pytest.raises(InvalidCursor):
        await anext(remote.events.follow("nonsense"))
    with pytest.raises(InvalidInput, match="from_now"):
        await anext(remote.events.follow(far.cursor, from_now=True))
    with pytest.raises(InvalidInput, match="types"):
        await anext(remote.events.follow(types="job.*"))
    for subject in (("jobs", ""), ("", "x"), ("jobs", "no name")):
        for events in (plane.events, remote.events):
            with pytest.raises(InvalidInput, match=r"subject.* give a collection and a key"):
                await anext(events.follow(subject=subject))
    for events in (plane.events, remote.events):
        with pytest.raises(
            InvalidInput, match=r"subject.* give one of jobs, .*agents, .* and a key"
        ):
            await anext(events.follow(subject=("job", "j")))


@asynccontextmanager
async def cut_network(port: int, *, after: int) -> AsyncGenerator[str]:
    """Lead to a port; the first two connections are cut after some bytes of the answer."""
    cuts = [after, after]

    async def pump(source: ByteStream, target: ByteStream, room: float) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while room > 0:
                part = await source.receive()
                await target.send(part[: int(min(room, len(part)))])
                room -= len(part)

    async def lead(caller: SocketStream) -> None:
        room = cuts.pop() if cuts else float("inf")
        async with (
            caller,
            await anyio.connect_tcp("127.0.0.1", port) as server,
            anyio.create_task_group() as both,
        ):

            async def answer() -> None:
                await pump(server, caller, room)
                both.cancel_scope.cancel()

            both.start_soon(answer)
            await pump(caller, server, float("inf"))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, lead)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610 - anyio's
        tasks.cancel_scope.cancel()


async def test_a_stream_that_is_cut_is_taken_up_again_where_it_was(
    plane: ControlPlane, url: str
) -> None:
    await live(plane)
    near = [each.event_id for each in await told(plane)]
    found: list[str] = []
    with anyio.fail_after(PATIENCE):
        async with (
            cut_network(int(url.rpartition(":")[2]), after=2500) as cut,
            RemoteControlPlane(cut) as remote,
            aclosing(remote.events.follow()) as events,
        ):
            async for event in events:
                assert isinstance(event, Event)
                found.append(event.event_id)
                if event.event_id == near[-1]:
                    break
    assert found == near


@pytest.mark.asyncio_only
async def test_a_server_that_stops_says_when_to_come_back(plane: ControlPlane) -> None:
    server = ServerThread(plane, None)
    url = await to_thread.run_sync(server.start)
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as http:
        last: dict[str, str] = {}
        async with stream(http) as messages, anyio.create_task_group() as tasks:
            async for message in messages:
                if not last:
                    tasks.start_soon(to_thread.run_sync, server.stop)
                last = message
    assert last == {"retry": "1000"}


@pytest.mark.asyncio_only
async def test_one_principal_may_follow_a_few_streams_at_once(plane: ControlPlane) -> None:
    async with calling(plane, limits=Limits(max_streams=0)) as http:
        refused = await http.get(STREAM)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert problem_of(refused)["type"] == "too-many-requests"


class Held(Relay):
    """Answers no read of the log until it may."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads = 0
        self.may_answer = anyio.Event()

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        self.reads += 1
        await self.may_answer.wait()
        return await super().read_log(cursor, limit)


@pytest.mark.asyncio_only
async def test_streams_that_begin_at_once_are_counted(plane: ControlPlane) -> None:
    store = Held(plane.store)
    refused: list[httpx2.Response] = []

    async def follow(http: httpx2.AsyncClient) -> None:
        refused.append(await http.get(STREAM))  # a stream that begins does not end
        tasks.cancel_scope.cancel()

    with anyio.fail_after(PATIENCE):
        async with (
            calling(ControlPlane(store), limits=Limits(max_streams=1)) as http,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(2):
                tasks.start_soon(follow, http)
            while store.reads < 2:
                await checkpoint()
            store.may_answer.set()
    assert [answer.status_code for answer in refused] == [429]
