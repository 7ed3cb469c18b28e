"""An agent that runs in the background of a block."""

from __future__ import annotations

import signal
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from cicd_core import (
    AgentReplaced,
    AgentSpec,
    ControlPlane,
    InvalidInput,
    JobSpec,
    JobState,
    OperationRejected,
)
from cicd_core.agent import Agent, JobRun
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    with anyio.fail_after(PATIENCE):
        async with ControlPlane.open("memory://") as opened:
            yield opened


def made(plane: ControlPlane, handler: Any = lambda run: 0, **options: Any) -> Agent:
    agent = Agent(plane, agent_id="a1", **options)
    agent.add_handler("build", handler)
    return agent


async def told_of(plane: ControlPlane, kind: str) -> None:
    """Return when the log tells of that for the first time."""
    async with aclosing(plane.events.follow(types=[kind])) as events:
        await anext(events)


async def status_of(plane: ControlPlane) -> str:
    return (await plane.agents.get("a1")).status.value


async def test_it_does_jobs_while_the_block_runs_and_is_gone_after_it(plane: ControlPlane) -> None:
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with made(plane).running() as agent:
        assert agent.agent_id == "a1"
        assert (await plane.jobs.wait(job.job_id)).state is JobState.SUCCESS
    assert await status_of(plane) == "terminated"


async def test_a_job_in_hand_is_finished_at_the_end_of_the_block(plane: ControlPlane) -> None:
    begun, may_end = anyio.Event(), anyio.Event()

    async def handler(run: JobRun) -> None:
        begun.set()
        await may_end.wait()

    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with made(plane, handler).running():
        await begun.wait()
        may_end.set()
    assert (await plane.jobs.get(job.job_id)).state is JobState.SUCCESS


async def test_a_job_that_takes_longer_than_the_grace_is_given_back(plane: ControlPlane) -> None:
    begun = anyio.Event()

    async def handler(run: JobRun) -> None:
        begun.set()
        await anyio.sleep_forever()

    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with made(plane, handler, grace_seconds=0).running():
        await begun.wait()
    found = await plane.jobs.get(job.job_id)
    assert (found.state, found.attempts_used) == (JobState.QUEUED, 0)


async def test_the_same_agent_runs_again_in_another_block(plane: ControlPlane) -> None:
    agent = made(plane)
    for _ in range(2):
        job = await plane.queue.enqueue(JobSpec(job_type="build"))
        async with agent.running():
            assert (await plane.jobs.wait(job.job_id)).state is JobState.SUCCESS


async def test_an_agent_that_an_operator_drained_runs_again_in_another_block(
    plane: ControlPlane,
) -> None:
    agent = made(plane, heartbeat_interval_seconds=0.01)
    async with agent.running():
        await told_of(plane, "agent.registered")
        await plane.agents.drain("a1", reason="for its new kernel")
        await told_of(plane, "agent.terminated")
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with agent.running():
        assert (await plane.jobs.wait(job.job_id)).state is JobState.SUCCESS


async def test_an_empty_block_ends(plane: ControlPlane) -> None:
    async with made(plane).running():
        pass


async def test_what_the_block_raises_comes_out_as_it_is(plane: ControlPlane) -> None:
    async def fail() -> None:
        async with made(plane).running():
            await told_of(plane, "agent.registered")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail()
    assert await status_of(plane) == "terminated"


async def test_what_ends_the_agent_early_ends_the_block_and_comes_out_as_it_is(
    plane: ControlPlane,
) -> None:
    async def be_replaced() -> None:
        async with made(plane, heartbeat_interval_seconds=0.01).running():
            await told_of(plane, "agent.registered")
            await plane.agents.register(AgentSpec(agent_id="a1"))
            await anyio.sleep_forever()

    with pytest.raises(AgentReplaced):
        await be_replaced()


async def test_a_cancelled_block_ends_the_agent_at_once(plane: ControlPlane) -> None:
    begun = anyio.Event()

    async def handler(run: JobRun) -> None:
        begun.set()
        await anyio.sleep_forever()

    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    with anyio.CancelScope() as scope:
        async with made(plane, handler, grace_seconds=3600).running():
            await begun.wait()
            scope.cancel()
            await anyio.sleep_forever()
    assert (await plane.jobs.get(job.job_id)).state is JobState.QUEUED
    assert await status_of(plane) == "terminated"


async def test_an_agent_without_handlers_is_refused_before_the_block(plane: ControlPlane) -> None:
    with pytest.raises(InvalidInput, match="handlers"):
        async with Agent(plane).running():
            pytest.fail("the block was entered")


async def test_an_agent_that_runs_is_refused_a_second_time(plane: ControlPlane) -> None:
    agent = made(plane)
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with agent.running():
        await plane.jobs.wait(job.job_id)
        with pytest.raises(OperationRejected, match="already runs"):
            async with agent.running():
                pytest.fail("the block was entered")
        again = await plane.queue.enqueue(JobSpec(job_type="build"))
        assert (await plane.jobs.wait(again.job_id)).state is JobState.SUCCESS


async def test_no_signal_is_touched(plane: ControlPlane) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    job = await plane.queue.enqueue(JobSpec(job_type="build"))
    async with made(plane).running():
        await plane.jobs.wait(job.job_id)
        assert [signal.getsignal(number) for number in numbers] == before
