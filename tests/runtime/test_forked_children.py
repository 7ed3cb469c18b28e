"""A child that a handler forks ends with its part of the handler, and the parent's jobs go on."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

#: Runs one job, whose handler forks a child and returns the child's exit code. Whatever of the
#: program the child runs besides its part of the handler, it prints.
PROGRAM: Final = """
import os, sys
import anyio
from cicd_core import ControlPlane, JobSpec
from cicd_core.agent import Agent

backend, kind, ending = sys.argv[1:]
PARENT = os.getpid()

def work(run):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("child works")
    if ending == "exits":
        sys.exit(3)
    if ending == "raises":
        raise ValueError("in the child")

async def work_here(run):
    return work(run)

async def main():
    async with ControlPlane.open("memory://") as plane:
        agent = Agent(plane)
        agent.add_handler("fork", work_here if kind == "async" else work)
        job = await plane.queue.enqueue(JobSpec(job_type="fork"))
        await agent.run(until_idle=True, handle_signals=False)
        print((await plane.jobs.get(job.job_id)).exit_code)

try:
    anyio.run(main, backend=backend)
finally:
    if os.getpid() != PARENT:
        print("the child goes on")
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("ending", "code"), [("exits", 3), ("raises", 1), ("returns", 0)])
@pytest.mark.parametrize("kind", ["async", "thread"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_forked_child_ends_where_it_leaves_the_handler(
    backend: str, kind: str, ending: str, code: int
) -> None:
    command = [sys.executable, "-u", "-c", PROGRAM, backend, kind, ending]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.splitlines() == ["child works", str(code)]
    assert ("ValueError: in the child" in done.stderr) is (ending == "raises")
