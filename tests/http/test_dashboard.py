"""The dashboard's routes: the bodies and the fields that its callers have known for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, GitContext, JobSpec, KeySpec
from cicd_core.http.server import TokenAccess
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

ROOT = "/api/dashboard"
SHA = "0123456789abcdef0123456789abcdef01234567"
JOB = {
    "job_type": "build",
    "git_repo": "https://github.com/acme/shop",
    "git_ref": "main",
    "git_commit_sha": SHA,
    "git_commit_message": "Add a cart",
    "git_author": "ada",
    "tags": {"team": "web"},
}
DEPLOYMENT = {
    "service_name": "shop",
    "service_version": "1.4.2",
    "git_commit_sha": SHA,
    "git_commit_message": "Add a cart",
    "git_author": "ada",
}
END = {"agent_id": "jenkins-1", "exit_code": 0, "duration_seconds": 90}
SUMMARY = {
    "jobs_running": 0,
    "jobs_failed_today": 0,
    "deployments_today": 0,
    "total_jobs": 0,
    "jobs_completed": 0,
    "jobs_failed": 0,
    "total_deployments": 0,
    "deployments_active": 0,
    "deployments_staging": 0,
    "deployments_failed": 0,
    "exact": True,
}


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane) as client:
        yield client


async def post(http: httpx2.AsyncClient, path: str, body: Any = None) -> dict[str, Any]:
    answer = await http.post(f"{ROOT}{path}", json=body or {})
    assert answer.status_code in {200, 201}, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def get(http: httpx2.AsyncClient, path: str) -> Any:
    answer = await http.get(f"{ROOT}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_job_is_created_shown_and_completed(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    made = await http.post(f"{ROOT}/jobs", json=JOB)
    job_id = made.json()["job_id"]
    assert (made.status_code, made.headers["location"]) == (201, f"{ROOT}/jobs/{job_id}")
    created_at = made.json()["created_at"]
    row = {"job_id": job_id, "job_type": "build", "status": "pending", "created_at": created_at}
    unknown = {"exit_code": None, "duration_seconds": None}
    assert made.json() == {**row, "git_commit_sha": SHA[:7], "git_author": "ada", **unknown}
    assert await get(http, "/jobs/running") == [
        {**row, "git_commit_sha": SHA[:7], "git_author": "ada"}
    ]
    listed = await get(http, "/jobs")
    assert listed["jobs"] == [{**row, "git_commit_sha": SHA[:12], "git_author": "ada", **unknown}]
    assert (listed["total"], listed["limit"], listed["cursor"]) == (1, 100, None)

    ended = await http.patch(f"{ROOT}/jobs/{job_id}/complete", json=END)
    assert ended.json()["completed_at"] is not None
    del ended.json()["completed_at"]
    assert {**ended.json(), "completed_at": None} == {
        "job_id": job_id,
        "status": "success",
        "exit_code": 0,
        "duration_seconds": 90.0,
        "completed_at": None,
    }
    assert await get(http, f"/jobs/{job_id}") == {
        **row,
        "status": "success",
        "git_repo": JOB["git_repo"],
        "git_ref": "main",
        "git_commit_sha": SHA,
        "git_author": "ada",
        "agent_id": "jenkins-1",
        "exit_code": 0,
        "duration_seconds": 90.0,
        "logs_url": None,
        "error_message": None,
    }
    of_agent = await get(http, "/jobs/agent/jenkins-1")
    assert [each["job_id"] for each in of_agent["jobs"]] == [job_id]
    assert await get(http, "/jobs/running") == []
    whole = await plane.jobs.get(job_id)
    assert (whole.git, whole.metadata) == (
        GitContext(
            repo="https://github.com/acme/shop",
            ref="main",
            commit_sha=SHA,
            commit_message="Add a cart",
            author="ada",
        ),
        {"team": "web"},
    )


async def test_a_verdict_stands(http: httpx2.AsyncClient) -> None:
    job_id = (await post(http, "/jobs", JOB))["job_id"]
    path = f"{ROOT}/jobs/{job_id}/complete"
    failed = END | {"exit_code": 2, "error_message": "no disk", "logs_url": "https://x.org/1"}
    assert (await http.patch(path, json=failed)).json()["status"] == "failed"
    again = await http.patch(path, json=failed)
    assert (again.status_code, again.json()["exit_code"]) == (200, 2)
    other = await http.patch(path, json=END)
    assert (other.status_code, problem_of(other)["type"]) == (409, "illegal-transition")
    shown = await get(http, f"/jobs/{job_id}")
    assert (shown["error_message"], shown["logs_url"]) == ("no disk", "https://x.org/1")
    negative = await http.patch(path, json=END | {"duration_seconds": -1})
    assert (negative.status_code, problem_of(negative)["field"]) == (422, "duration_seconds")


async def test_a_start_is_recorded_and_keeps_its_moment(http: httpx2.AsyncClient) -> None:
    job_id = (await post(http, "/jobs", JOB))["job_id"]
    began = {"started_at": "2026-01-02T03:04:05Z"}
    started = await post(http, f"/jobs/{job_id}/start", began)
    assert started == {
        "job_id": job_id,
        "status": "running",
        "started_at": "2026-01-02T03:04:05.000000Z",
    }


async def test_a_short_commit_is_kept_as_text_and_checked_out_by_none(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    short = JOB | {"git_commit_sha": "abc123def456", "git_ref": "", "git_commit_message": ""}
    made = await post(http, "/jobs", short)
    shown = await get(http, f"/jobs/{made['job_id']}")
    assert (shown["git_commit_sha"], shown["git_ref"]) == ("abc123def456", None)
    assert (await plane.jobs.get(made["job_id"])).git is None


WRONG = [
    ("git_repo", "owner/repo"),
    ("git_repo", ""),
    ("git_ref", "main~1"),
    ("git_commit_sha", ""),
    ("git_author", ""),
    ("job_type", ""),
    ("tags", ["web"]),
    ("colour", "red"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_a_wrong_field_of_a_job_is_named(
    http: httpx2.AsyncClient, plane: ControlPlane, field: str, value: Any
) -> None:
    refused = await http.post(f"{ROOT}/jobs", json=JOB | {field: value})
    assert (refused.status_code, problem_of(refused)["field"]) == (422, field)
    assert (await plane.jobs.list()).items == ()


async def test_jobs_are_filtered_and_paged(http: httpx2.AsyncClient, plane: ControlPlane) -> None:
    for number in range(3):
        await post(http, "/jobs", JOB | {"tags": {"number": str(number)}})
    await plane.queue.enqueue(JobSpec(job_type="test", pool_name="mac", tags=["nightly"]))
    for query, expected in {
        "job_type=test": 1,
        "job_type=build": 3,
        "pool_name=mac": 1,
        "tag=nightly": 1,
        "tag=number=1": 1,
        "tag=number": 0,
        "status=pending": 3,
        "status=pending&job_type=test": 0,
        "since=2286-01-01T00:00:00Z": 0,
        "until=2286-01-01T00:00:00Z": 4,
        "agent_id=a-1": 0,
    }.items():
        assert (await get(http, f"/jobs?{query}"))["total"] == expected, query
    first = await http.get(f"{ROOT}/jobs?limit=3&job_type=build")
    assert first.json()["total"] == 3
    rest = (await http.get(first.links["next"]["url"])).json()
    assert (rest["total"], rest["cursor"]) == (0, None)
    foreign = await http.get(f"{ROOT}/jobs?cursor={first.json()['cursor']}")
    assert problem_of(foreign)["type"] == "invalid-cursor"


async def test_a_deployment_goes_live_and_back(http: httpx2.AsyncClient) -> None:
    made = await http.post(f"{ROOT}/deployments", json=DEPLOYMENT)
    key = made.json()["deployment_id"]
    assert (made.status_code, made.headers["location"]) == (201, f"{ROOT}/deployments/{key}")
    row = {
        "deployment_id": key,
        "service_name": "shop",
        "service_version": "1.4.2",
        "status": "pending",
        "created_at": made.json()["created_at"],
        "git_commit_sha": SHA[:12],
        "deployed_to_staging": False,
        "deployed_to_production": False,
        "rolled_back": False,
    }
    assert made.json() == row
    assert (await get(http, "/deployments"))["deployments"] == [row]
    here = f"/deployments/{key}"
    staged = await post(http, f"{here}/staging", {"job_id": "j-1"})
    assert (staged["status"], staged["deployed_to_staging"]) == ("staged", True)
    live = await post(http, f"{here}/production", {"job_id": "j-2"})
    assert (live["status"], live["deployed_to_production"]) == ("live", True)
    assert await post(http, f"{here}/production", {"job_id": "j-2"}) == live
    measured = await post(http, f"{here}/metrics", {"error_rate": 0.25})
    assert measured["metrics"]["error_rate"] == 0.25
    back = await post(
        http, f"{here}/rollback", {"rolled_back_to_version": "1.4.1", "reason": "slow"}
    )
    assert back == {
        "deployment_id": key,
        "status": "rolled_back",
        "rolled_back": True,
        "rolled_back_to_version": "1.4.1",
        "rollback_reason": "slow",
    }
    shown = await get(http, here)
    assert shown == {
        **row,
        "status": "rolled_back",
        "git_commit_sha": SHA,
        "git_author": "ada",
        "deployed_to_staging": True,
        "deployed_to_production": True,
        "rolled_back": True,
        "staging_deployed_at": staged["staging_deployed_at"],
        "production_deployed_at": live["production_deployed_at"],
        "rolled_back_to_version": "1.4.1",
        "rollback_reason": "slow",
    }
    of_service = await get(http, "/deployments/service/shop")
    assert (of_service["service_name"], of_service["total"]) == ("shop", 1)
    assert set(of_service["deployments"][0]) == set(row) - {"service_name", "git_commit_sha"}
    assert (await get(http, "/deployments/service/none"))["deployments"] == []


async def test_a_stage_that_failed_says_so(http: httpx2.AsyncClient) -> None:
    keys = [(await post(http, "/deployments", DEPLOYMENT))["deployment_id"] for _ in range(3)]
    body = {"job_id": "j-1", "succeeded": False, "error_message": "no room"}
    failed = await post(http, f"/deployments/{keys[0]}/staging", body)
    assert (failed["status"], failed["error_message"]) == ("failed", "no room")
    too_early = await http.post(f"{ROOT}/deployments/{keys[1]}/production", json={"job_id": "j"})
    assert (too_early.status_code, problem_of(too_early)["type"]) == (409, "illegal-transition")
    await post(http, f"/deployments/{keys[1]}/staging", {"job_id": "j-1"})
    failed = await post(http, f"/deployments/{keys[1]}/production", body)
    assert (failed["status"], failed["deployed_to_production"]) == ("failed", False)
    failed = await post(http, f"/deployments/{keys[2]}/fail", {"error_message": "gone"})
    assert failed == {
        "deployment_id": keys[2],
        "status": "failed",
        "failed_stage": "pending",
        "error_message": "gone",
    }
    totals = {"total_deployments": 3, "deployments_failed": 3, "deployments_today": 3}
    shown = await get(http, "/summary")
    assert {name: shown[name] for name in totals} == totals


async def test_the_summary_counts_what_has_not_ended(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    empty = await get(http, "/summary")
    assert {name: empty[name] for name in SUMMARY} == SUMMARY
    for _ in range(6):
        await post(http, "/jobs", JOB)
    await plane.queue.enqueue(JobSpec(job_type="build"))
    key = (await post(http, "/jobs", JOB))["job_id"]
    await http.patch(f"{ROOT}/jobs/{key}/complete", json=END | {"exit_code": 1})
    shown = await get(http, "/summary?tz=Europe/Zurich")
    assert (shown["jobs_running"], shown["total_jobs"]) == (7, 8)
    assert (shown["jobs_failed"], shown["jobs_failed_today"]) == (1, 1)
    assert shown["recent_jobs"][0]["job_id"] == key
    assert len(shown["recent_jobs"]) == 5
    assert problem_of(await http.get(f"{ROOT}/summary?tz=Mars"))["field"] == "tz"


async def test_agents_are_shown_with_their_load(http: httpx2.AsyncClient) -> None:
    body = {"agent_id": "a-1", "pool_name": "linux", "slots": 5}
    made = (await http.post("/api/agents/register", json=body)).json()
    beat = {"incarnation": made["incarnation"], "running": 2}
    await http.post("/api/agents/a-1/heartbeat", json=beat)
    (shown,) = await get(http, "/agents")
    assert shown == {
        "agent_id": "a-1",
        "pool_name": "linux",
        "status": "healthy",
        "registered_at": made["registered_at"],
        "last_heartbeat": shown["last_heartbeat"],
        "current_job_count": 2,
        "max_concurrent_jobs": 5,
    }


async def test_a_repeated_creation_with_its_key_makes_nothing_new(
    http: httpx2.AsyncClient,
) -> None:
    queued, whole = {"job_type": "lint"}, {"service_name": "cart", "version": "1"}
    for path, body, changed, status in (
        ("/dashboard/jobs", JOB, {"job_type": "test"}, 422),
        ("/dashboard/deployments", DEPLOYMENT, {"service_version": "2"}, 409),
        ("/queue/jobs", queued, {"job_type": "test"}, 422),
        ("/deployments", whole, {"version": "2"}, 409),
    ):
        quoted = {"idempotency-key": f'"k{path}"'}
        first = await http.post(f"/api{path}", json=body, headers=quoted)
        again = await http.post(f"/api{path}", json=body, headers=quoted)
        assert first.json() == again.json()
        other = await http.post(f"/api{path}", json=body | changed, headers=quoted)
        assert other.status_code == status, other.text
    header = {"idempotency-key": "k-1"}
    twice = JOB | {"idempotency_key": "k-2"}
    refused = await http.post(f"{ROOT}/jobs", json=twice, headers=header)
    assert problem_of(refused)["field"] == "idempotency-key"
    both = DEPLOYMENT | {"deployment_id": "d-1"}
    refused = await http.post(f"{ROOT}/deployments", json=both, headers=header)
    assert problem_of(refused)["field"] == "idempotency-key"


async def test_each_caller_has_idempotency_keys_of_its_own() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        callers: list[dict[str, str]] = []
        for name in ("ada", "eve"):
            spec = KeySpec(name=name, scopes=["jobs:write", "deployments:write"])
            callers.append({"authorization": f"Bearer {(await plane.keys.create(spec)).token}"})
        async with calling(plane, auth=TokenAccess(plane.keys, plane.sessions)) as http:
            for path, body, field in (
                ("/dashboard/jobs", JOB, "job_id"),
                ("/queue/jobs", {"job_type": "lint"}, "job_id"),
                ("/deployments", {"service_name": "cart", "version": "1"}, "deployment_id"),
            ):
                key = {"idempotency-key": f"build-1 {path}"}
                ids = [
                    (await http.post(f"/api{path}", json=body, headers=caller | key)).json()[field]
                    for caller in (*callers, *callers)
                ]
                assert ids[:2] == ids[2:]
                assert ids[0] != ids[1]
            shared = {"job_type": "lint", "idempotency_key": "for all"}
            (one, other) = [
                await http.post("/api/queue/jobs", json=shared, headers=caller)
                for caller in callers
            ]
            assert one.json() == other.json()


async def test_the_header_and_the_body_may_have_the_same_idempotency_key(
    http: httpx2.AsyncClient,
) -> None:
    body = {"job_type": "lint", "idempotency_key": "k-1"}
    header = {"idempotency-key": "k-1"}
    both = await http.post("/api/queue/jobs", json=body, headers=header)
    assert both.json()["idempotency_key"] == "k-1"
    refused = await http.post(
        "/api/queue/jobs", json={"job_type": "lint"}, headers={"idempotency-key": "k" * 250}
    )
    assert problem_of(refused)["field"] == "idempotency-key"
