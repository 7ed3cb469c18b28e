"""What an idle agent over SQLite does: statements, and hops to a connection's thread.

python -m benchmarks.sqlite_idle [--seconds 30]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, cast

import anyio

from cicd_core import ControlPlane
from cicd_core.agent import Agent
from cicd_core.store.sqlite.connection import ConnectionThread
from tests.effort import Effort, watched

if TYPE_CHECKING:
    from cicd_core.store.sqlite import SQLiteBackend

#: How long the agent's start is left alone, in seconds.
WARM = 5


async def _never_called(_: object) -> None:
    """Stand for a handler."""


async def idle(effort: Effort, seconds: float) -> None:
    """Let an agent wait for work that never comes, and print what that cost."""
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        async with (
            ControlPlane.open(f"sqlite:///{folder}/ci.db") as plane,
            anyio.create_task_group() as group,
        ):
            agent = Agent(plane)
            agent.handler("build")(_never_called)
            group.start_soon(agent.run)
            await anyio.sleep(WARM)
            backend = cast("SQLiteBackend", plane.store.backend)
            for thread in (backend.writes, backend.reads):
                await thread.call(lambda connection: connection.set_trace_callback(seen.append))
            with effort.counted():
                await anyio.sleep(seconds)
            group.cancel_scope.cancel()
    hops = effort.of(ConnectionThread.call)
    print(f"in {seconds:g} s: {len(seen)} statements, {hops} hops")
    for words, number in Counter(" ".join(each.split()[:2]) for each in seen).most_common(8):
        print(f"{number:6} {words}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    asked = parser.parse_args()
    with watched() as effort:
        anyio.run(idle, effort, asked.seconds)


if __name__ == "__main__":
    main()
