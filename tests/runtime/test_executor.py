"""What the executor does with a job that begins when all has been stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.agent.exchanger import Exchanger
from cicd_core.agent.executor import Executor, ExecutorContext
from cicd_core.agent.fitness import Fitness
from cicd_core.agent.handlers import Handlers
from cicd_core.agent.lease_clock import lease_clock
from cicd_core.agent.lease_renewer import Heartbeat, LeaseRenewer
from cicd_core.agent.shutdown import Drain
from cicd_core.agent.slots import Slots
from cicd_core.job_logs.limits import LogLimits
from cicd_core.model.agent import AgentSpec

if TYPE_CHECKING:
    from cicd_core.agent import JobRun
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def workshop(source: FakeSource, handlers: Handlers) -> ExecutorContext:
    spec = AgentSpec(agent_id="a")
    heartbeat = Heartbeat(
        spec=spec,
        agent=await source.register(spec),
        every_seconds=10.0,
        running=lambda: 0,
        fault=lambda: None,
        metrics=None,
        on_drain=lambda _: None,
        on_refused=lambda _: None,
    )
    return ExecutorContext(
        exchanger=Exchanger(source),
        handlers=handlers,
        keeper=LeaseRenewer(source, heartbeat),
        slots=Slots(1),
        fitness=Fitness(1, lambda: None),
        drain=Drain(),
        log_dir=None,
        log_limits=LogLimits(),
        send_log_tail=False,
        threads=anyio.CapacityLimiter(1),
    )


async def test_a_job_that_begins_when_all_has_been_stopped_is_stopped_too(
    source: FakeSource,
) -> None:
    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    handlers = Handlers()
    handlers.add("work", wait)
    job = source.add()
    (claimed,) = await source.claim(agent_id="a", request_id="r")
    async with anyio.create_task_group() as tasks:
        executor = Executor(await workshop(source, handlers), tasks)
        executor.stop_all("the time of grace is over")
        executor.begin(claimed, lease_clock())
    assert source.releases == {job: "the time of grace is over"}
