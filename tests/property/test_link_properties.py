"""Links in any order, left out and repeated: the store holds what the services would have made."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from hypothesis import given
from hypothesis import strategies as st

from cicd_core import (
    CicdError,
    ClaimedJob,
    ControlPlane,
    DeploymentSpec,
    GitContext,
    JobSpec,
    Outcome,
    RetryPolicy,
)
from cicd_core import chains as all_chains
from cicd_core.chains import State
from cicd_core.public_json import to_json
from cicd_core.testing import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Step = Callable[[ControlPlane, dict[str, Any]], Awaitable[None]]

SHA: Final = "0123456789" * 4
REPO: Final = "https://git.example.org/web.git"
GIT: Final = GitContext(repo=REPO, commit_sha=SHA, author="ada")
#: What differs from one control plane to another one on the same clock: ids, and the jitter of a
#: retry.
CHANCE: Final = {
    "job_id", "deployment_id", "incarnation", "queued_stamp", "run_at", "paused_until"
}  # fmt: skip


async def create_job(plane: ControlPlane, known: dict[str, Any]) -> None:
    if "job" not in known:
        known["job"] = await plane.jobs.create(JobSpec(job_type="build", git=GIT), actor="chain")


async def record_execution(plane: ControlPlane, known: dict[str, Any]) -> None:
    if known.get("job_id"):
        await plane.jobs.record_execution(
            known["job_id"], Outcome.exited(known["exit_code"]), actor="chain"
        )


async def submit(plane: ControlPlane, known: dict[str, Any]) -> None:
    job = await plane.jobs.get(known["job_id"])
    if job.status != "queued":
        await plane.jobs.submit(job.job_id, actor="chain")


async def enqueue(plane: ControlPlane, known: dict[str, Any]) -> None:
    if "job" not in known:
        retry = RetryPolicy(retry_on=("failed", "timeout", "error"))
        spec = JobSpec(job_type="build", pool_name="p", git=GIT, retry=retry)
        known["job"] = await plane.queue.enqueue(spec, actor="chain")


async def claim(plane: ControlPlane, known: dict[str, Any]) -> None:
    if "asked" not in known:
        known["asked"] = await plane.queue.claim(agent_id="a", pool_name="p")
        for claimed in known["asked"]:
            known["claim"], known["job"] = claimed, claimed.job


async def start(plane: ControlPlane, known: dict[str, Any]) -> None:
    held: ClaimedJob | None = known.get("claim")
    if held is not None and held.job.state == "claimed":
        known["claim"] = await plane.queue.start(held)


async def complete(plane: ControlPlane, known: dict[str, Any]) -> None:
    if "claim" in known:
        await plane.queue.complete(known["claim"], Outcome.exited(known["exit_code"]))


async def create_deployment(plane: ControlPlane, known: dict[str, Any]) -> None:
    if "deployment" not in known:
        spec = DeploymentSpec(service_name="web", version="1", git=GIT)
        known["deployment"] = await plane.deployments.create(spec, actor="chain")


async def stage(plane: ControlPlane, known: dict[str, Any]) -> None:
    await plane.deployments.record_staging(known["deployment_id"], succeeded=True, actor="chain")


async def release(plane: ControlPlane, known: dict[str, Any]) -> None:
    key = known["deployment_id"]
    if (await plane.deployments.get(key)).status == "staged":
        await plane.deployments.begin_production(key, actor="chain")
    await plane.deployments.record_production(key, succeeded=True, actor="chain")


async def roll_back(plane: ControlPlane, known: dict[str, Any]) -> None:
    await plane.deployments.roll_back(known["deployment_id"], reason="errors", actor="chain")


async def nothing(plane: ControlPlane, known: dict[str, Any]) -> None:
    """What a link does that only reads."""


JOBS: Final[Mapping[str, Step]] = {
    "ValidateJobCreationLink": nothing,
    "CreateJobLink": create_job,
    "SerializeJobLink": nothing,
    "ListJobsLink": nothing,
    "ListRunningJobsLink": nothing,
}
RUNS: Final[Mapping[str, Step]] = {
    "RetrieveJobLink": nothing,
    "RecordJobExecutionLink": record_execution,
    "UpdateJobStatusLink": submit,
    "SerializeJobLink": nothing,
}
QUEUE: Final[Mapping[str, Step]] = {
    "EnqueueJobLink": enqueue,
    "ClaimJobLink": claim,
    "StartJobExecutionLink": start,
    "CompleteJobLink": complete,
    "RetryFailedJobLink": nothing,
    "SerializeQueueJobLink": nothing,
    "GetQueueStatsLink": nothing,
    "SerializeStatsLink": nothing,
    "RequeueExpiredLeasesLink": nothing,
}
DEPLOYMENTS: Final[Mapping[str, Step]] = {
    "RetrieveDeploymentLink": nothing,
    "RecordStagingDeploymentLink": stage,
    "RecordProductionDeploymentLink": release,
    "RecordRollbackLink": roll_back,
    "SerializeDeploymentLink": nothing,
    "ListDeploymentsLink": nothing,
}
NEW_DEPLOYMENT: Final[Mapping[str, Step]] = {
    "ValidateDeploymentCreationLink": nothing,
    "CreateDeploymentLink": create_deployment,
    "SerializeDeploymentLink": nothing,
}
FLAT: Final = {"git_repo": REPO, "git_commit_sha": SHA, "git_author": "ada"}


def some_of(steps: Mapping[str, Step]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(steps)), max_size=10)


async def content(plane: ControlPlane) -> list[Any]:
    """Return all that there is, but for what chance decides."""
    jobs, deployments = await plane.jobs.list(), await plane.deployments.list()
    return [
        {name: value for name, value in to_json(each).items() if name not in CHANCE}
        for each in (*jobs.items, *deployments.items)
    ]


async def same(steps: Mapping[str, Step], names: list[str], data: dict[str, Any]) -> None:
    """Call the links on one control plane, the services on another one, and compare."""
    clock = VirtualClock()
    async with (
        ControlPlane.open("memory://", clock=clock, maintenance=False) as ours,
        ControlPlane.open("memory://", clock=clock, maintenance=False) as theirs,
    ):
        begun = [await begin(plane, steps, data) for plane in (ours, theirs)]
        ctx, known = State(begun[0]), dict(begun[1])
        for name in names:
            kind = getattr(all_chains, name)
            link = kind(ours) if issubclass(kind, all_chains.PlaneLink) else kind()
            ctx = await link.call(ctx)
        with suppress(CicdError):  # nothing is done after an error
            for name in names:
                await steps[name](theirs, known)
        assert await content(ours) == await content(theirs)
        assert ctx.get("exception") is None or ctx.get("error") == str(ctx.get("exception"))


async def begin(
    plane: ControlPlane, steps: Mapping[str, Step], data: dict[str, Any]
) -> dict[str, Any]:
    """Make what the links of a group need to be there, and return where they begin."""
    if steps is RUNS:
        job = await plane.jobs.create(JobSpec(job_type="build"))
        return {**data, "job_id": job.job_id}
    if steps is DEPLOYMENTS:
        made = await plane.deployments.create(DeploymentSpec(service_name="web", version="1"))
        return {**data, "deployment_id": made.deployment_id}
    return data


@given(some_of(JOBS))
def test_links_of_new_jobs_make_one_at_most(names: list[str]) -> None:
    anyio.run(same, JOBS, names, {"job_type": "build", **FLAT})


@given(some_of(RUNS), st.integers(0, 2))
def test_links_of_runs_do_what_the_services_do(names: list[str], exit_code: int) -> None:
    anyio.run(same, RUNS, names, {"exit_code": exit_code, "status": "queued"})


@given(some_of(QUEUE), st.integers(0, 2))
def test_links_of_the_queue_do_what_the_services_do(names: list[str], exit_code: int) -> None:
    data = {"job_type": "build", "pool_name": "p", "agent_id": "a", "exit_code": exit_code, **FLAT}
    anyio.run(same, QUEUE, names, data)


@given(some_of(DEPLOYMENTS))
def test_links_of_deployments_do_what_the_services_do(names: list[str]) -> None:
    anyio.run(same, DEPLOYMENTS, names, {"reason": "errors"})


@given(some_of(NEW_DEPLOYMENT))
def test_links_of_new_deployments_make_one_at_most(names: list[str]) -> None:
    anyio.run(same, NEW_DEPLOYMENT, names, {"service_name": "web", "service_version": "1", **FLAT})


ALL: Final = sorted({*JOBS, *RUNS, *QUEUE, *DEPLOYMENTS, *NEW_DEPLOYMENT})


@given(
    st.lists(st.sampled_from(ALL), max_size=12),
    st.dictionaries(
        st.sampled_from(
            ["job_type", "git_author", "job_id", "status", "exit_code", "limit", "tags", "claim"]
        ),
        st.none()
        | st.integers(-1, 3)
        | st.sampled_from(["", " ", "x", "\x00"])
        | st.lists(st.none()),
    ),
)
def test_links_raise_nothing_whatever_a_context_holds(
    names: list[str], data: dict[str, Any]
) -> None:
    async def call_all() -> None:
        async with ControlPlane.open("memory://", maintenance=False) as plane:
            ctx = State({"pool_name": "p", "agent_id": "a", **FLAT, **data})
            for name in names:
                kind = getattr(all_chains, name)
                link = kind(plane) if issubclass(kind, all_chains.PlaneLink) else kind()
                ctx = await link.call(ctx)

    anyio.run(call_all)
