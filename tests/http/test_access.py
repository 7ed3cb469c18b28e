"""Who may call what: closed by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from cicd_core import ControlPlane, InvalidInput, JobSpec, NotAuthenticated, NotPermitted
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import BearerAccess, Listening, Principal, Scope, serve
from tests.http.in_process import calling
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

ALL = frozenset(Scope)
PRINCIPALS = {
    "k-ada": Principal(name="ada", scopes=ALL),
    "k-none": Principal(name="nothing", scopes=frozenset()),
    "k-agent": Principal(
        name="a-1",
        scopes=frozenset({Scope.QUEUE_CLAIM}),
        agent_id="a-1",
        pools=frozenset({"linux"}),
    ),
}


class Keys:
    """A service of keys, as far as the server needs one."""

    async def authenticate(self, token: str) -> Principal:
        if token not in PRINCIPALS:
            raise NotAuthenticated("the key is unknown, expired or revoked")
        return PRINCIPALS[token]


@pytest.fixture
async def guarded(plane: ControlPlane) -> AsyncIterator[str]:
    async with serving(plane, BearerAccess(Keys())) as address:
        yield address


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_the_principal_is_the_actor(guarded: str, plane: ControlPlane) -> None:
    async with RemoteControlPlane(guarded, "k-ada") as remote:
        job = await remote.queue.enqueue(JobSpec(job_type="build"), actor="mallory")
        await remote.jobs.cancel(job.job_id, actor="mallory")
    history = (await plane.jobs.get(job.job_id)).history
    assert {step.actor for step in history} == {"ada"}


async def test_an_agents_key_reaches_its_own_agent_and_pools_only(guarded: str) -> None:
    async with httpx2.AsyncClient(
        base_url=guarded, trust_env=False, headers=bearer("k-agent")
    ) as client:

        async def status(path: str, **body: Any) -> int:
            return (await client.post(f"/api/{path}", json=body)).status_code

        who = {"agent_id": "a-1", "pool_name": "linux"}
        own = await client.post("/api/agents/register", json=who)
        assert own.status_code == 201
        beat = {"incarnation": own.json()["incarnation"]}
        assert await status("agents/a-1/heartbeat", **beat) == 200
        assert await status("agents/a-2/heartbeat", **beat) == 403
        assert await status("agents/register", agent_id="a-2", pool_name="linux") == 403
        assert await status("agents/register", agent_id="a-1", pool_name="mac") == 403
        assert await status("queue/claim", agent_id="a-1", pool_name="linux") == 204
        assert await status("queue/claim", agent_id="a-1", pool_name="mac") == 403
        assert await status("queue/claim", agent_id="a-2", pool_name="linux") == 403
        assert await status("queue/held", agent_id="a-2", request_id="r") == 403
        assert await status("queue/jobs", job_type="build") == 403
        # What an operator may do, with no incarnation to show, an agent may not.
        assert await status("agents/a-1/drain", reason="tired") == 403
        assert await status("agents/a-1/drain", reason="tired", **beat) == 200
        assert await status("agents/a-1/deregister", **beat) == 200


async def test_a_client_without_a_key_is_told_to_send_one(guarded: str) -> None:
    async with RemoteControlPlane(guarded) as remote:
        with pytest.raises(NotAuthenticated, match="Authorization: Bearer"):
            await remote.jobs.list()
    async with RemoteControlPlane(guarded, "k-none") as remote:
        with pytest.raises(NotPermitted, match="it does not have the scope jobs:read"):
            await remote.jobs.list()


FOREIGN = [
    ({"host": "evil.example"}, 403),
    ({"host": "127.0.0.1.evil.example"}, 403),
    ({"host": "[::1"}, 403),
    ({"host": "evil.example@localhost"}, 403),
    ({"host": "localhost/evil.example"}, 403),
    ({"host": "localhost."}, 403),
    ({"origin": "https://evil.example@localhost"}, 403),
    ({"origin": "localhost"}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"x-forwarded-for": "192.0.2.7"}, 403),
    ({"x-forwarded-for": "127.0.0.1"}, 403),
    ({"forwarded": "for=127.0.0.1"}, 403),
    ({"x-real-ip": "127.0.0.1"}, 403),
    ({"via": "1.1 gate"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://localhost:3000"}, 200),
    ({"host": "localhost:8000"}, 200),
    ({"host": "LOCALHOST"}, 200),
    ({"host": "[::1]:8000"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), FOREIGN)
async def test_without_keys_a_foreign_host_or_origin_is_refused(
    http: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    assert (await http.get("/api/queue/jobs", headers=headers)).status_code == status


async def test_without_keys_a_second_host_or_origin_is_refused(plane: ControlPlane) -> None:
    async with calling(plane) as client:
        for name, value in (("host", "127.0.0.1"), ("origin", "http://localhost")):
            headers = [("host", "127.0.0.1"), (name, value), (name, "http://evil.example")]
            answer = await client.get("/api/queue/jobs", headers=headers)
            assert answer.status_code == 403, name


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "ci.example.org", ""])
async def test_without_keys_only_this_machine_is_listened_on(
    plane: ControlPlane, host: str
) -> None:
    with pytest.raises(InvalidInput, match="without keys"):
        await serve(plane, Listening(host=host))


@pytest.mark.parametrize("path", ["/..", "/.", "/ci/../x", "/ci/.", "ci", "/", "/ci/", "/a b"])
def test_a_base_path_that_no_address_begins_with_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="give a path") as refused:
        Listening(base_path=path)
    assert refused.value.field == "base_path"
    assert ("browsers take them out" in str(refused.value)) == (".." in path or path.endswith("."))
    assert Listening(base_path="/ci/v1.2/..x").base_path == "/ci/v1.2/..x"


async def test_health_tells_whether_the_store_answers(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/health")).json() == {"status": "healthy"}
    assert (await http.get("/health/ready")).json()["status"] == "ready"
    assert (await http.get("/info")).json()["name"] == "cicd-core"
