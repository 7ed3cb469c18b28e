"""A day of plausible traffic that ends now and then continues, for a demo of a server.

The agents and the jobs are those of the simulation, with crashes, retries, dead letters and
cancels. The day passes as fast as it can be computed. From then on the machine's clock is used, and
each action runs when it is due.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from cicd_core.clock import SystemClock
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import CicdError
from cicd_core.model.instants import SECOND, from_micros
from cicd_core.settings import Settings
from cicd_core.testing.clock import VirtualClock
from cicd_core.testing.simulation.demo_work import DemoDeployments, named
from cicd_core.testing.simulation.fleet import Fleet
from cicd_core.testing.simulation.plan import DAY, HOUR, SimulationPlan
from cicd_core.testing.simulation.traffic import Traffic
from cicd_core.testing.simulation.world import World

if TYPE_CHECKING:
    from cicd_core.model.job import Job

_log = logging.getLogger("cicd_core.testing")

PLAN: Final = SimulationPlan(
    seed=17,
    agents=6,
    jobs_per_hour=55.0,
    crash_rate=0.03,
    stall_rate=0.03,
    lost_replies=0.0,
    cancels=0.03,
    drift=0.0,
    lease_seconds=300.0,
    heartbeat_timeout_seconds=900.0,
    sweep_seconds=120.0,
)
#: The time of day at which the demo begins, regardless of the real time, in seconds.
_NOW: Final = 13.0 * HOUR
#: The longest pause between two checks of due work, in seconds.
_PAUSE: Final = 1.0
#: The share of jobs that are cancelled, and within how many seconds.
_CANCELLED_WITHIN: Final = 900.0


class DemoClock(VirtualClock):
    """A manual clock through the day before now, which then runs by itself."""

    def __init__(self) -> None:
        """Begin one day before now."""
        self._system = SystemClock()
        self._is_live = False
        super().__init__(self._system.micros() - round(DAY * SECOND))

    @property
    def behind(self) -> int:
        """How far the clock is behind now, in µs."""
        return self._system.micros() - self.micros()

    def go_live(self) -> None:
        """Follow the machine's clock from now on."""
        self._is_live = True

    def micros(self) -> int:
        """Return the elapsed time, in µs."""
        return self._system.micros() if self._is_live else super().micros()

    def calendar(self) -> int:
        """Return the wall clock, in µs."""
        return self._system.calendar() if self._is_live else super().calendar()

    def advance(self, seconds: float = 0.0, *, micros: int = 0) -> None:
        """Move the clock, unless it follows the machine's."""
        if not self._is_live:
            super().advance(seconds, micros=micros)


class DemoDay:
    """The traffic of a demo: first the day before now, then live traffic."""

    def __init__(self, plan: SimulationPlan = PLAN) -> None:
        """Begin with an empty memory store; nothing happens yet."""
        self._plan = plan
        self._clock = DemoClock()
        self._world = World(plan, None, clock=self._clock)
        self._fleet = Fleet(self._world)
        self._traffic = Traffic(plan)
        self._deployments = DemoDeployments(self._world)
        self._draw = plan.drawn("demo")
        #: The midnight from which traffic counts the time of the day: now is a busy hour.
        self._midnight = self._clock.micros() - round(_NOW * SECOND)
        #: The control plane for a server: the demo's data, with its own ids and tokens.
        self.plane = ControlPlane(self._world.store, settings=Settings())

    async def pass_day(self) -> None:
        """Run the day before now; it takes some seconds. Meanwhile only errors are logged."""
        log = logging.getLogger("cicd_core")
        level = log.level
        log.setLevel(logging.ERROR)  # leases are lost on purpose
        try:
            await self._pass()
        finally:
            log.setLevel(level)
        self._clock.go_live()

    async def _pass(self) -> None:
        await self._fleet.set_up()
        self._next_arrival((self._clock.micros() - self._midnight) / SECOND)
        self._deployments.begin()
        self._world.agenda.after(self._plan.sweep_seconds, self._sweep)
        while self._world.agenda.next_at < self._clock.micros() + self._clock.behind:
            await self._step()
            if self._world.agenda.steps % 200 == 0:
                await anyio.lowlevel.checkpoint()  # so that a signal can end it

    async def go_on(self) -> None:
        """Run actions when they are due, until it is cancelled."""
        while True:
            wait = (self._world.agenda.next_at - self._clock.micros()) / SECOND
            if wait > 0:
                await anyio.sleep(min(wait, _PAUSE))
            else:
                await self._step()

    async def _step(self) -> None:
        try:
            await self._world.agenda.step()
        except CicdError as refused:  # a user of the demo may have been faster
            _log.debug("the demo goes on: %s", refused)

    def _next_arrival(self, seconds: float) -> None:
        at = self._traffic.next_after(seconds)
        self._world.agenda.at(self._midnight + round(at * SECOND), partial(self._arrive, at))

    async def _arrive(self, at: float) -> None:
        self._next_arrival(at)
        world = self._world
        specs = named(self._traffic.specs(from_micros(world.now)), self._draw)
        jobs = await world.plane.queue.enqueue_many(specs, actor="pipeline")
        self._fleet.wake(await world.observer.enqueued(jobs))
        for job in jobs:
            self._maybe_cancel(job)

    def _maybe_cancel(self, job: Job) -> None:
        if self._draw.random() < self._plan.cancels:
            later = self._draw.uniform(0, _CANCELLED_WITHIN)
            self._world.agenda.after(later, partial(self._cancel, job.job_id))

    async def _cancel(self, job_id: str) -> None:
        reason = "a newer commit was pushed"
        await self._world.plane.jobs.cancel(job_id, actor="ada", reason=reason)
        await self._world.observer.look()

    async def _sweep(self) -> None:
        self._world.agenda.after(self._plan.sweep_seconds, self._sweep)
        await self._world.plane.maintenance.sweep()
        await self._world.observer.look()
        self._world.observer.check_order()  # it keeps the moves only until then
        self._fleet.wake_for_what_is_left()
