"""A handler that goes on after it was stopped takes a slot: it is told, and may end the process."""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio import fail_after, run_process

from cicd_core import ControlPlane, JobSpec
from cicd_core.agent import Agent, JobRun
from cicd_core.agent.stuck import EXIT_STUCK
from cicd_core.errors import InvalidInput
from cicd_core.model.agent import AgentStatus
from cicd_core.model.job import JobState
from cicd_core.queueing.why import ReasonCode
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, running
from tests.runtime.test_over_control_plane import asked

if TYPE_CHECKING:
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


class Hangs:
    """A handler in a thread that does not look whether it must stop."""

    #: It should be quick.
    stop_seconds = 0.05

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, run: JobRun) -> None:
        assert self.let_go.wait(30)


async def test_heartbeats_name_a_job_that_is_stuck_until_it_ends(source: FakeSource) -> None:
    hangs = Hangs()
    job = source.add(timeout_seconds=0.05)
    async with running(agent_of(source, hangs, heartbeat_interval_seconds=0.05)):
        await source.until(lambda: any(beat["stuck"] for beat in source.called("heartbeat")))
        (stuck,) = source.called("heartbeat")[-1]["stuck"]
        assert (stuck.job_id, stuck.reason) == (job, "timeout")
        assert stuck.seconds > hangs.stop_seconds
        hangs.let_go.set()
        await source.until(lambda: source.outcomes)
        number = len(source.called("heartbeat"))
        await source.until(lambda: len(source.called("heartbeat")) > number + 1)
    assert source.called("heartbeat")[-1]["stuck"] == []


async def test_a_handler_that_has_ended_is_not_stuck_while_its_report_is_repeated(
    source: FakeSource,
) -> None:
    class Quick:
        stop_seconds = 0.0

        def __call__(self, run: JobRun) -> None:
            while not run.cancelled:
                threading.Event().wait(0.01)

    source.add(timeout_seconds=0.05)
    source.trouble("complete", times=None)
    async with running(agent_of(source, Quick(), heartbeat_interval_seconds=0.05, slots=2)):
        await source.until(lambda: source.called("complete"))
        number = len(source.called("heartbeat"))
        await source.until(lambda: len(source.called("heartbeat")) > number + 2)
        assert all(not beat["stuck"] for beat in source.called("heartbeat")[number:])
        source.mend("complete")


async def test_the_fleet_and_a_job_that_waits_know_of_a_slot_that_is_stuck() -> None:
    hangs = Hangs()
    async with ControlPlane.open("memory://") as plane:
        hung = await plane.queue.enqueue(JobSpec(job_type="work", timeout_seconds=0.1))
        agent = agent_of(plane, hangs, agent_id="a-1", heartbeat_interval_seconds=0.05)
        async with running(agent):
            await asked(partial(plane.agents.in_pool, "default"), lambda agents: agents)
            record = await asked(partial(plane.agents.get, "a-1"), lambda agent: agent.stuck)
            waiting = await plane.queue.enqueue(JobSpec(job_type="work"))
            (reason,) = await plane.jobs.why(waiting.job_id)
            hangs.let_go.set()
            await asked(partial(plane.jobs.get, waiting.job_id), lambda job: job.is_final)
        assert record.status is AgentStatus.UNHEALTHY
        assert [job.job_id for job in record.stuck] == [hung.job_id]
        assert hung.job_id in str(record.status_reason)
        assert reason.code is ReasonCode.SLOTS_STUCK
        assert hung.job_id in reason.message


@pytest.mark.thorough
@pytest.mark.asyncio_only
@pytest.mark.parametrize("how", ["thread", "loop"])
async def test_a_process_with_a_stuck_slot_ends_so_that_it_is_started_again(
    tmp_path: Path, how: str
) -> None:
    async with ControlPlane.open(f"sqlite:///{tmp_path / 'ci.db'}") as plane:
        ends = await plane.queue.enqueue(JobSpec(job_type="ends"))
        await plane.queue.enqueue(JobSpec(job_type="never", timeout_seconds=0.1))
        command = [sys.executable, "-m", "tests.runtime.stuck_agent", str(tmp_path), how]
        with fail_after(PATIENCE):
            ended = await run_process(command, cwd=ROOT, check=False)
        assert ended.returncode == EXIT_STUCK
        assert b"1 slot is stuck for more than" in ended.stderr
        agent = await plane.agents.get("stuck")
        assert agent.status is AgentStatus.TERMINATED
        assert "1 slot is stuck" in str(agent.status_reason)
        if how == "thread":
            assert (await plane.jobs.get(ends.job_id)).state is JobState.SUCCESS


@pytest.mark.parametrize(
    ("field", "value"), [("exit_when_stuck", 0), ("exit_when_stuck", 2), ("stuck_seconds", -1.0)]
)
async def test_a_wrong_limit_is_refused_by_its_name(
    source: FakeSource, field: str, value: float
) -> None:
    options: dict[str, Any] = {field: value}
    with pytest.raises(InvalidInput, match=field):
        Agent(source, slots=1, **options)


async def test_a_handler_s_stop_seconds_must_be_a_duration(source: FakeSource) -> None:
    hangs = Hangs()
    hangs.stop_seconds = float("nan")
    with pytest.raises(InvalidInput, match="stop_seconds"):
        agent_of(source, hangs)
