"""A program with an agent in it, and with handlers of signals of its own; run by the signal tests.

It tells on its output what happens, a line a fact.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from functools import partial
from typing import Any

import anyio

from cicd_core.agent import Agent, JobRun
from tests.runtime.fake_source import FakeSource
from tests.runtime.signalled_agent import say


class Host:
    """As web servers do: a handler that sets a flag, and put back at the end what was there."""

    def __init__(self) -> None:
        self.stop = False
        self._before = signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        say(host_got=signal.Signals(number).name)
        self.stop = True

    async def serve(self) -> None:
        while not self.stop:  # noqa: ASYNC110 - as uvicorn does
            await anyio.sleep(0.01)
        signal.signal(signal.SIGTERM, self._before)


def agent_that_waits(source: FakeSource) -> Agent:
    agent = Agent(source, grace_seconds=0.0)

    @agent.handler("work")
    async def wait(run: JobRun) -> None:
        say(began=run.job.job_id)
        await anyio.sleep_forever()

    return agent


async def host_first() -> None:
    """The host has its handler before the agent runs; when it stops, it cancels the agent."""
    source, host = FakeSource(), Host()
    source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent_that_waits(source).run)
        await host.serve()
        say(drained=bool(source.called("drain")))
        tasks.cancel_scope.cancel()
    say(releases=list(source.releases))


async def host_later() -> None:
    """The host's handler comes while the agent runs, and goes when it has ended."""
    source = FakeSource()
    source.add()
    agent = agent_that_waits(source)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.run)
        await source.until(lambda: source.called("start") or source.called("claim"))
        host = Host()
        say(ready=True)
        await host.serve()
        say(drained=bool(source.called("drain")))
        agent.drain("the host stops")
    say(releases=list(source.releases))
    signal.raise_signal(signal.SIGTERM)
    say(survived=True)


async def two_agents() -> None:
    """Both hear one signal."""
    sources = [FakeSource(), FakeSource()]
    async with anyio.create_task_group() as tasks:
        for source in sources:
            source.add()
            tasks.start_soon(agent_that_waits(source).run)
    say(releases=[len(source.releases) for source in sources])


def sleep_long() -> None:
    signal.pause()


async def forking() -> None:
    """A handler stops a child that it forked, and one job more is run after that."""
    source = FakeSource()
    agent = Agent(source, send_log_tail=True)

    @agent.handler("fork")
    def fork(run: JobRun) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            child = multiprocessing.get_context("fork").Process(target=sleep_long)
            child.start()
            assert child.pid is not None
            os.kill(child.pid, number)
            child.join()
            say(child_ended_by=child.exitcode)

    @agent.handler("last")
    async def last(run: JobRun) -> None:
        agent.drain("that was all")

    source.add("fork")
    source.add("last")
    await agent.run()
    say(outcomes=[outcome.verdict.value for outcome in source.outcomes.values()])
    say(reason=source.called("drain")[0]["reason"])


SCENES: dict[str, Any] = {
    "host_first": host_first,
    "host_later": host_later,
    "two_agents": two_agents,
    "forking": forking,
}

if __name__ == "__main__":
    anyio.run(partial(SCENES[sys.argv[2]]), backend=sys.argv[1])
