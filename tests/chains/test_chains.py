"""Every chain, under both engines, over each way to a control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import chains
from cicd_core.chains import (
    AgentDeregistrationChain,
    AgentHeartbeatChain,
    AgentRegistrationChain,
    AgentStatusUpdateChain,
    ClaimChain,
    CompleteChain,
    DeploymentCreationChain,
    DeploymentLifecycleChain,
    EnqueueChain,
    GetHealthyAgentsChain,
    JobCreationChain,
    JobExecutionChain,
    ListAgentsChain,
    ListDeploymentsChain,
    ListJobsChain,
    ListRunningJobsLink,
    MaintenanceChain,
    StartChain,
    State,
    StatsChain,
)

if TYPE_CHECKING:
    from types import ModuleType

    from cicd_core.chains.links import Plane
    from cicd_core.chains.requests import NewDeployment, NewJob, QueuedJob

pytestmark = pytest.mark.anyio

SHA = "8f2dc5f0" * 5
JOB: NewJob = {
    "job_type": "build",
    "git_repo": "https://git.example.org/web.git",
    "git_ref": "main",
    "git_commit_sha": SHA,
    "git_commit_message": "Add a page",
    "git_author": "ada",
    "tags": {"team": "web"},
}
DEPLOYMENT: NewDeployment = {
    "service_name": "web",
    "service_version": "1.4.2",
    "git_commit_sha": SHA,
    "git_author": "ada",
}
QUEUED: QueuedJob = {
    "job_type": "build",
    "pool_name": "linux",
    "job_id": "mine",
    "priority": "high",
}


async def jobs_of(plane: Plane) -> int:
    return len((await plane.jobs.list()).items)


async def test_a_run_is_created_ended_and_listed(plane: Plane, engine: ModuleType) -> None:
    made = await JobCreationChain(plane, engine).run(JOB)
    assert len(made) == 13
    assert (made["status"], made["git_commit_sha"], made["git_author"]) == ("pending", SHA, "ada")
    assert (await plane.jobs.get(made["job_id"])).metadata == {"team": "web"}
    ended = await JobExecutionChain(plane, engine).run(
        {"job_id": made["job_id"], "exit_code": 3, "duration_seconds": 12.5, "agent_id": "a-1"}
    )
    assert (ended["status"], ended["exit_code"]) == ("failed", 3)
    assert (ended["duration_seconds"], ended["agent_id"]) == (12.5, "a-1")
    assert await ListJobsChain(plane, engine).run({}) == {"jobs": [ended], "total": 1}
    assert (await ListJobsChain(plane, engine).run({"status": "success"}))["total"] == 0


async def test_a_deployment_goes_live_and_is_rolled_back(plane: Plane, engine: ModuleType) -> None:
    made = await DeploymentCreationChain(plane, engine).run(DEPLOYMENT)
    assert len(made) == 14
    lifecycle = DeploymentLifecycleChain(plane, engine)
    key = made["deployment_id"]
    assert (await lifecycle.run(key, "staging", {"job_id": "j-1"}))["status"] == "staged"
    live = await lifecycle.run(key, "production", {"job_id": "j-2"})
    assert (live["status"], live["deployed_to_production"]) == ("live", True)
    back = await lifecycle.run(
        key, "rollback", {"reason": "errors", "rolled_back_to_version": "1.4.1"}
    )
    assert (back["status"], back["rolled_back"]) == ("rolled_back", True)
    assert (back["rolled_back_to_version"], back["rollback_reason"]) == ("1.4.1", "errors")
    every, listed = ListDeploymentsChain(plane, engine), {"deployments": [back], "total": 1}
    assert await every.run({}) == listed
    assert await every.run({"service_name": "web"}) == listed
    assert await every.run({"service_name": "other"}) == {"deployments": [], "total": 0}


async def test_an_agent_registers_beats_and_leaves(plane: Plane, engine: ModuleType) -> None:
    made = await AgentRegistrationChain(plane, engine).run(
        {"pool_name": "linux", "max_concurrent_jobs": 3}
    )
    assert made["agent_id"].startswith("agent-")
    assert (made["version"], made["max_concurrent_jobs"]) == ("1.0.0", 3)
    beaten = await AgentHeartbeatChain(plane, engine).run(
        {
            "agent_id": made["agent_id"],
            "incarnation": made["incarnation"],
            "cpu_percent": 10.0,
            "memory_percent": 20.0,
            "current_job_count": 1,
        }
    )
    assert (beaten["status"], beaten["current_job_count"]) == ("healthy", 1)
    healthy = await GetHealthyAgentsChain(plane, engine).run({"pool_name": "linux"})
    assert [each["agent_id"] for each in healthy["healthy_agents"]] == [made["agent_id"]]
    assert "incarnation" not in healthy["healthy_agents"][0]
    poorly = await AgentStatusUpdateChain(plane, engine).run(
        {"agent_id": made["agent_id"], "status": "unhealthy", "reason": "a broken disk"}
    )
    assert poorly["status"] == "unhealthy"
    assert (await GetHealthyAgentsChain(plane, engine).run({}))["total"] == 0
    assert (await ListAgentsChain(plane, engine).run({"status": "unhealthy"}))["total"] == 1
    gone = await AgentDeregistrationChain(plane, engine).run({"agent_id": made["agent_id"]})
    assert gone["status"] == "terminated"


async def test_a_queued_job_is_claimed_started_and_completed(
    plane: Plane, engine: ModuleType
) -> None:
    made = await EnqueueChain(plane, engine).run(QUEUED)
    assert len(made) == 13
    assert (made["status"], made["priority"], made["attempt"]) == ("queued", "high", 0)
    assert await EnqueueChain(plane, engine).run(QUEUED) == made  # the same id: one job
    claimed = await ClaimChain(plane, engine).run({"agent_id": "a-1", "pool_name": "linux"})
    assert claimed["no_jobs_available"] is False
    assert claimed["job_response"]["claimed_by_agent"] == "a-1"
    begun = await StartChain(plane, engine).run({"claim": claimed["claim"]})
    assert begun["job_response"]["status"] == "running"
    ended = await CompleteChain(plane, engine).run({"claim": begun["claim"], "exit_code": 0})
    assert (ended["status"], ended["exit_code"], ended["retried"]) == ("completed", 0, False)
    empty = await ClaimChain(plane, engine).run({"agent_id": "a-1", "pool_name": "linux"})
    assert empty["no_jobs_available"] is True
    assert "claim" not in empty
    stats = await StatsChain(plane, engine).run({"pool_name": "linux"})
    assert (stats["total_queued"], stats["total_completed"]) == (0, 1)
    assert await MaintenanceChain(plane, engine).run({}) == {"requeued_count": 0}


async def test_a_failure_is_tried_again_until_the_attempts_are_used(
    plane: Plane, engine: ModuleType
) -> None:
    for attempts, retried, status in ((2, True, "queued"), (1, False, "dead_lettered")):
        job: QueuedJob = {
            "job_type": "build",
            "pool_name": f"p{attempts}",
            "max_attempts": attempts,
        }
        await EnqueueChain(plane, engine).run(job)
        claimed = await ClaimChain(plane, engine).run(
            {"agent_id": "a-1", "pool_name": f"p{attempts}"}
        )
        begun = await StartChain(plane, engine).run({"claim": claimed["claim"]})
        ended = await CompleteChain(plane, engine).run(
            {"claim": begun["claim"], "exit_code": 1, "error_message": "no space"}
        )
        assert (ended["retried"], ended["status"]) == (retried, status)


async def test_a_refused_request_answers_an_error_and_leaves_nothing(
    plane: Plane, engine: ModuleType
) -> None:
    empty: Any = {**JOB, "git_author": " "}
    assert (await JobCreationChain(plane, engine).run(empty))["error"].startswith(
        "git_author is required"
    )
    wrong: Any = {**JOB, "tags": "web"}
    assert "tags" in (await JobCreationChain(plane, engine).run(wrong))["error"]
    nameless: Any = {**DEPLOYMENT, "service_name": ""}
    assert "service_name" in (await DeploymentCreationChain(plane, engine).run(nameless))["error"]
    poolless: Any = {}
    assert "pool_name" in (await AgentRegistrationChain(plane, engine).run(poolless))["error"]
    assert "job_type" in (await EnqueueChain(plane, engine).run(poolless))["error"]
    running = await ListRunningJobsLink(plane).call(State({"limit": "3"}))
    assert "limit: '3'" in running.get("error")  # every parameter of HTTP is text
    assert (
        "priority" in (await EnqueueChain(plane, engine).run({**QUEUED, "priority": "!"}))["error"]
    )
    assert await jobs_of(plane) == 0
    assert (await ListDeploymentsChain(plane, engine).run({}))["total"] == 0
    assert (await ListAgentsChain(plane, engine).run({}))["total"] == 0


async def test_what_there_is_not_answers_an_error(plane: Plane, engine: ModuleType) -> None:
    lifecycle = DeploymentLifecycleChain(plane, engine)
    answers = [
        await JobExecutionChain(plane, engine).run({"job_id": "j-none", "exit_code": 0}),
        await lifecycle.run("d-none", "staging"),
        await lifecycle.run("d-none", "undo"),
        await lifecycle.run("d-none", "rollback", {}),
        await AgentDeregistrationChain(plane, engine).run({"agent_id": "a-none"}),
    ]
    told = [answer["error"] for answer in answers]
    for text, part in zip(told, ("j-none", "d-none", "undo", "reason", "a-none"), strict=True):
        assert part in text
    skipped = await DeploymentCreationChain(plane, engine).run(DEPLOYMENT)
    early = await lifecycle.run(skipped["deployment_id"], "production")
    assert "pending" in early["error"].lower()


def test_every_link_and_chain_of_the_original_is_there() -> None:
    links = [name for name in chains.__all__ if name.endswith("Link")]
    own = {"Link", "PlaneLink", "ServiceLink"}
    assert len(set(links) - own) == 36
    assert len([name for name in chains.__all__ if name.endswith("Chain")]) == 18 + 2
