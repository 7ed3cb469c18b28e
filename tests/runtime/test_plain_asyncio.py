"""Agents in a program that runs asyncio itself, and handlers that use its task groups."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import ControlPlane, InvalidInput, JobSpec, JobState
from cicd_core.agent import Agent
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core.agent import Handler, JobRun
    from cicd_core.model.job import Job


async def run_one(handler: Handler, *, cancel: bool = False, timeout_seconds: float = 60.0) -> Job:
    """Run one job in a program's own event loop, and return how it ended."""
    async with ControlPlane.open() as plane:
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


@pytest.mark.parametrize(
    ("cancel", "seconds", "state"),
    [(False, 0.2, JobState.TIMEOUT), (True, 60.0, JobState.CANCELLED)],
)
def test_handler_that_caught_the_error_of_a_task_group_is_stopped_with_its_true_verdict(
    cancel: bool, seconds: float, state: JobState
) -> None:
    job = asyncio.run(run_one(go_on_after_a_failed_group, cancel=cancel, timeout_seconds=seconds))
    assert job.state is state


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
