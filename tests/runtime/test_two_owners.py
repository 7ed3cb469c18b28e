"""A job's second attempt begins after its first one has ended, however the first agent is cut off.

Both attempts write their number into one file, a line a step: the order of the lines is the order
of what they did.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, Settings
from cicd_core.agent import Agent
from cicd_core.agent.shell import ShellHandler
from cicd_core.errors import StoreUnavailable
from cicd_core.model.job import JobState, RetryPolicy
from tests.patience import PATIENCE
from tests.runtime.leased_agent import LEASE_SECONDS
from tests.runtime.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from cicd_core.agent import JobRun
    from cicd_core.agent.protocols import AgentRegistry, WorkQueue, WorkSource
    from cicd_core.model.claim import ClaimedJob, LeaseStatus

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

ROOT = Path(__file__).parents[2]
AT_ONCE = RetryPolicy(max_attempts=3, backoff_base=0.0, jitter=0.0)
#: Half a second before its end all work on it has ended: on a busy machine those that end it get
#: no processor at once.
SETTINGS = Settings(lease_seconds=LEASE_SECONDS, sweep_seconds=0.05)


class Cut:
    """A control plane whose renewals do not arrive; all else does."""

    def __init__(self, plane: WorkSource) -> None:
        self._plane = plane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane.queue, name)

    @property
    def queue(self) -> WorkQueue:
        return cast("WorkQueue", self)

    @property
    def agents(self) -> AgentRegistry:
        return self._plane.agents

    async def renew(self, claims: Sequence[ClaimedJob]) -> list[LeaseStatus]:
        raise StoreUnavailable("the cable was cut")

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[Cut]:
        async with self._plane.sibling() as plane:
            yield Cut(plane)


def endless(folder: Path) -> str:
    """A command that writes a line a step, and dies of SIGKILL alone."""
    step = f"echo $CICD_ATTEMPT >> {folder}/lines; sleep 0.01"
    return f"trap '' TERM; while [ $CICD_ATTEMPT = 1 ]; do {step}; done; {step}"


def lines(folder: Path) -> list[str]:
    file = folder / "lines"
    return file.read_text().split() if file.exists() else []


def second_agent(plane: ControlPlane, folder: Path) -> Agent:
    agent = Agent(plane, agent_id="second", slots=2)
    agent.add_handler("shell", ShellHandler(work_dir=folder / "second"))

    @agent.handler("thread")
    def write(run: JobRun) -> None:
        with (folder / "lines").open("a") as file:
            file.write(f"{run.job.attempt}\n")

    return agent


@asynccontextmanager
async def working(*agents: Agent) -> AsyncGenerator[None]:
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(partial(agent.run, handle_signals=False))
            yield
            for agent in agents:
                agent.drain("the test is over")


@contextmanager
def first_agent(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.runtime.leased_agent", str(folder)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.thorough
@pytest.mark.parametrize("kill_after", [0.1, 5.0, 600.0])
async def test_a_command_whose_lease_can_t_be_renewed_ends_before_the_next_owner_begins(
    tmp_path: Path, kill_after: float
) -> None:
    async with ControlPlane.open("memory://", settings=SETTINGS) as plane:
        spec = JobSpec(job_type="shell", payload={"shell": endless(tmp_path)}, retry=AT_ONCE)
        job_id = (await plane.queue.enqueue(spec)).job_id
        cut = Agent(Cut(plane), agent_id="first")
        handler = ShellHandler(work_dir=tmp_path / "first", kill_after=kill_after)
        cut.add_handler("shell", handler)
        async with working(cut):
            await until(lambda: "1" in lines(tmp_path))
            async with working(second_agent(plane, tmp_path)):
                await until(lambda: "2" in lines(tmp_path))
        assert lines(tmp_path) == sorted(lines(tmp_path))
        assert (await plane.jobs.get(job_id)).state is JobState.SUCCESS


async def stop_outside_of_the_store(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop a process, but not with the writers' lock of its store in its hands."""

    def stopped() -> bool:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then it may still take the lock
        with (folder / "ci.db-lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                process.send_signal(signal.SIGCONT)
                return False
        return True

    await until(stopped)


@pytest.mark.thorough
@pytest.mark.parametrize("job_type", ["shell", "thread"])
async def test_the_work_of_an_agent_that_is_stopped_ends_before_the_next_owner_begins(
    tmp_path: Path, job_type: str
) -> None:
    url = f"sqlite:///{tmp_path / 'ci.db'}"
    async with ControlPlane.open(url, settings=SETTINGS) as plane:
        spec = JobSpec(
            job_type=job_type,
            payload={"shell": endless(tmp_path)} if job_type == "shell" else {},
            retry=AT_ONCE,
        )
        job_id = (await plane.queue.enqueue(spec)).job_id
        with first_agent(tmp_path) as process:
            await until(lambda: "1" in lines(tmp_path))
            await stop_outside_of_the_store(process, tmp_path)
            async with working(second_agent(plane, tmp_path)):
                await until(lambda: "2" in lines(tmp_path))
                (tmp_path / "go").touch()
                process.send_signal(signal.SIGCONT)
                await plane.agents.drain("first", reason="it has stood still for long enough")
                await until(lambda: process.poll() is not None)
        assert lines(tmp_path) == sorted(lines(tmp_path))
        job = await plane.jobs.get(job_id)
        assert (job.state, job.agent_id) == (JobState.SUCCESS, "second")
