"""How the tests run an agent beside themselves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core.agent import Agent
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.agent import Handler, WorkSource


def agent_of(source: WorkSource, handler: Handler, **options: Any) -> Agent:
    """An agent that does jobs of the type ``work`` with one handler."""
    agent = Agent(source, **{"send_log_tail": True} | options)
    agent.add_handler("work", handler)
    return agent


async def run_until_idle(agent: Agent) -> None:
    with anyio.fail_after(PATIENCE):
        await agent.run(handle_signals=False, until_idle=True)


@asynccontextmanager
async def running(agent: Agent) -> AsyncGenerator[None]:
    """The agent runs while the block does, and drains at its end."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(agent.run, handle_signals=False))
            yield
            agent.drain("the test is over")
