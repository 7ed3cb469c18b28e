"""What every route does with a request that is wrong, and with one that is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import InvalidInput, PoolSpec
from cicd_core.http.server.app import ROUTES
from cicd_core.http.server.limits import DEFAULT_LIMITS
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

    from cicd_core import ControlPlane
    from cicd_core.http.client import RemoteControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

MAX_BYTES = DEFAULT_LIMITS.max_body_bytes
JOBS = "/api/queue/jobs"


def problem_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    document["type"] = document["type"].removeprefix("urn:cicd-core:problem:")
    return document


async def test_a_creation_answers_201_and_says_where_it_is(http: httpx2.AsyncClient) -> None:
    made = await http.post(JOBS, json={"job_type": "build"})
    assert made.status_code == 201
    assert made.headers["location"] == f"{JOBS}/{made.json()['job_id']}"
    found = await http.get(made.headers["location"])
    assert (found.status_code, found.json()["status"]) == (200, "queued")


async def test_the_actor_is_the_principal_and_a_body_can_not_set_it(
    http: httpx2.AsyncClient,
) -> None:
    refused = await http.post(JOBS, json={"job_type": "build", "actor": "mallory"})
    assert (refused.status_code, problem_of(refused)["field"]) == (422, "actor")
    made = (await http.post(JOBS, json={"job_type": "build"})).json()
    assert {step["actor"] for step in made["history"]} == {"local"}


WRONG = [
    ({}, "job_type", "it is required"),
    ({"job_type": 7}, "job_type", "expected `str`, got `int`"),
    ({"job_type": "build", "colour": "red"}, "colour", "there is no such field"),
    ({"job_type": "build", "git": {"repo": "r", "x": 1}}, "git.x", "there is no such field"),
    ({"job_type": "build", "labels": ["a", 7]}, "labels[1]", "expected `str`, got `int`"),
    ({"job_type": "build", "priority": "urgent"}, "priority", "invalid enum value"),
    ({"job_type": "build", "run_at": "2026-01-01T00:00:00"}, "run_at", "timezone component"),
    ({"job_type": "no name"}, "job_type", "give 1 to 128 characters"),
    ({"job_type": "build", "timeout_seconds": -1}, "timeout_seconds", "0.001"),
    ([], "body", "expected `object`, got `array`"),
]


@pytest.mark.parametrize(("body", "field", "reason"), WRONG)
async def test_a_wrong_field_is_named_with_what_is_legal_instead(
    http: httpx2.AsyncClient, plane: ControlPlane, body: Any, field: str, reason: str
) -> None:
    refused = await http.post(JOBS, json=body)
    document = problem_of(refused)
    assert (refused.status_code, document["type"]) == (422, "invalid-input")
    assert document["field"] == field
    assert reason in document["reason"]
    assert document["detail"].endswith(document["reason"])
    assert "Ellipsis" not in refused.text
    assert (await plane.jobs.list()).items == ()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
        ("status=odd", "status"),
        ("since=yesterday", "since"),
        ("since=null", "since"),
        ("until=0.5", "until"),
    ],
)
async def test_a_wrong_parameter_is_named(http: httpx2.AsyncClient, query: str, field: str) -> None:
    refused = await http.get(f"{JOBS}?{query}")
    assert (refused.status_code, problem_of(refused)["field"]) == (422, field)


async def test_a_damaged_cursor_is_refused(http: httpx2.AsyncClient) -> None:
    document = problem_of(await http.get(f"{JOBS}?cursor=abc"))
    assert (document["type"], document["field"]) == ("invalid-cursor", "cursor")


@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b'{"job_type": NaN}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"']
)
async def test_a_body_that_is_no_json_is_refused(http: httpx2.AsyncClient, body: bytes) -> None:
    refused = await http.post(JOBS, content=body, headers={"content-type": "application/json"})
    assert refused.status_code in {400, 422}
    assert problem_of(refused)["type"] in {"malformed-body", "invalid-input"}


async def test_another_content_type_is_refused(http: httpx2.AsyncClient) -> None:
    refused = await http.post(JOBS, content=b"{}", headers={"content-type": "text/plain"})
    assert (refused.status_code, problem_of(refused)["type"]) == (415, "wrong-media-type")
    assert refused.headers["accept"] == "application/json"


async def test_a_body_over_the_limit_is_refused_before_it_is_read(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        head = f"POST {JOBS} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {MAX_BYTES + 1}\r\n\r\n"
        await stream.send(head.encode())  # and nothing of the body
        answer = b""
        with anyio.fail_after(PATIENCE):
            async for part in stream:  # to the end: the server closes what it does not read
                answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:cicd-core:problem:too-large" in answer


async def test_a_body_of_unknown_length_is_read_up_to_the_limit(http: httpx2.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(MAX_BYTES // 65_536 + 1):
            yield b" " * 65_536

    refused = await http.post(JOBS, content=body(), headers={"content-type": "application/json"})
    assert (refused.status_code, problem_of(refused)["limit"]) == (
        413,
        MAX_BYTES,
    )


async def test_an_unknown_method_is_told_all_that_there_are(http: httpx2.AsyncClient) -> None:
    refused = await http.put(JOBS, json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert problem_of(refused)["type"] == "method-not-allowed"


async def test_head_answers_what_get_does_without_the_body(http: httpx2.AsyncClient) -> None:
    got, head = await http.get(JOBS), await http.head(JOBS)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/queue/nothing", "/api/queue/jobs/", "/api/x%2Fy"]
)
async def test_an_unknown_route_is_a_problem(http: httpx2.AsyncClient, path: str) -> None:
    refused = await http.get(path)
    assert (refused.status_code, problem_of(refused)["type"]) == (404, "no-such-route")


async def test_pages_link_to_the_next_one(http: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await http.post(JOBS, json={"job_type": "build"})
    first = await http.get(f"{JOBS}?limit=2")
    assert len(first.json()["items"]) == 2
    second = await http.get(first.links["next"]["url"])
    assert len(second.json()["items"]) == 1
    assert "next" not in second.links


async def test_a_name_may_hold_slashes(http: httpx2.AsyncClient, plane: ControlPlane) -> None:
    made = await http.put("/api/agents/pools/team%2Flinux", json={"max_agents": 3})
    assert made.json()["pool_name"] == "team/linux"
    assert (await plane.pools.get("team/linux")).max_agents == 3
    scaled = await http.post("/api/agents/pools/team%2Flinux/scale", json={"target_agents": 2})
    assert scaled.json()["target_agents"] == 2
    refused = await http.post("/api/agents/pools/team%2Flinux/scale", json={"target_agents": 4})
    assert problem_of(refused)["field"] == "target_agents"


async def test_an_error_of_the_server_says_nothing_of_itself(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("cicd_core.control_plane.jobs.JobService.get", broken)
    refused = await http.get(f"{JOBS}/j-1")
    assert (refused.status_code, problem_of(refused)["type"]) == (500, "internal-error")
    assert "hunter2" not in refused.text
    assert "hunter2" in caplog.text


def test_no_two_routes_have_the_same_method_and_path() -> None:
    pairs = [(route.method, route.path) for route in ROUTES]
    assert len(set(pairs)) == len(pairs)


async def test_metrics_count_requests_by_route_and_never_by_id(http: httpx2.AsyncClient) -> None:
    made = await http.post(JOBS, json={"job_type": "build"})
    await http.get(made.headers["location"])
    await http.get(f"{JOBS}/no-such-job")
    await http.request("PROPFIND", JOBS)
    told = await http.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    lines = set(told.text.splitlines())
    route = f'route="{JOBS}/{{job_id}}"'
    assert {
        f'cicd_http_requests_total{{method="GET",{route},status="200"}} 1.0',
        f'cicd_http_requests_total{{method="GET",{route},status="404"}} 1.0',
        f'cicd_http_requests_total{{method="other",route="{JOBS}",status="405"}} 1.0',
        'cicd_queue_jobs{status="queued"} 1.0',
        "cicd_http_waiting_requests 0.0",
        "cicd_http_streams 0.0",
    } <= lines
    assert made.json()["job_id"] not in told.text
    assert "no-such-job" not in told.text


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_name_that_is_a_step_in_a_path_is_refused_with_the_reason(
    http: httpx2.AsyncClient, remote: RemoteControlPlane, name: str
) -> None:
    calls: dict[str, tuple[str, dict[str, object]]] = {
        "pool_name": (JOBS, {"job_type": "build", "pool_name": name}),
        "job_type": (JOBS, {"job_type": name}),
        "tags[0]": (JOBS, {"job_type": "build", "tags": [name]}),
        "agent_id": ("/api/agents/register", {"agent_id": name}),
        "service_name": ("/api/deployments", {"service_name": name, "version": "1"}),
        "environment": (
            "/api/deployments",
            {"service_name": "shop", "version": "1", "environment": name},
        ),
        "deployment_id": (
            "/api/deployments",
            {"service_name": "shop", "version": "1", "deployment_id": name},
        ),
        "user_id": ("/auth/session", {"user_id": name}),
    }
    for field, (path, body) in calls.items():
        refused = problem_of(await http.post(path, json=body))
        assert (refused["status"], refused["field"]) == (422, field)
        assert "a step in the path of a URL" in refused["detail"]
    with pytest.raises(InvalidInput, match="a step in the path"):
        await remote.pools.put(PoolSpec(pool_name=name))


@pytest.mark.parametrize("name", ["...", "a..b", "../x", ".a"])
async def test_a_name_of_dots_is_no_step_to_another_route(
    remote: RemoteControlPlane, plane: ControlPlane, name: str
) -> None:
    await remote.pools.put(PoolSpec(pool_name=name))
    assert (await plane.pools.get(name)).pool_name == name
    assert (await remote.pools.get(name)).pool_name == name
    assert await remote.sessions.log_out_everywhere(name) == 0
