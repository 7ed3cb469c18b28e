"""Keys of the store's own service, shown over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from cicd_core import AgentSpec, ControlPlane, JobSpec, KeySpec, NotAuthenticated, NotPermitted
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import BearerAccess
from cicd_core.keys import service
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def guarded(plane: ControlPlane) -> AsyncIterator[str]:
    async with serving(plane, BearerAccess(plane.keys)) as address:
        yield address


async def test_a_key_opens_what_its_scopes_say(plane: ControlPlane, guarded: str) -> None:
    spec = KeySpec(name="ci", scopes=["jobs:write", "jobs:read"])
    issued = await plane.keys.create(spec)
    async with RemoteControlPlane(guarded, issued.token) as far:
        job = await far.queue.enqueue(JobSpec(job_type="build"))
        with pytest.raises(NotPermitted, match="agents:read"):
            await far.agents.list()
    assert (await plane.jobs.get(job.job_id)).history[0].actor == "ci"


@pytest.mark.parametrize("token", ["cicd_", f"cicd_{'0' * 16}_{'0' * 64}"])
async def test_a_token_that_is_none_opens_nothing(guarded: str, token: str) -> None:
    async with httpx2.AsyncClient(base_url=guarded) as client:
        words = {"authorization": f"Bearer {token}"}
        refused = await client.get("/api/agents", headers=words)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert f"{token}_" not in refused.text


async def test_the_key_of_an_agent_reaches_its_own_record_alone(
    plane: ControlPlane, guarded: str
) -> None:
    issued = await plane.keys.create(KeySpec(name="a-1", agent_id="a-1", pools=["linux"]))
    await plane.queue.enqueue(JobSpec(job_type="build", pool_name="linux"))
    async with RemoteControlPlane(guarded, issued.token) as far:
        await far.agents.register(AgentSpec(agent_id="a-1", pool_name="linux"))
        with pytest.raises(NotPermitted, match="act as agent"):
            await far.agents.register(AgentSpec(agent_id="a-2", pool_name="linux"))
        with pytest.raises(NotPermitted, match="'mac' is not one of its pools"):
            await far.queue.claim(agent_id="a-1", pool_name="mac")
        (claimed,) = await far.queue.claim(agent_id="a-1", pool_name="linux", start=True)
        assert claimed.job.agent_id == "a-1"


async def test_a_revoked_key_is_refused_by_the_servers_next_look(
    plane: ControlPlane, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BELIEVED_SECONDS", 0.0)
    issued = await plane.keys.create(KeySpec(name="ci", scopes=["agents:read"]))
    async with RemoteControlPlane(guarded, issued.token) as far:
        await far.agents.list()
        await plane.keys.revoke(issued.key.key_id)
        with pytest.raises(NotAuthenticated, match="revoked"):
            await far.agents.list()
