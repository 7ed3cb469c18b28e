"""A fleet whose hour passes at once: requests are real, and time goes on only between them.

The event loop's clock, the machine's and the store's stand still while a request is under way, and
go on to the next moment at which anybody has something to do when there is none.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import defaultdict
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import anyio
from attrs import define, field, frozen

from cicd_core import AgentSpec, ControlPlane, JobSpec, Outcome, Settings
from cicd_core.store.records import StoreTime
from cicd_core.store.registry import StoreURL
from cicd_core_dynamodb.costs import MONTH, Units
from cicd_core_dynamodb.location import locate
from cicd_core_dynamodb.opening import new_client
from tests.dynamodb.metering import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from cicd_core import ClaimedJob
    from cicd_core.model.agent import Agent
    from cicd_core_dynamodb.bill import BilledWorkload

HOUR: Final = 3600.0
POOL: Final = "linux"
_MICROS: Final = 1_000_000
#: How long an agent's claim waits for work, as the runtime's does by default.
_WAIT: Final = 20.0


#: What the fleet is doing here, as the lines of the bill name it.
_DOING: ContextVar[str] = ContextVar("_DOING", default="maintenance")
#: What an agent does that takes jobs, and who sends them.
WORK: Final = "work"


@define
class Meters:
    """What was consumed, by what it was consumed for."""

    by_line: defaultdict[str, Meter] = field(factory=lambda: defaultdict(Meter))

    def __call__(self, operation: str, consumed: Mapping[str, Any]) -> None:
        self.by_line[_DOING.get()](operation, consumed)

    @property
    def units(self) -> dict[str, Units]:
        """All of it so far."""
        return {
            line: Units(writes=each.writes, reads=each.reads) for line, each in self.by_line.items()
        }


class _Patient(selectors.SelectSelector):
    """A selector that waits for answers alone; where none is due it notes that time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0
        self.under_way = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.under_way or timeout is None:
            return super().select(0.05)
        self.passed += timeout
        return ready


class FleetLoop(asyncio.SelectorEventLoop):
    """A loop whose time is that of the fleet."""

    def __init__(self) -> None:
        self.patient = _Patient()
        super().__init__(self.patient)

    def time(self) -> float:
        return self.patient.passed


@define
class _Counted:
    """A client whose requests hold the clocks."""

    client: Any
    patient: _Patient

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if name == "meta":
            return found

        async def call(**words: Any) -> Any:
            self.patient.under_way += 1
            try:
                return await found(**words)
            finally:
                self.patient.under_way -= 1

        return call


@frozen
class _Clock:
    """The store's time, in place of what the Dates of answers would tell."""

    micros: Callable[[], int]

    def heard(self, date: str, *, sent: float) -> None:
        """Dates tell the machine's time, which is not the fleet's."""

    def read(self) -> StoreTime:
        return StoreTime(self.micros())


@contextmanager
def _clocks(loop: FleetLoop) -> Generator[None, None, None]:
    """Let every clock that the library reads go with the loop's."""
    began = time.time_ns()

    def nanos(*_: object) -> int:
        return began + round(loop.time() * 1e9)

    clocks = SimpleNamespace(
        time_ns=nanos,
        monotonic_ns=nanos,
        clock_gettime_ns=nanos,
        monotonic=loop.time,
        CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
    )
    clock = _Clock(lambda: nanos() // 1000)
    with (
        patch("cicd_core.clock.time", clocks),
        patch("cicd_core_dynamodb.opening.clock_of", lambda _: clock),
    ):
        yield


@define
class Fleet:
    """Agents, a process that enqueues, and how long they go on."""

    url: str
    workload: BilledWorkload
    settings: Settings
    meters: Meters = field(factory=Meters)
    #: How many jobs ended.
    ended: int = 0
    loop: FleetLoop = field(factory=FleetLoop)

    def run(self, seconds: float = HOUR) -> dict[str, Units]:
        """Let that much time pass, and return what was consumed in it, by what it was for."""
        with _clocks(self.loop):
            runner = asyncio.Runner(loop_factory=lambda: self.loop)
            with runner:
                return runner.run(self._run(seconds))

    async def _run(self, seconds: float) -> dict[str, Units]:
        url = StoreURL.parse(self.url)
        location = locate(url, namespace=None, given={})
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(new_client(location))
            client = _Counted(made, self.loop.patient)
            planes = [
                await stack.enter_async_context(self._plane(client, number))
                for number in range(self.workload.agents)
            ]
            tasks = await stack.enter_async_context(anyio.create_task_group())
            for number, plane in enumerate(planes):
                tasks.start_soon(self._agent, plane, f"agent-{number}")
            tasks.start_soon(self._enqueue, await stack.enter_async_context(self._sender(client)))
            # What is read or made once, at the beginning, is no part of a month.
            await anyio.sleep(MONTH / self.workload.jobs + 2 * self.workload.minutes * 60)
            before = self.meters.units
            await anyio.sleep(seconds)
            after = self.meters.units
            tasks.cancel_scope.cancel()
        return {line: units + before.get(line, Units()).times(-1) for line, units in after.items()}

    def _plane(self, client: _Counted, number: int) -> Any:
        options: Mapping[str, Any] = {"client": client, "meter": self.meters}
        sweeps = number < self.workload.sweepers
        return ControlPlane.open(self.url, settings=self.settings, maintenance=sweeps, **options)

    def _sender(self, client: _Counted) -> Any:
        return self._plane(client, self.workload.sweepers)

    async def _enqueue(self, plane: ControlPlane) -> None:
        _DOING.set(WORK)
        every = MONTH / self.workload.jobs
        while True:
            await anyio.sleep(every)
            await plane.queue.enqueue(JobSpec(job_type="build", pool_name=POOL))

    async def _agent(self, plane: ControlPlane, agent_id: str) -> None:
        _DOING.set(WORK)
        me = await plane.agents.register(AgentSpec(agent_id=agent_id, pool_name=POOL))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat, plane, me)
            while True:
                claims = await plane.queue.claim(
                    agent_id=agent_id, pool_name=POOL, wait=_WAIT, start=True
                )
                for claimed in claims:
                    await self._work(plane, claimed)

    async def _beat(self, plane: ControlPlane, me: Agent) -> None:
        _DOING.set("heartbeats")
        while True:
            await plane.agents.heartbeat(me.agent_id, me.incarnation)
            await anyio.sleep(self.workload.heartbeat_interval_seconds)

    async def _work(self, plane: ControlPlane, claimed: ClaimedJob) -> None:
        left, every = self.workload.minutes * 60, self.settings.lease_seconds / 3
        while left > every:
            await anyio.sleep(every)
            left -= every
            _DOING.set("lease renewals")
            await plane.queue.renew([claimed])
            _DOING.set(WORK)
        await anyio.sleep(left)
        await plane.queue.complete(claimed, Outcome.success())
        self.ended += 1
