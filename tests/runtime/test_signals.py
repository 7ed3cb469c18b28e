"""SIGTERM and SIGINT: the first one drains, the second one stops everything at once."""

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

from cicd_core.model.job import JobState
from tests.runtime.embedding import PATIENCE, agent_of
from tests.runtime.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

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


@asynccontextmanager
async def program(backend: str, grace_seconds: float) -> AsyncGenerator[Told]:
    """The program, when both of its jobs have begun."""
    command = [sys.executable, "-m", "tests.runtime.signalled_agent", backend, str(grace_seconds)]
    with anyio.fail_after(PATIENCE):
        async with await anyio.open_process(command, cwd=ROOT, stderr=None, stdin=PIPE) as process:
            told = Told(process)
            assert {(await told.next())["began"] for _ in range(2)} == {"ends", "endless"}
            try:
                yield told
            finally:
                if process.returncode is None:
                    process.kill()


async def test_the_first_signal_drains(anyio_backend_name: str) -> None:
    async with program(anyio_backend_name, grace_seconds=0.5) as told:
        told.send(signal.SIGTERM)
        assert await told.next() == {"reports": True}
        assert await told.next() == {
            "outcomes": {"ends": "success"},
            "releases": {"endless": "the agent drains: SIGTERM was received"},
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


async def test_the_handlers_of_signals_are_put_back(source: FakeSource) -> None:
    received: list[int] = []

    def own(number: int, frame: object) -> None:
        received.append(number)

    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    before = signal.signal(signal.SIGTERM, own)
    try:
        job = source.add()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent_of(source, wait, grace_seconds=0.0).run)
            await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
            os.kill(os.getpid(), signal.SIGTERM)
        assert job in source.releases
        assert signal.getsignal(signal.SIGTERM) is own
        assert received == []
    finally:
        signal.signal(signal.SIGTERM, before)


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
