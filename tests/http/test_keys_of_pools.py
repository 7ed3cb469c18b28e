"""A key that is limited to pools, and to no agent: it reaches nothing of another pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, JobSpec, KeySpec
from cicd_core.http.server import TokenAccess
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

LINUX = {"agent_id": "a-1", "pool_name": "linux"}
HELD = {"agent_id": "a-1", "request_id": "r-1"}


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane, auth=TokenAccess(plane.keys, plane.sessions)) as client:
        yield client


async def key_of(plane: ControlPlane, *pools: str) -> dict[str, str]:
    spec = KeySpec(name="agents", scopes=["queue:claim"], pools=list(pools))
    return {"authorization": f"Bearer {(await plane.keys.create(spec)).token}"}


async def test_it_does_not_register_an_agent_of_another_pool(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    linux, mac = await key_of(plane, "linux"), await key_of(plane, "mac", "arm")
    made = await http.post("/api/agents/register", json=LINUX, headers=linux)
    taken = {**LINUX, "pool_name": "mac"}
    refused = await http.post("/api/agents/register", json=taken, headers=mac)
    assert (refused.status_code, problem_of(refused)["type"]) == (403, "not-permitted")
    beat = {"incarnation": made.json()["incarnation"]}
    alive = await http.post("/api/agents/a-1/heartbeat", json=beat, headers=linux)
    assert (alive.status_code, (await plane.agents.get("a-1")).pool_name) == (200, "linux")
    for pool in ("mac", "arm"):  # within its own pools it may move one
        own = {"agent_id": "m-1", "pool_name": pool}
        moved = await http.post("/api/agents/register", json=own, headers=mac)
        assert moved.status_code == 201


async def test_it_gets_no_lease_of_another_pool(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    linux, mac = await key_of(plane, "linux"), await key_of(plane, "mac")
    await plane.queue.enqueue(JobSpec(job_type="build", pool_name="linux"))
    body = {**LINUX, "request_id": "r-1"}
    claimed = await http.post("/api/queue/claim", json=body, headers=linux)
    assert (await http.post("/api/queue/held", json=HELD, headers=mac)).status_code == 204
    held = await http.post("/api/queue/held", json=HELD, headers=linux)
    assert held.json()["claims"][0]["token"] == claimed.json()["claims"][0]["token"]
