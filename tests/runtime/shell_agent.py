"""A program that embeds an agent with the shell handler and one endless job; it gets SIGKILL."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from cicd_core.agent import Agent
from cicd_core.agent.shell import ShellHandler
from cicd_core.model.git import GitContext
from tests.runtime.fake_source import FakeSource

#: A command that does not die of a signal that can be caught, with a child of its own.
LINE = """
trap '' TERM HUP INT
sleep 600 & echo $! > {folder}/child
echo $PPID > {folder}/guard
echo $$ > {folder}/leader
wait
"""


async def main(folder: Path, repo: str) -> None:
    """Run the job until this process is killed."""
    source = FakeSource()
    agent = Agent(source)
    agent.add_handler("shell", ShellHandler(work_dir=folder / "work"))
    source.add(
        "shell",
        payload={"shell": LINE.format(folder=folder)},
        git=GitContext(repo=repo),
    )
    await agent.run()


if __name__ == "__main__":
    backend, place, *others = sys.argv[1:]
    anyio.run(main, Path(place), (others or [f"{place}/repository"])[0], backend=backend)
