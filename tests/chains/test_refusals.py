"""What links refuse: it becomes an error that names the key, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane
from cicd_core.chains import (
    AgentHeartbeatChain,
    AgentRegistrationChain,
    ClaimChain,
    DeploymentCreationChain,
    DeploymentLifecycleChain,
    EnqueueChain,
    GetHealthyAgentsChain,
    JobCreationChain,
    ListAgentsChain,
    ListDeploymentsChain,
    ListJobsChain,
    ListRunningJobsLink,
    RetryFailedJobLink,
    SerializeAgentLink,
    SerializeAgentsListLink,
    SerializeDeploymentLink,
    SerializeJobLink,
    SerializeQueueJobLink,
    SerializeStatsLink,
    StartChain,
    State,
    StatsChain,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cicd_core.chains.requests import NewJob

pytestmark = pytest.mark.anyio

SHA = "8f2dc5f0" * 5
JOB: NewJob = {
    "job_type": "build",
    "git_repo": "https://git.example.org/web.git",
    "git_commit_sha": SHA,
    "git_author": "ada",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


@pytest.mark.parametrize(
    "data",
    [
        {"succeeded": "no"},
        {"error_message": 7},
        {"error_message": "a success has none"},
        {"job_id": 7},
        {"actor": 7},
    ],
    ids=str,
)
async def test_a_refused_end_of_production_leaves_a_deployment_staged(
    plane: ControlPlane, data: dict[str, Any]
) -> None:
    made = await DeploymentCreationChain(plane).run(
        {"service_name": "web", "service_version": "1", "git_commit_sha": SHA, "git_author": "ada"}
    )
    chain, key = DeploymentLifecycleChain(plane), made["deployment_id"]
    await chain.run(key, "staging")
    refused = await chain.run(key, "production", data)
    assert next(iter(data)) in refused["error"]
    assert (await plane.deployments.get(key)).status == "staged"


READ_BY: Any = {
    SerializeJobLink: "job",
    SerializeQueueJobLink: "job",
    RetryFailedJobLink: "job",
    SerializeDeploymentLink: "deployment",
    SerializeAgentLink: "agent",
    SerializeAgentsListLink: "agents",
    SerializeStatsLink: "stats",
}


@pytest.mark.parametrize("kind", READ_BY, ids=lambda kind: kind.__name__)
async def test_a_link_refuses_what_no_link_found(kind: Any) -> None:
    wrongs: tuple[object, ...] = ("x", 7, {}, ["x"])
    for wrong in wrongs:
        after = await kind().call(State({READ_BY[kind]: wrong, "completed": True}))
        assert after.get("error").startswith(READ_BY[kind])


async def test_what_a_chain_finds_is_no_part_of_its_request(plane: ControlPlane) -> None:
    chains: Any = {
        "jobs": ListJobsChain,
        "found": ListDeploymentsChain,
        "agents": ListAgentsChain,
        "healthy_agents": GetHealthyAgentsChain,
    }
    for key, chain in chains.items():
        assert (await chain(plane).run({key: 7}))["total"] == 0
    stats: Any = StatsChain(plane)
    assert (await stats.run({"stats": 7}))["total_queued"] == 0
    made: Any = JobCreationChain(plane)
    assert (await made.run({**JOB, "job": await plane.jobs.get(await a_job(plane))}))["job_id"]
    assert len((await plane.jobs.list()).items) == 2


async def a_job(plane: ControlPlane) -> str:
    return str((await JobCreationChain(plane).run(JOB))["job_id"])


async def test_the_answer_of_a_claim_may_ask_again(plane: ControlPlane) -> None:
    chain: Any = ClaimChain(plane)
    empty = await chain.run({"agent_id": "a", "pool_name": "p"})
    await EnqueueChain(plane).run({"job_type": "build", "pool_name": "p"})
    claimed = await chain.run(empty)
    assert claimed["claim"].job.agent_id == "a"
    assert await chain.run(claimed) == empty


async def test_a_started_claim_answers_its_own_job(plane: ControlPlane) -> None:
    await EnqueueChain(plane).run({"job_type": "build", "pool_name": "p"})
    claimed = await ClaimChain(plane).run({"agent_id": "a", "pool_name": "p"})
    chain: Any = StartChain(plane)
    begun = await chain.run({"claim": claimed["claim"]})
    other = await plane.jobs.get(await a_job(plane))
    assert await chain.run({"claim": begun["claim"], "job": other}) == begun


async def test_the_freest_agent_is_found_whatever_the_limit(plane: ControlPlane) -> None:
    for agent_id, slots in (("a", 1), ("b", 5), ("c", 2)):
        made = await AgentRegistrationChain(plane).run(
            {"pool_name": "p", "agent_id": agent_id, "max_concurrent_jobs": slots}
        )
        await AgentHeartbeatChain(plane).run(
            {"agent_id": agent_id, "incarnation": made["incarnation"]}
        )
    best = await GetHealthyAgentsChain(plane).run({"pool_name": "p", "limit": 1})
    assert [each["agent_id"] for each in best["healthy_agents"]] == ["b"]


async def test_zero_is_no_default(plane: ControlPlane) -> None:
    agent: Any = {"pool_name": "p", "max_concurrent_jobs": 0}
    assert "slots: 0" in (await AgentRegistrationChain(plane).run(agent))["error"]
    for chain in (ListJobsChain, ListDeploymentsChain, ListAgentsChain, GetHealthyAgentsChain):
        assert "limit: 0" in (await chain(plane).run({"limit": 0}))["error"]
    running = await ListRunningJobsLink(plane).call(State({"limit": 0}))
    assert "limit: 0" in running.get("error")


async def test_git_fields_without_a_commit_are_refused(plane: ControlPlane) -> None:
    for key in ("git_ref", "git_commit_message"):
        job: Any = {"job_type": "build", "pool_name": "p", key: "main"}
        assert "git_commit_sha" in (await EnqueueChain(plane).run(job))["error"]


async def test_an_operation_that_is_no_text_is_unknown(plane: ControlPlane) -> None:
    chain: Any = DeploymentLifecycleChain(plane)
    assert "Unknown operation" in (await chain.run("d", ["staging"]))["error"]
