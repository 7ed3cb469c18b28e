"""Every route and every kind of principal, from the table of routes itself.

A route that is new is tried by itself. One with the scope ``queue:claim``, the only one that keys
with limits hold, needs a line in ``OF_AN_AGENT`` besides: a call of agent ``a-1``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import AgentSpec, ClaimedJob, ControlPlane, JobSpec, KeySpec
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.http.server import Scope, TokenAccess, create_app
from cicd_core.http.server.app import ROUTES
from cicd_core.http.wire.job_logs import token_to_header
from cicd_core.http.wire.values import reference_of, reference_to_wire
from cicd_core.job_logs import FileLogStore
from cicd_core.testing import VirtualClock
from tests.http.in_process import client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx2

    from cicd_core.http.server.routing import Route

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: Headers that show no credentials.
NOTHING_SHOWN: list[dict[str, str]] = [
    {},
    {"authorization": "Basic a-da"},
    {"authorization": "Bearer"},
    {"authorization": "Bearer \t"},
    {
        "cookie": "__Host-cicd_session=",
        "sec-fetch-site": "same-origin",
        "content-type": "application/json",
    },
]
#: What anybody may ask, without credentials.
OPEN = {
    "/health",
    "/health/ready",
    "/info",
    "/api/openapi.json",
    "/api/docs",
    "/api/docs/docs.js",
    "/api/docs/docs.css",
    # Their credential is the session's token.
    "/auth/validate",
    "/auth/logout",
    "/auth/rotate",
    "/auth/sessions/own",
}
CLOSED = [route for route in ROUTES if route.scope is not None]
CLAIMING = [route for route in CLOSED if route.scope is Scope.QUEUE_CLAIM]


class Scene:
    """An agent ``a-1`` that holds a job, and keys of every kind."""

    def __init__(self, plane: ControlPlane, clock: VirtualClock, folder: Path) -> None:
        self.plane = plane
        self.clock = clock
        access = TokenAccess(plane.keys, plane.sessions)
        logs = JobLogService(plane, FileLogStore(folder))
        self.app = create_app(plane, auth=access, job_logs=logs)
        self.tokens: dict[str, str] = {}
        self.incarnation = ""
        self.held: ClaimedJob

    async def prepare(self) -> None:
        every = list(Scope)
        await self.issue("every scope", scopes=every)
        for scope in every:
            await self.issue(f"without {scope}", scopes=[each for each in every if each != scope])
        await self.issue("a-1", agent_id="a-1")
        await self.issue("a-2", agent_id="a-2")
        await self.issue("of a pool", scopes=[Scope.QUEUE_CLAIM], pools=["mac"])
        await self.issue("expired", scopes=every, ttl_seconds=1)
        revoked = await self.issue("revoked", scopes=every)
        await self.plane.keys.revoke(revoked)
        over = await self.plane.sessions.create("ada", ttl_seconds=1)
        left = await self.plane.sessions.create("ada")
        await self.plane.sessions.log_out(left.token)
        self.tokens |= {"session over": over.token, "session left": left.token}
        self.clock.advance(2)
        agent = await self.plane.agents.register(AgentSpec(agent_id="a-1"))
        self.incarnation = agent.incarnation
        await self.plane.queue.enqueue(JobSpec(job_type="build"))
        (self.held,) = await self.plane.queue.claim(agent_id="a-1", start=True)

    async def issue(self, name: str, **fields: Any) -> str:
        issued = await self.plane.keys.create(KeySpec(name=name, **fields))
        self.tokens[name] = issued.token
        return issued.key.key_id

    @property
    def lease(self) -> dict[str, Any]:
        """What the holder of the job shows."""
        shown = reference_to_wire(reference_of(self.held))
        del shown["job_id"]
        return shown

    def path(self, route: Route) -> str:
        job_id = self.held.job.job_id if route in CLAIMING else "j-unknown"  # nothing waits for it
        names = {"agent_id": "a-1", "job_id": job_id, "pool_name": "default"}
        return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x-1"), route.path)

    async def call(
        self, client: httpx2.AsyncClient, route: Route, token: str, **options: Any
    ) -> httpx2.Response:
        # A stream that may be followed would not end; one from a damaged place is refused.
        headers = {"last-event-id": "~damaged", "authorization": f"Bearer {token}"}
        headers |= options.pop("headers", {})
        return await client.request(route.method, self.path(route), headers=headers, **options)

    def of_an_agent(self, route: Route) -> dict[str, Any]:
        """What agent ``a-1`` sends to a route that its key opens."""
        said = OF_AN_AGENT[route.method, route.path](self)
        if not route.takes_bytes:
            return {"json": said}
        return {"content": b"text", "headers": {**said, "content-type": "application/octet-stream"}}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = VirtualClock()
    async with ControlPlane.open("memory://", maintenance=False, clock=clock) as plane:
        found = Scene(plane, clock, tmp_path)
        await found.prepare()
        yield found


#: A call of agent ``a-1``, or about what it holds, of each route that its key opens.
OF_AN_AGENT: dict[tuple[str, str], Callable[[Scene], dict[str, Any]]] = {
    ("POST", "/api/agents/register"): lambda _: {"agent_id": "a-1"},
    ("POST", "/api/agents/{agent_id}/heartbeat"): lambda scene: {"incarnation": scene.incarnation},
    ("POST", "/api/agents/{agent_id}/drain"): lambda scene: {
        "reason": "tired",
        "incarnation": scene.incarnation,
    },
    ("POST", "/api/agents/{agent_id}/deregister"): lambda scene: {"incarnation": scene.incarnation},
    ("POST", "/api/queue/claim"): lambda _: {"agent_id": "a-1"},
    ("POST", "/api/queue/exchange"): lambda scene: {
        "ends": [
            {
                **scene.lease,
                "job_id": scene.held.job.job_id,
                "outcome": {"verdict": "success"},
            }
        ],
        "claim": {"agent_id": "a-1"},
    },
    ("POST", "/api/queue/held"): lambda _: {"agent_id": "a-1", "request_id": "r-1"},
    ("PATCH", "/api/queue/jobs/{job_id}/start"): lambda scene: scene.lease,
    ("POST", "/api/queue/renew"): lambda scene: {
        "claims": [{**scene.lease, "job_id": scene.held.job.job_id}]
    },
    ("PATCH", "/api/queue/jobs/{job_id}/progress"): lambda scene: {**scene.lease, "percent": 1},
    ("PATCH", "/api/queue/jobs/{job_id}/complete"): lambda scene: {
        **scene.lease,
        "outcome": {"verdict": "success"},
    },
    ("PATCH", "/api/queue/jobs/{job_id}/release"): lambda scene: scene.lease,
    # Its headers: the body is bytes.
    ("PATCH", "/api/queue/jobs/{job_id}/log"): lambda scene: {
        "content-range": "bytes 0-3/*",
        "lease-token": token_to_header(scene.held),
    },
}


def test_the_routes_without_credentials_are_these() -> None:
    assert {route.path for route in ROUTES if route.scope is None} == OPEN


def test_each_route_of_an_agent_has_a_call_here() -> None:
    assert set(OF_AN_AGENT) == {(route.method, route.path) for route in CLAIMING}


async def test_every_route_refuses_who_is_unknown(scene: Scene) -> None:
    known = scene.tokens["every scope"]
    bad = {
        "no form of ours": "k-1",
        "unknown id": f"cicd_{'0' * 16}_{'0' * 64}",
        "wrong secret": f"{known[:-64]}{'0' * 64}",
        **{kind: scene.tokens[kind] for kind in ("expired", "revoked")},
        **{kind: scene.tokens[kind] for kind in ("session over", "session left")},
    }
    before = await scene.plane.events.end()
    async with client_of(scene.app) as client:
        for route in CLOSED:
            for headers in NOTHING_SHOWN:
                answer = await client.request(route.method, scene.path(route), headers=headers)
                assert answer.status_code == 401, (route, headers)
            for kind, token in bad.items():
                answer = await scene.call(client, route, token)
                assert answer.status_code == 401, (route, kind)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["type"] == "urn:cicd-core:problem:not-authenticated"
                assert token not in answer.text
    assert await scene.plane.events.end() == before


async def test_every_route_refuses_a_key_without_its_scope(scene: Scene) -> None:
    before = await scene.plane.events.end()
    async with client_of(scene.app) as client:
        for route in CLOSED:
            answer = await scene.call(client, route, scene.tokens[f"without {route.scope}"])
            assert answer.status_code == 403, route
            assert f"it does not have the scope {route.scope}" in answer.json()["detail"]
    assert await scene.plane.events.end() == before


async def test_every_route_takes_a_key_with_its_scope(scene: Scene) -> None:
    async with client_of(scene.app) as client:
        for route in CLOSED:
            answer = await scene.call(client, route, scene.tokens["every scope"])
            assert answer.status_code not in {401, 403}, route
            assert answer.status_code < 500, route


async def test_the_key_of_an_agent_opens_its_own_routes_alone(scene: Scene) -> None:
    async with client_of(scene.app) as client:
        for route in CLOSED:
            if route not in CLAIMING:
                answer = await scene.call(client, route, scene.tokens["a-1"])
                assert answer.status_code == 403, route
        for route in CLAIMING:
            options = scene.of_an_agent(route)
            answer = await scene.call(client, route, scene.tokens["a-1"], **options)
            assert answer.status_code not in {401, 403}, route
            assert answer.status_code < 500, route


async def test_the_key_of_another_agent_reaches_nothing_of_an_agent(scene: Scene) -> None:
    job_id, before = scene.held.job.job_id, await scene.plane.events.end()
    lease = (await scene.plane.store.get("jobs", [job_id]))[job_id].lease
    scene.clock.advance(1)
    async with client_of(scene.app) as client:
        for route in CLAIMING:
            options = scene.of_an_agent(route)
            answer = await scene.call(client, route, scene.tokens["a-2"], **options)
            assert answer.status_code == 403, route
            assert answer.json()["type"] == "urn:cicd-core:problem:not-permitted"
    assert await scene.plane.events.end() == before
    assert (await scene.plane.store.get("jobs", [job_id]))[job_id].lease == lease
