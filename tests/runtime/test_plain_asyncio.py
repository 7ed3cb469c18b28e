"""Agents in a program that runs asyncio itself, and handlers that use its task groups."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

import anyio
import pytest

from cicd_core import AgentStatus, ControlPlane, Delivery, InvalidInput, JobSpec, JobState
from cicd_core.agent import Agent
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core.agent import Handler, JobRun
    from cicd_core.model.job import Job
    from cicd_core.store.records import Claim, Record


async def run_one(handler: Handler, *, cancel: bool = False, timeout_seconds: float = 60.0) -> Job:
    """Run one job in a program's own event loop, and return how it ended."""
    async with ControlPlane.open("memory://") as plane:
        agent = Agent(plane)

        async def cancelling(run: JobRun) -> None:
            await plane.jobs.cancel(run.job.job_id)
            await handler(run)  # type: ignore[misc]  # these handlers are async

        agent.add_handler("build", cancelling if cancel else handler)
        spec = JobSpec(job_type="build", timeout_seconds=timeout_seconds)
        job = await plane.queue.enqueue(spec)
        with anyio.fail_after(PATIENCE):
            await agent.run(until_idle=True, handle_signals=False)
        return await plane.jobs.get(job.job_id)


async def fail() -> None:
    raise ValueError("a task of the handler")


async def go_on_after_a_failed_group(_run: JobRun) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
    except* ValueError:
        pass
    await asyncio.sleep(3600)


def test_progress_that_only_a_thread_tells_arrives() -> None:
    def tell(run: JobRun) -> None:
        run.progress_soon(30, "from a thread")

    job = asyncio.run(run_one(tell))
    assert job.progress is not None
    assert (job.state, job.progress.percent) == (JobState.SUCCESS, 30)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("cancel", "seconds", "state"),
    [(False, 0.2, JobState.TIMEOUT), (True, 60.0, JobState.CANCELLED)],
)
def test_handler_that_caught_the_error_of_a_task_group_is_stopped_with_its_true_verdict(
    cancel: bool, seconds: float, state: JobState
) -> None:
    job = asyncio.run(run_one(go_on_after_a_failed_group, cancel=cancel, timeout_seconds=seconds))
    assert job.state is state


async def end_twice(*, while_it_gives_back: bool) -> tuple[Job, AgentStatus]:
    """Cancel an agent that has claimed a job, and again while it gives back, or says farewell."""
    async with ControlPlane.open("memory://") as plane:
        agent = Agent(plane, agent_id="a-1", claim_wait=0.0)
        agent.add_handler("build", go_on_after_a_failed_group)
        claimed, ending = asyncio.Event(), asyncio.Event()
        claim, held, deregister = plane.queue.claim, plane.queue.held, plane.agents.deregister

        async def claim_without_an_answer(**options: Any) -> Any:
            await claim(**options)
            claimed.set()
            await asyncio.sleep(3600)

        async def pause(*, gives_back: bool) -> None:
            if gives_back is while_it_gives_back:
                ending.set()
            for _ in range(10):
                await asyncio.sleep(0)

        async def held_at_last(**options: Any) -> Any:
            await pause(gives_back=True)
            return await held(**options)

        async def deregister_at_last(*arguments: Any, **options: Any) -> Any:
            await pause(gives_back=False)
            return await deregister(*arguments, **options)

        with (
            mock.patch.object(plane.queue, "claim", claim_without_an_answer),
            mock.patch.object(plane.queue, "held", held_at_last),
            mock.patch.object(plane.agents, "deregister", deregister_at_last),
        ):
            spec = JobSpec(job_type="build", delivery=Delivery.AT_MOST_ONCE)
            job = await plane.queue.enqueue(spec)
            task = asyncio.create_task(agent.run(handle_signals=False))
            for step in (claimed, ending):
                await asyncio.wait_for(step.wait(), PATIENCE)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return await plane.jobs.get(job.job_id), (await plane.agents.get("a-1")).status


@pytest.mark.parametrize("while_it_gives_back", [True, False])
def test_agent_that_is_cancelled_twice_gives_back_and_says_farewell(
    while_it_gives_back: bool,
) -> None:
    job, status = asyncio.run(end_twice(while_it_gives_back=while_it_gives_back))
    assert (job.state, job.attempts_used) == (JobState.QUEUED, 0)
    assert status is AgentStatus.TERMINATED


async def claim_cancelled_twice() -> Job:
    """Cancel a claim whose answer has not come, and again while it is given back."""
    async with ControlPlane.open("memory://") as plane:
        claimed, giving_back = asyncio.Event(), asyncio.Event()
        claim = plane.store.claim

        async def claim_slowly(wanted: Claim) -> list[Record]:
            found = await claim(wanted)
            (claimed if wanted.limit else giving_back).set()
            for _ in range(10):
                await asyncio.sleep(0)
            return found

        with mock.patch.object(plane.store, "claim", claim_slowly):
            spec = JobSpec(job_type="build", delivery=Delivery.AT_MOST_ONCE)
            job = await plane.queue.enqueue(spec)
            task = asyncio.create_task(plane.queue.claim(agent_id="a-1", start=True))
            for step in (claimed, giving_back):
                await asyncio.wait_for(step.wait(), PATIENCE)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return await plane.jobs.get(job.job_id)


def test_claim_that_is_cancelled_twice_is_given_back() -> None:
    job = asyncio.run(claim_cancelled_twice())
    assert (job.state, job.attempts_used) == (JobState.QUEUED, 0)


def test_line_of_a_log_that_is_no_text_is_refused_by_its_name() -> None:
    refused: list[str] = []

    async def tell(run: JobRun) -> None:
        for line in (None, 1, b"bytes", object()):
            given: Any = line
            try:
                run.log(given)
            except InvalidInput as error:
                refused.append(error.field)

    assert asyncio.run(run_one(tell)).state is JobState.SUCCESS
    assert refused == ["line"] * 4
