"""An unchanged agent on the far side of the network, on both event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    AgentMetrics,
    AgentReplaced,
    AgentSpec,
    AgentStatus,
    ClaimRef,
    ControlPlane,
    InvalidInput,
    JobSpec,
    JobState,
    LeaseLost,
    NotFound,
    Outcome,
    QueueStatus,
    StoreUnavailable,
    TooLarge,
)
from cicd_core.agent import Agent, JobRun
from cicd_core.agent.shell import ShellHandler
from cicd_core.http.client import RemoteControlPlane
from cicd_core.threads import run_soon_here
from tests.patience import PATIENCE

if TYPE_CHECKING:
    import httpx2

pytestmark = pytest.mark.anyio


async def test_an_agent_runs_a_job_over_http(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    async def work(run: JobRun) -> int:
        await run.progress(50, "half way")
        return int(run.payload["code"])

    jobs = [
        await remote.queue.enqueue(JobSpec(job_type="work", payload={"code": code}))
        for code in (0, 3)
    ]
    agent = Agent(remote, slots=2, agent_id="far")
    agent.add_handler("work", work)
    with anyio.fail_after(PATIENCE):
        await agent.run(until_idle=True, handle_signals=False)
    ended = [await plane.jobs.get(job.job_id) for job in jobs]
    assert [job.state for job in ended] == [JobState.SUCCESS, JobState.FAILED]
    assert [job.attempt for job in ended] == [1, 1]
    assert ended[0].progress is not None
    assert (await plane.agents.get("far")).status is AgentStatus.TERMINATED


async def test_the_shell_handler_runs_over_http(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    job = await remote.queue.enqueue(JobSpec(job_type="shell", payload={"shell": "exit 3"}))
    agent = Agent(remote)
    agent.add_handler("shell", ShellHandler())
    with anyio.fail_after(PATIENCE):
        await agent.run(until_idle=True, handle_signals=False)
    assert (await plane.jobs.get(job.job_id)).exit_code == 3


async def test_a_waiting_claim_gets_the_job_that_comes(remote: RemoteControlPlane) -> None:
    taken: list[str] = []

    async def claim() -> None:
        for claimed in await remote.queue.claim(agent_id="a-1", wait=PATIENCE):
            taken.append(claimed.job.job_id)  # noqa: PERF401 - only at the end of the wait

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(claim)
            job = await remote.queue.enqueue(JobSpec(job_type="work"))
    assert taken == [job.job_id]


async def test_a_claim_that_is_repeated_takes_nothing_more(remote: RemoteControlPlane) -> None:
    for _ in range(2):
        await remote.queue.enqueue(JobSpec(job_type="work"))
    first = await remote.queue.claim(agent_id="a-1", request_id="r-1")
    again = await remote.queue.claim(agent_id="a-1", request_id="r-1")
    held = await remote.queue.held(agent_id="a-1", request_id="r-1")
    assert [each.token for each in first] == [each.token for each in again]
    assert [each.token for each in first] == [each.token for each in held]
    assert len(await remote.queue.claim(agent_id="a-1", limit=9)) == 1


async def test_a_completion_that_is_repeated_is_the_same(remote: RemoteControlPlane) -> None:
    await remote.queue.enqueue(JobSpec(job_type="work"))
    (claimed,) = await remote.queue.claim(agent_id="a-1", start=True)
    once = await remote.queue.complete(claimed, Outcome.exited(0))
    assert await remote.queue.complete(claimed, Outcome.exited(0)) == once
    with pytest.raises(LeaseLost) as lost:
        await remote.queue.complete(claimed, Outcome.exited(1))
    assert (lost.value.job_id, lost.value.fence) == (once.job_id, claimed.token.fence)


async def test_the_length_of_a_lease_travels_with_the_claim(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    await remote.queue.enqueue(JobSpec(job_type="work"))
    (claimed,) = await remote.queue.claim(agent_id="a-1", lease_seconds=5.0)
    assert claimed.lease_seconds == 5.0
    started = await remote.queue.start(claimed)
    assert (started.lease_seconds, started.seconds_left <= 5.0) == (5.0, True)
    (renewed,) = await remote.queue.renew([started])
    assert renewed.held
    assert renewed.seconds_left is not None
    assert renewed.seconds_left <= 5.0
    long = ClaimRef(job_id=started.job.job_id, token=started.token, lease_seconds=1e6)
    for queue in (plane.queue, remote.queue):
        with pytest.raises(InvalidInput, match="lease_seconds"):
            await queue.renew([long])


async def test_a_cancel_is_heard_by_the_holder(remote: RemoteControlPlane) -> None:
    job = await remote.queue.enqueue(JobSpec(job_type="work"))
    (claimed,) = await remote.queue.claim(agent_id="a-1", start=True)
    await remote.jobs.cancel(job.job_id, reason="superseded")
    (status,) = await remote.queue.renew([claimed])
    assert (status.held, status.cancel_requested, status.cancel_reason) == (
        True,
        True,
        "superseded",
    )


async def test_many_jobs_go_in_requests_that_the_server_takes(
    remote: RemoteControlPlane,
) -> None:
    large = JobSpec(job_type="work", payload={"text": "x" * 200_000})
    jobs = await remote.queue.enqueue_many([large] * 12)
    assert len({job.job_id for job in jobs}) == 12
    with pytest.raises(TooLarge, match="payload"):
        await remote.queue.enqueue_many([large, evolve(large, payload={"text": "x" * 300_000})])
    assert (await remote.queue.stats()).depth[QueueStatus.QUEUED] == 12


async def test_errors_are_those_of_the_services(remote: RemoteControlPlane) -> None:
    with pytest.raises(NotFound) as missing:
        await remote.jobs.get("nothing")
    assert (missing.value.kind, missing.value.key) == ("job", "nothing")
    with pytest.raises(InvalidInput) as refused:
        await remote.jobs.list(status="odd")
    assert refused.value.field == "status"
    await remote.agents.register(AgentSpec(agent_id="a-1"))
    with pytest.raises(AgentReplaced):
        await remote.agents.heartbeat("a-1", "0" * 32)


async def test_a_registration_shows_the_incarnation_and_no_read_does(
    remote: RemoteControlPlane, http: httpx2.AsyncClient
) -> None:
    agent = await remote.agents.register(AgentSpec(agent_id="team/a-1", slots=2))
    assert len(agent.incarnation) == 32
    beaten = await remote.agents.heartbeat("team/a-1", agent.incarnation, running=1)
    assert (beaten.status, beaten.incarnation) == (AgentStatus.HEALTHY, agent.incarnation)
    body = {"incarnation": agent.incarnation}
    answer = await http.post("/api/agents/team%2Fa-1/heartbeat", json=body)
    assert answer.json()["next_heartbeat_seconds"] == 10.0
    for path in ("/api/agents/team%2Fa-1", "/api/agents", "/api/agents/healthy"):
        assert agent.incarnation not in (await http.get(path)).text


async def test_a_number_that_is_none_of_json_is_refused_by_its_name(
    remote: RemoteControlPlane,
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await remote.queue.claim(agent_id="a-1", lease_seconds=float("nan"))
    assert refused.value.field == "lease_seconds"
    agent = await remote.agents.register(AgentSpec(agent_id="a-1"))
    metrics = AgentMetrics(cpu_percent=float("inf"))
    with pytest.raises(InvalidInput) as refused:
        await remote.agents.heartbeat("a-1", agent.incarnation, metrics=metrics)
    assert refused.value.field == "metrics.cpu_percent"


async def test_a_server_that_is_not_there_is_a_store_that_is_unavailable() -> None:
    async with RemoteControlPlane("http://127.0.0.1:1") as remote:
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1 is unreachable"):
            await remote.jobs.get("j-1")


@pytest.mark.parametrize("url", ["ftp://example.org", "example.org", 7])
async def test_what_is_no_url_of_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        RemoteControlPlane(url)


async def test_leases_are_renewed_over_http(
    plane: ControlPlane, remote: RemoteControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core.agent.lease_table.RENEWAL_PART", 1 / 300)
    renewed = anyio.Event()
    run_soon = run_soon_here()
    ends: set[float] = set()

    def follow(end: float) -> None:
        ends.add(end)
        if len(ends) > 3:
            run_soon(renewed.set)

    async def work(run: JobRun) -> None:
        with run.lease_followed(follow):
            await renewed.wait()

    job = await remote.queue.enqueue(JobSpec(job_type="work"))
    agent = Agent(remote)
    agent.add_handler("work", work)
    with anyio.fail_after(PATIENCE):
        await agent.run(until_idle=True, handle_signals=False)
    ended = await plane.jobs.get(job.job_id)
    assert (ended.state, ended.attempt) == (JobState.SUCCESS, 1)
