"""The runtime and the real control plane, over memory and over SQLite."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, Settings
from cicd_core.agent import Agent, JobFailed, JobRun
from cicd_core.errors import AgentReplaced, AgentUnavailable, LeaseLost, TooLarge
from cicd_core.model.agent import AgentMetrics, AgentSpec, AgentStatus
from cicd_core.model.job import Delivery, Job, JobState, JobStatus, RetryPolicy, Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path

    from cicd_core.agent.protocols import AgentRegistry, WorkQueue, WorkSource
    from cicd_core.model.claim import ClaimedJob, LeaseStatus

pytestmark = pytest.mark.anyio

T = TypeVar("T")

AT_ONCE = RetryPolicy(max_attempts=3, backoff_base=0.0)


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.asyncio_only)])
async def plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ControlPlane]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'ci.db'}"
    settings = Settings(lease_seconds=1.0, sweep_seconds=0.05)
    async with ControlPlane.open(url, settings=settings) as opened:
        yield opened


async def added(plane: ControlPlane, **fields: Any) -> str:
    job = await plane.queue.enqueue(JobSpec(job_type="work", **fields))
    return job.job_id


async def asked(look: Callable[[], Awaitable[T]], so: Callable[[T], object]) -> T:
    """What is found, when something is so of it: nobody tells, so it is asked again and again."""
    with anyio.fail_after(PATIENCE):
        while not so(found := await look()):  # noqa: ASYNC110 - as above
            await anyio.sleep(0.02)
    return found


async def when(plane: ControlPlane, job_id: str, so: Callable[[Job], object]) -> Job:
    """The job, when something is so of it."""
    return await asked(partial(plane.jobs.get, job_id), so)


async def test_a_job_runs_and_all_of_it_can_be_seen(plane: ControlPlane, tmp_path: Path) -> None:
    async def work(run: JobRun) -> int:
        await run.progress(50, "half way")
        run.log(f"building {run.payload['what']}")
        return 0

    job_id = await added(plane, payload={"what": "the house"})
    agent = agent_of(plane, work, log_dir=tmp_path / "logs")
    await run_until_idle(agent)
    job = await plane.jobs.get(job_id)
    assert (job.status, job.exit_code, job.attempt) == (JobStatus.SUCCESS, 0, 1)
    assert job.progress is not None
    assert job.progress.percent == 50
    assert job.logs_url == (tmp_path / "logs" / f"{job_id}-1.log").as_uri()
    assert job.logs_summary == "building the house\n"
    assert job.agent_id == agent.agent_id
    record = await plane.agents.get(agent.agent_id)
    assert record.status is AgentStatus.TERMINATED


async def test_a_failure_is_final_and_an_error_is_tried_again(plane: ControlPlane) -> None:
    attempts: Counter[str] = Counter()

    async def work(run: JobRun) -> None:
        attempts[run.job.job_id] += 1
        if run.payload["how"] == "fail":
            raise JobFailed("3 tests failed", exit_code=1)
        if run.payload["how"] == "break" or run.job.attempt == 1:
            raise OSError("network down")

    failed, shaky, broken = [
        await added(plane, payload={"how": how}, retry=AT_ONCE)
        for how in ("fail", "shake", "break")
    ]
    async with running(agent_of(plane, work, slots=3)):
        jobs = [
            await when(plane, job_id, lambda job: job.completed_at is not None)
            for job_id in (failed, shaky, broken)
        ]
    assert [job.state for job in jobs] == [
        JobState.FAILED,
        JobState.SUCCESS,
        JobState.DEAD_LETTERED,
    ]
    assert attempts == {failed: 1, shaky: 2, broken: 3}
    assert jobs[2].error_message == "OSError: network down"


async def test_a_cancel_reaches_the_handler_and_is_confirmed(plane: ControlPlane) -> None:
    seen: list[str | None] = []

    async def wait(run: JobRun) -> None:
        await plane.jobs.cancel(run.job.job_id, reason="superseded")
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(run.cancel_reason)

    job_id = await added(plane)
    await run_until_idle(agent_of(plane, wait))
    job = await plane.jobs.get(job_id)
    assert job.state is JobState.CANCELLED
    assert job.attempts[-1].own_verdict is Verdict.CANCELLED
    assert seen == ["superseded"]


async def test_a_job_that_takes_too_long_times_out(plane: ControlPlane) -> None:
    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    job_id = await added(plane, timeout_seconds=0.1)
    await run_until_idle(agent_of(plane, wait))
    job = await plane.jobs.get(job_id)
    assert job.state is JobState.TIMEOUT
    assert job.attempts[-1].own_verdict is Verdict.TIMEOUT


async def test_a_drain_gives_jobs_back_and_uses_no_attempt(plane: ControlPlane) -> None:
    began = anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    job_id = await added(plane)
    async with running(agent_of(plane, wait, grace_seconds=0.0)):
        await began.wait()
    job = await plane.jobs.get(job_id)
    assert (job.state, job.attempt, job.attempts_used) == (JobState.QUEUED, 1, 0)


async def test_a_job_that_may_run_once_only_is_not_run_again_after_a_drain(
    plane: ControlPlane,
) -> None:
    began = anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    job_id = await added(plane, delivery=Delivery.AT_MOST_ONCE)
    async with running(agent_of(plane, wait, grace_seconds=0.0)):
        await began.wait()
    assert (await plane.jobs.get(job_id)).state is JobState.ERROR


async def test_an_agent_that_is_cancelled_gives_its_jobs_back(plane: ControlPlane) -> None:
    began = anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    job_id = await added(plane)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(plane, wait).run, handle_signals=False))
        await began.wait()
        tasks.cancel_scope.cancel()
    assert (await plane.jobs.get(job_id)).attempts_used == 0


async def test_an_agent_takes_over_from_one_that_was_lost(plane: ControlPlane) -> None:
    fences: list[int] = []

    async def work(run: JobRun) -> None:
        fences.append(run.fence)

    job_id = await added(plane, retry=AT_ONCE)
    (lost,) = await plane.queue.claim(agent_id="lost", start=True)  # and never renewed
    async with running(agent_of(plane, work)):
        job = await when(plane, job_id, lambda job: job.completed_at is not None)
    assert job.state is JobState.SUCCESS
    assert fences[0] > lost.token.fence
    with pytest.raises(LeaseLost):
        await plane.queue.release(lost, reason="late")


async def test_several_agents_share_the_work(plane: ControlPlane) -> None:
    runs: Counter[str] = Counter()

    async def work(run: JobRun) -> None:
        runs[run.job.job_id] += 1
        await anyio.lowlevel.checkpoint()

    specs = [JobSpec(job_type="work", payload={"number": number}) for number in range(60)]
    jobs = await plane.queue.enqueue_many(specs)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(run_until_idle, agent_of(plane, work, slots=4))
    assert runs == {job.job_id: 1 for job in jobs}


async def test_work_that_comes_later_is_noticed(plane: ControlPlane) -> None:
    async def work(run: JobRun) -> None:
        """A job with nothing to do."""

    async with running(agent_of(plane, work, claim_wait=600.0)):
        for _ in range(3):
            job_id = await added(plane)
            await when(plane, job_id, lambda job: job.state is JobState.SUCCESS)


async def test_heartbeats_tell_how_the_agent_is(plane: ControlPlane) -> None:
    async def work(run: JobRun) -> None:
        """A job with nothing to do."""

    hot = AgentMetrics(cpu_percent=99)
    agent = agent_of(plane, work, metrics=lambda: hot, heartbeat_interval_seconds=0.05)
    async with running(agent):
        await asked(
            partial(plane.agents.in_pool, "default"),
            lambda found: [each.status for each in found] == [AgentStatus.UNHEALTHY],
        )


async def test_an_operator_drains_an_agent(plane: ControlPlane) -> None:
    async def work(run: JobRun) -> None:
        await plane.agents.drain(run.job.agent_id or "", reason="the machine goes")

    job_id = await added(plane)
    with anyio.fail_after(PATIENCE):
        await agent_of(plane, work, heartbeat_interval_seconds=0.05).run(handle_signals=False)
    assert (await plane.jobs.get(job_id)).state is JobState.SUCCESS


async def test_an_agent_whose_id_another_process_takes_ends(plane: ControlPlane) -> None:
    async def work(run: JobRun) -> None:
        await plane.agents.register(AgentSpec(agent_id="twin"))

    await added(plane)
    agent = agent_of(plane, work, agent_id="twin", heartbeat_interval_seconds=0.05)
    with anyio.fail_after(PATIENCE), pytest.raises(AgentReplaced, match="another process"):
        await agent.run(handle_signals=False)


async def test_an_agent_that_was_unhealthy_works_when_it_is_better(plane: ControlPlane) -> None:
    async def work(run: JobRun) -> None:
        """A job with nothing to do."""

    load = [99.0]
    agent = agent_of(
        plane,
        work,
        agent_id="ill",
        metrics=lambda: AgentMetrics(disk_percent=load[0]),
        heartbeat_interval_seconds=0.05,
    )
    async with running(agent):
        await asked(
            partial(plane.agents.in_pool, "default"),
            lambda found: [each.status for each in found] == [AgentStatus.UNHEALTHY],
        )
        await plane.agents.set_status("ill", "unhealthy", reason="look at its disk")
        job_id = await added(plane)
        with pytest.raises(AgentUnavailable):
            await plane.queue.claim(agent_id="ill")
        assert (await plane.jobs.get(job_id)).state is JobState.QUEUED
        load[0] = 10.0
        await plane.agents.set_status("ill", "healthy", reason="it is free again")
        await when(plane, job_id, lambda job: job.state is JobState.SUCCESS)


class Counted:
    """A control plane whose siblings tell how often they renewed."""

    def __init__(self, plane: ControlPlane, renewed: Callable[[], object]) -> None:
        self._plane = plane
        self._renewed = renewed

    @property
    def queue(self) -> WorkQueue:
        return self._plane.queue

    @property
    def agents(self) -> AgentRegistry:
        return self._plane.agents

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[WorkSource]:
        async with self._plane.sibling() as sibling:
            renew = sibling.queue.renew

            async def counted(claims: Sequence[ClaimedJob]) -> list[LeaseStatus]:
                statuses = await renew(claims)
                self._renewed()
                return statuses

            sibling.queue.renew = counted  # type: ignore[assignment, method-assign]  # a narrower
            # type: the runtime never renews by a bare token
            yield sibling


async def test_leases_live_while_a_handler_blocks_the_event_loop(plane: ControlPlane) -> None:
    renewals = threading.Semaphore(0)

    async def block(run: JobRun) -> None:
        for _ in range(4):  # 4/3 of the life of the lease
            assert renewals.acquire(timeout=PATIENCE)

    job_id = await added(plane)
    await run_until_idle(agent_of(Counted(plane, renewals.release), block))
    job = await plane.jobs.get(job_id)
    assert (job.state, job.attempt) == (JobState.SUCCESS, 1)


async def test_an_agent_with_handlers_for_256_types_does_them_and_takes_no_more(
    plane: ControlPlane,
) -> None:
    done: list[str] = []

    def work(run: JobRun) -> None:
        done.append(run.job.job_type)

    agent = Agent(plane, slots=4)
    types = [f"type-{number:03}" for number in range(256)]
    for job_type in types:
        agent.add_handler(job_type, work)
    with pytest.raises(TooLarge, match="257 job types is over the limit of 256") as refused:
        agent.add_handler("one-more", work)
    assert refused.value.field == "handlers"
    for job_type in (types[0], types[-1]):
        await plane.queue.enqueue(JobSpec(job_type=job_type))
    await run_until_idle(agent)
    assert sorted(done) == [types[0], types[-1]]
