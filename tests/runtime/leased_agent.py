"""A program that embeds an agent over a store in a file; the tests stop it and let it go on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio

from cicd_core import ControlPlane, Settings
from cicd_core.agent import Agent, JobRun
from cicd_core.agent.shell import ShellHandler

LEASE_SECONDS = 6.0


async def main(folder: Path) -> None:
    """Work until this agent is drained."""
    settings = Settings(lease_seconds=LEASE_SECONDS)
    url = f"sqlite:///{folder / 'ci.db'}"
    async with ControlPlane.open(url, settings=settings, maintenance=False) as plane:
        agent = Agent(plane, agent_id="first", heartbeat_interval_seconds=0.2)
        agent.add_handler("shell", ShellHandler(work_dir=folder / "first"))

        @agent.handler("thread")
        def write(run: JobRun) -> None:
            while not run.cancelled:
                with (folder / "lines").open("a") as lines:
                    lines.write(f"{run.job.attempt}\n")
                while not (folder / "go").exists():  # the test stops the process meanwhile
                    time.sleep(0.01)

        await agent.run()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
