"""Requests that are refused for what they say: names, lists and limits."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import AgentDeregistered, AgentSpec, ControlPlane, InvalidInput, JobSpec, QueueStatus
from cicd_core.http.server import Limits
from cicd_core.http.server.app import ROUTES
from cicd_core.http.server.limits import DEFAULT_LIMITS
from cicd_core.http.wire.requests import MAX_JOBS, MAX_RENEWALS, RESERVED_AGENT_IDS
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

    from cicd_core.http.client import RemoteControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

JOBS = "/api/queue/jobs"
JSON = {"content-type": "application/json"}
MAX_BYTES = DEFAULT_LIMITS.max_body_bytes
#: The names in paths that callers choose; the other ones are the server's.
CHOSEN = {"agent_id", "deployment_id", "pool_name", "user_id"}


@pytest.fixture
async def inside(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"job_type": "build", "job_type": "deploy"}', "job_type"),
        ('{"job_type": "build", "payload": {"shell": "ls", "shell": "rm"}}', "payload.shell"),
        (
            '{"job_type": "build", "payload": {"all": [1, {"a": 1, "\\u0061": 2}]}}',
            "payload.all[1].a",
        ),
        ('{"job_type": "build", "payload": {"a": {"b": 1, "b": 2}, "a": {}}}', "payload.a"),
    ],
)
async def test_a_body_with_a_name_twice_is_refused_by_its_place(
    plane: ControlPlane, inside: httpx2.AsyncClient, body: str, field: str
) -> None:
    refused = problem_of(await inside.post(JOBS, content=body, headers=JSON))
    assert (refused["type"], refused["status"], refused["field"]) == ("invalid-input", 422, field)
    assert "give it only once" in refused["detail"]
    assert (await plane.jobs.list()).items == ()


async def test_a_body_with_the_same_name_in_two_objects_is_taken(
    inside: httpx2.AsyncClient,
) -> None:
    payload = {"a": {"a": 1, "n": 2**70, "x": 1e300}, "all": [{"a": 1}, {"a": 1}], "a b": []}
    answer = await inside.post(JOBS, json={"job_type": "build", "payload": payload})
    assert (answer.status_code, answer.json()["payload"]) == (201, payload)


async def test_a_batch_of_too_many_jobs_is_refused_and_makes_none(
    plane: ControlPlane, inside: httpx2.AsyncClient
) -> None:
    job = {"job_type": "build"}
    path = f"{JOBS}/batch"
    refused = problem_of(await inside.post(path, json={"jobs": [job] * (MAX_JOBS + 1)}))
    assert (refused["type"], refused["status"]) == ("too-large", 413)
    assert (refused["field"], refused["size"], refused["limit"]) == ("jobs", MAX_JOBS + 1, MAX_JOBS)
    assert (await plane.jobs.list()).items == ()
    answer = await inside.post(path, json={"jobs": [job] * MAX_JOBS})
    assert (answer.status_code, len(answer.json()["jobs"])) == (201, MAX_JOBS)


async def test_more_leases_than_one_request_may_renew_are_refused(
    inside: httpx2.AsyncClient,
) -> None:
    claim = {"job_id": "j-1", "token": {"fence": 1, "claim_id": "0" * 32}}
    body = {"claims": [claim] * (MAX_RENEWALS + 1)}
    refused = problem_of(await inside.post("/api/queue/renew", json=body))
    assert (refused["status"], refused["field"], refused["limit"]) == (413, "claims", MAX_RENEWALS)


async def test_the_client_sends_more_jobs_than_a_request_may_have_in_several(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    made = await remote.queue.enqueue_many([JobSpec(job_type="build")] * (MAX_JOBS + 1))
    assert len({job.job_id for job in made}) == MAX_JOBS + 1
    assert (await plane.queue.stats()).depth[QueueStatus.QUEUED] == MAX_JOBS + 1


async def test_the_description_says_how_many_each_list_may_have(
    inside: httpx2.AsyncClient,
) -> None:
    schemas = (await inside.get("/api/openapi.json")).json()["components"]["schemas"]
    found = {name: schemas[name]["properties"] for name in ("JobsBody", "RenewBody", "ReplaysBody")}
    limits = [
        found["JobsBody"]["jobs"]["maxItems"],
        found["RenewBody"]["claims"]["maxItems"],
        found["ReplaysBody"]["job_ids"]["maxItems"],
    ]
    assert limits == [1000, 1024, 100]


@pytest.mark.parametrize("agent_id", sorted(RESERVED_AGENT_IDS))
async def test_an_agent_cannot_have_the_name_of_a_route(
    remote: RemoteControlPlane, agent_id: str
) -> None:
    with pytest.raises(InvalidInput, match="another route") as refused:
        await remote.agents.register(AgentSpec(agent_id=agent_id))
    assert refused.value.field == "agent_id"


def test_no_name_that_a_caller_chooses_is_a_word_of_a_route() -> None:
    words: set[tuple[str, str]] = set()
    for one, other in combinations({(route.method, route.path) for route in ROUTES}, 2):
        if one[0] == other[0]:
            words |= {*_hidden(one[1], other[1]), *_hidden(other[1], one[1])}
    assert words == {("agent_id", word) for word in ("healthy", "pools")}


def _hidden(general: str, particular: str) -> set[tuple[str, str]]:
    """Return the words of a path that another one takes for names."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(general))
    found = re.fullmatch(pattern, particular)
    names = {} if found is None else found.groupdict()
    return {(name, word) for name, word in names.items() if name in CHOSEN and word[0] != "{"}


async def test_what_a_deregistered_agent_does_is_gone(
    plane: ControlPlane, inside: httpx2.AsyncClient, remote: RemoteControlPlane
) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.deregister("a-1", reason="the machine goes")
    own = {"incarnation": agent.incarnation}
    calls: dict[str, dict[str, Any]] = {
        "/api/agents/a-1/heartbeat": own,
        "/api/agents/a-1/drain": {**own, "reason": "maintenance"},
        "/api/queue/claim": {"agent_id": "a-1"},
    }
    for path, body in calls.items():
        answer = await inside.post(path, json=body)
        refused = problem_of(answer)
        assert (refused["type"], refused["status"]) == ("agent-deregistered", 410), path
        assert "the machine goes" in refused["detail"]
        assert "register it again" in refused["detail"]
        assert "retry-after" not in answer.headers
    with pytest.raises(AgentDeregistered) as gone:
        await remote.queue.claim(agent_id="a-1")
    assert (gone.value.agent_id, gone.value.status) == ("a-1", "terminated")
    await remote.agents.register(AgentSpec(agent_id="a-1"))
    assert await remote.queue.claim(agent_id="a-1") == []


async def test_a_server_has_the_limits_that_it_is_given(plane: ControlPlane) -> None:
    limits = Limits(max_body_bytes=2 * MAX_BYTES, max_wait_seconds=0.0)
    job = {"job_type": "build", "payload": {"text": "x" * 10_000}}
    async with calling(plane, limits=limits) as inside:
        made = await inside.post(f"{JOBS}/batch", json={"jobs": [job] * 150})
        assert made.status_code == 201
        await plane.queue.claim(agent_id="a-1", limit=150)
        refused = problem_of(await inside.post(f"{JOBS}/batch", json={"jobs": [job] * 250}))
        assert (refused["status"], refused["limit"]) == (413, 2 * MAX_BYTES)
        # It would wait for an hour.
        waited = await inside.post("/api/queue/claim", json={"agent_id": "a-1", "wait": 3600})
        assert waited.status_code == 204
        new = await plane.queue.enqueue(JobSpec(job_type="build"))
        found = await inside.get(f"/api/jobs/{new.job_id}/wait", params={"seconds": "3600"})
        assert found.json()["state"] == "queued"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_waiting", -1),
        ("max_streams", 1.5),
        ("max_wait_seconds", 3601),
        ("max_body_bytes", 1000),
        ("grace_seconds", float("inf")),
        ("head_seconds", 0),
    ],
)
def test_limits_that_no_server_can_have_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        Limits(**{field: value})  # type: ignore[arg-type] # one of them is no integer
    assert refused.value.field == field
