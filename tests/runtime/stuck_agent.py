"""A program that embeds an agent whose handler never ends; the tests look at how it ends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import anyio

from cicd_core import ControlPlane, Settings
from cicd_core.agent import Agent, JobRun, agent_session
from cicd_core.model.agent import AgentStatus


async def main(folder: Path, how: str) -> None:
    """Run until the agent ends the process."""
    if how == "loop":  # nothing will end any more: it need not be waited for
        setattr(agent_session, "LAST_WORDS_SECONDS", 0.5)  # noqa: B010 - the module exports it not
    url = f"sqlite:///{folder / 'ci.db'}"
    async with ControlPlane.open(url, settings=Settings(), maintenance=False) as plane:
        agent = Agent(
            plane,
            agent_id="stuck",
            slots=2,
            grace_seconds=0.5 if how == "loop" else 30.0,
            exit_when_stuck=1,
            stuck_seconds=0.1,
        )

        class Never:
            stop_seconds = 0.1

            def __call__(self, run: JobRun) -> None:
                threading.Event().wait()

        class NeverInTheLoop:
            stop_seconds = 0.1

            async def __call__(self, run: JobRun) -> None:
                threading.Event().wait()

        @agent.handler("ends")
        async def end(run: JobRun) -> None:
            status = None
            while status is not AgentStatus.TERMINATING and how == "thread":
                await anyio.sleep(0.01)
                status = (await plane.agents.get("stuck")).status

        agent.add_handler("never", Never() if how == "thread" else NeverInTheLoop())
        await agent.run()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
