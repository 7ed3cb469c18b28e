"""Signals: the first one drains, the second one stops everything at once; none is swallowed."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of
from tests.runtime.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from anyio.abc import Process

    from cicd_core.agent import JobRun
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


class Told:
    """What a program tells of itself, a line a fact."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self._process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def next(self) -> dict[str, Any]:
        line = await self._lines.receive_until(b"\n", 65536)
        fact: dict[str, Any] = json.loads(line)
        return fact

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended_well(self) -> bool:
        return await self._process.wait() == 0

    async def ended_by(self) -> int:
        """Which signal the program died of."""
        return -await self._process.wait()


@asynccontextmanager
async def running_program(
    module: str, *words: str, starter: Sequence[str] = ()
) -> AsyncGenerator[Told]:
    command = [*starter, sys.executable, "-m", f"tests.runtime.{module}", *words]
    with anyio.fail_after(PATIENCE):
        async with await anyio.open_process(command, cwd=ROOT, stderr=None, stdin=PIPE) as process:
            try:
                yield Told(process)
            finally:
                if process.returncode is None:
                    process.kill()


@asynccontextmanager
async def program(
    backend: str, grace_seconds: float, starter: Sequence[str] = ()
) -> AsyncGenerator[Told]:
    """The program, when both of its jobs have begun."""
    words = (backend, str(grace_seconds))
    async with running_program("signalled_agent", *words, starter=starter) as told:
        assert {(await told.next())["began"] for _ in range(2)} == {"ends", "endless"}
        yield told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_the_first_signal_drains(anyio_backend_name: str, number: signal.Signals) -> None:
    async with program(anyio_backend_name, grace_seconds=0.5) as told:
        told.send(number)
        assert await told.next() == {"reports": True}
        assert await told.next() == {
            "outcomes": {"ends": "success"},
            "releases": {"endless": f"the agent drains: {number.name} was received"},
            "gone": True,
        }
        assert await told.ended_well()


async def test_the_second_signal_stops_everything_at_once(anyio_backend_name: str) -> None:
    async with program(anyio_backend_name, grace_seconds=600.0) as told:
        told.send(signal.SIGINT)
        assert await told.next() == {"reports": True}  # it drains, and has 600 seconds to do so
        told.send(signal.SIGTERM)
        end = await told.next()
        assert end["outcomes"] == {"ends": "success"}
        assert set(end["releases"]) == {"endless"}
        assert await told.ended_well()


#: As nohup does, and a shell for what it starts in the background.
IGNORING = ("/bin/sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh")


async def test_a_signal_that_is_ignored_stays_ignored(anyio_backend_name: str) -> None:
    async with program(anyio_backend_name, 0.5, starter=IGNORING) as told:
        told.send(signal.SIGHUP)
        told.send(signal.SIGINT)
        told.send(signal.SIGTERM)
        assert await told.next() == {"reports": True}
        (why,) = (await told.next())["releases"].values()
        assert why == "the agent drains: SIGTERM was received"
        assert await told.ended_well()


async def test_a_signal_that_the_program_handles_is_the_programs(anyio_backend_name: str) -> None:
    async with running_program("hosting_program", anyio_backend_name, "host_first") as told:
        assert await told.next() == {"began": "job-1"}
        told.send(signal.SIGTERM)
        assert await told.next() == {"host_got": "SIGTERM"}
        assert await told.next() == {"drained": False}
        assert await told.next() == {"releases": ["job-1"]}
        assert await told.ended_well()


async def test_a_handler_that_comes_later_holds_and_none_is_lost_when_it_goes(
    anyio_backend_name: str,
) -> None:
    async with running_program("hosting_program", anyio_backend_name, "host_later") as told:
        facts = [await told.next(), await told.next()]
        assert sorted(facts, key=str) == [{"began": "job-1"}, {"ready": True}]
        told.send(signal.SIGTERM)
        assert await told.next() == {"host_got": "SIGTERM"}
        assert await told.next() == {"drained": False}
        assert await told.next() == {"releases": ["job-1"]}
        assert await told.ended_by() == signal.SIGTERM


async def test_a_signal_drains_every_agent_of_its_process(anyio_backend_name: str) -> None:
    async with running_program("hosting_program", anyio_backend_name, "two_agents") as told:
        assert [await told.next() for _ in range(2)] == [{"began": "job-1"}] * 2
        told.send(signal.SIGTERM)
        assert await told.next() == {"releases": [1, 1]}
        assert await told.ended_well()


async def test_a_signal_for_a_forked_child_ends_the_child_alone(anyio_backend_name: str) -> None:
    async with running_program("hosting_program", anyio_backend_name, "forking") as told:
        assert await told.next() == {"child_ended_by": -signal.SIGTERM}
        assert await told.next() == {"child_ended_by": -signal.SIGHUP}
        assert await told.next() == {"outcomes": ["success", "success"]}
        assert await told.next() == {"reason": "that was all"}
        assert await told.ended_well()


async def test_a_handler_of_the_program_stays_where_it_is(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    def own(number: int, frame: object) -> None:
        """As a web server has one."""

    async def look(run: JobRun) -> None:
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is not before[signal.SIGINT]

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, own)
    try:
        job = source.add()
        with caplog.at_level(logging.INFO, "cicd_core.agent"):
            await agent_of(source, look).run(until_idle=True)
        assert source.outcomes[job].error_message is None
        assert signal.getsignal(signal.SIGTERM) is own
        assert "SIGTERM is handled by" in caplog.text
        assert "own" in caplog.text
        assert signal.getsignal(signal.SIGINT) is before[signal.SIGINT]
        assert signal.getsignal(signal.SIGHUP) is before[signal.SIGHUP]
    finally:
        signal.signal(signal.SIGTERM, before[signal.SIGTERM])


async def test_a_first_signal_leaves_a_drain_its_time(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    began = anyio.Event()
    agent = agent_of(source, succeed)

    @agent.handler("long")
    async def long(run: JobRun) -> None:
        began.set()
        agent.drain("out of season")
        os.kill(os.getpid(), signal.SIGTERM)
        with caplog.at_level(logging.INFO, "cicd_core.agent"):
            await until(lambda: "SIGTERM" in caplog.text)
        await anyio.wait_all_tasks_blocked()

    job = source.add("long")
    with anyio.fail_after(PATIENCE):
        await agent.run()
    assert job in source.outcomes
    assert not source.releases


async def test_an_agent_in_another_thread_leaves_signals_alone(
    source: FakeSource, anyio_backend_name: str
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    source.add()
    run = partial(agent_of(source, succeed).run, until_idle=True)
    await anyio.to_thread.run_sync(partial(anyio.run, run, backend=anyio_backend_name))
    assert len(source.outcomes) == 1
    assert signal.getsignal(signal.SIGTERM) is before
