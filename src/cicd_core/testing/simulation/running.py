"""The simulation: traffic, agents, maintenance, the observer, and the audit at the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.audit import CheckResult, audit
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import CicdError, OperationRejected
from cicd_core.model.instants import SECOND, from_micros
from cicd_core.testing.losses import lose_lanes
from cicd_core.testing.simulation.fleet import Fleet
from cicd_core.testing.simulation.measuring import waits_of
from cicd_core.testing.simulation.plan import HOUR, POOLS
from cicd_core.testing.simulation.report import SimulationReport, Violation
from cicd_core.testing.simulation.traffic import Traffic
from cicd_core.testing.simulation.world import MIDNIGHT, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.audit import AuditReport
    from cicd_core.store.contract import Store
    from cicd_core.testing.simulation.plan import SimulationPlan

#: Work without any change for so long will never be done, in µs.
_STUCK: Final = int(6 * HOUR * SECOND)
#: The share of dead letters that are replayed, and after how many seconds.
_REPLAYED: Final = 0.3
_REPLAY_AFTER: Final = 1800.0
#: Within how many seconds a job is cancelled.
_CANCELLED_WITHIN: Final = 900.0
#: How often progress is reported, in steps.
_TELL: Final = 500
#: The offsets of a set wall clock, in seconds: none, a small error, or an empty battery.
_AHEAD: Final = (0.0, 0.0, -90.0, 3600.0, -365 * 24 * HOUR, 365 * 24 * HOUR)


async def simulate(
    plan: SimulationPlan,
    *,
    wrap: Callable[[Store], Store] | None = None,
    tell: Callable[[float], None] | None = None,
) -> SimulationReport:
    """Run a simulation; it ends early at the first broken promise.

    Args:
        plan: its plan.
        wrap: wraps the memory store for the control plane, such as with a faulty store,
            to see that the faults are found.
        tell: called with the part of the traffic that has come, 0 to 1.

    Returns:
        The report; it lists broken promises, which raise no error.
    """
    return await _Simulation(plan, wrap).run(tell)


class _Simulation:
    def __init__(self, plan: SimulationPlan, wrap: Callable[[Store], Store] | None) -> None:
        self._plan = plan
        self._world = World(plan, wrap)
        self._fleet = Fleet(self._world)
        self._traffic = Traffic(plan)
        self._draw = plan.drawn("operator")
        self._world.on_dead_letter = self._maybe_replay

    async def run(self, tell: Callable[[float], None] | None) -> SimulationReport:
        world = self._world
        await self._fleet.set_up()
        self._next_arrival(0.0)
        world.agenda.after(self._plan.sweep_seconds, self._sweep)
        world.agenda.after(self._plan.sample_seconds, self._sample)
        world.agenda.after(self._plan.seconds, self._end_traffic)
        self._clock_draw = self._plan.drawn("wall clock")
        self._next_clock_step()
        self._lane_draw = self._plan.drawn("lanes")
        self._next_lane_loss()
        while self._goes_on():
            await self._step()
            if tell is not None and world.agenda.steps % _TELL == 0:
                tell(min(1.0, (world.now - MIDNIGHT) / SECOND / self._plan.seconds))
        if tell is not None:
            tell(1.0)
        return await self._report()

    def _goes_on(self) -> bool:
        world = self._world
        if world.observer.faults or world.agenda.steps == self._plan.steps:
            return False
        if world.troubled:
            return True
        idle = world.now - max(world.measures.moved_at, self._traffic_ended_at)
        world.observer.require(
            "nothing stuck",
            idle < _STUCK,
            f"{world.observer.open} jobs are open, but none has changed for 6 hours",
        )
        return world.observer.open > 0 and not world.observer.faults

    @property
    def _traffic_ended_at(self) -> int:
        return MIDNIGHT + round(self._plan.seconds * SECOND)

    async def _step(self) -> None:
        world = self._world
        try:
            await world.agenda.step()
            if world.troubled:
                world.measures.pass_time(world.now, slots=self._fleet.slots, busy=self._fleet.busy)
        except CicdError as unexpected:
            text = f"{type(unexpected).__name__}: {unexpected}"
            world.observer.require("no unexpected error", holds=False, text=text)
        world.observer.check_answers()

    def _next_arrival(self, seconds: float) -> None:
        at = self._traffic.next_after(seconds)
        if at < self._plan.seconds:
            self._world.agenda.at(MIDNIGHT + round(at * SECOND), partial(self._arrive, at))

    async def _arrive(self, at: float) -> None:
        self._next_arrival(at)
        world = self._world
        specs = self._traffic.specs(from_micros(world.now))
        jobs = await world.plane.queue.enqueue_many(specs)
        self._fleet.wake(await world.observer.enqueued(jobs))
        for job in jobs:
            if self._draw.random() < self._plan.cancels:
                later = self._draw.uniform(0, _CANCELLED_WITHIN)
                world.agenda.after(later, partial(self._cancel, job.job_id))

    async def _cancel(self, job_id: str) -> None:
        world = self._world
        seen = world.observer.sight(job_id)
        try:
            await world.plane.jobs.cancel(job_id, reason="the simulation cancels it")
        except OperationRejected as refused:
            ended = seen is not None and seen.final
            world.observer.require("cancels take effect", ended, str(refused))
        await world.observer.look()

    def _maybe_replay(self, job_id: str) -> None:
        if self._world.troubled and self._draw.random() < _REPLAYED:
            self._world.agenda.after(_REPLAY_AFTER, partial(self._replay, job_id))

    async def _replay(self, job_id: str) -> None:
        seen = self._world.observer.sight(job_id)
        if seen is not None and not seen.final:  # not cancelled meanwhile
            await self._world.plane.jobs.replay(job_id, attempts=2)
            self._fleet.wake(await self._world.observer.look())

    async def _sweep(self) -> None:
        world = self._world
        world.agenda.after(self._plan.sweep_seconds, self._sweep)
        report = await world.plane.maintenance.sweep()
        world.measures.tally["silenced agents"] += report.silenced
        if report.total:
            await world.observer.look()
        await world.observer.look_for_lanes()
        self._fleet.wake_for_what_is_left()

    async def _sample(self) -> None:
        world, fleet = self._world, self._fleet
        if not world.troubled:
            return
        world.agenda.after(self._plan.sample_seconds, self._sample)
        world.observer.check_order()
        desired = await fleet.desired()
        ready = sum(world.observer.ready().values())
        world.measures.sample(
            world.now, ready=ready, held=fleet.busy, agents=fleet.size, desired=desired
        )
        if self._plan.autoscale:
            await fleet.scale()

    def _next_clock_step(self) -> None:
        if self._plan.clock_steps:
            seconds = self._clock_draw.expovariate(self._plan.clock_steps / HOUR)
            self._world.agenda.after(seconds, self._set_wall_clock)

    async def _set_wall_clock(self) -> None:
        if self._world.troubled:
            self._world.count("clock steps")
            self._be_ahead(self._clock_draw.choice(_AHEAD))
            self._next_clock_step()

    def _be_ahead(self, seconds: float) -> None:
        clock = self._world.clock
        clock.step_calendar(seconds - (clock.calendar() - clock.micros()) / SECOND)

    def _next_lane_loss(self) -> None:
        if self._plan.lane_losses:
            seconds = self._lane_draw.expovariate(self._plan.lane_losses / HOUR)
            self._world.agenda.after(seconds, self._lose_lanes)

    async def _lose_lanes(self) -> None:
        world = self._world
        if not world.troubled:
            return
        pool_name = self._lane_draw.choice(POOLS)
        commit_id = f"loss-{world.agenda.steps}"
        if await lose_lanes(world.store, pool_name, commit_id):
            world.count("lost lists of lanes")
            world.observer.lost_lanes(pool_name)
            world.restart()  # a process that keeps running would cache the lanes for some seconds
        self._next_lane_loss()

    async def _end_traffic(self) -> None:
        self._world.troubled = False
        self._be_ahead(0.0)  # waits for a calendar time must end

    async def _report(self) -> SimulationReport:
        world = self._world
        steps = world.agenda.steps
        seconds = (world.now - MIDNIGHT) / SECOND
        found = await self._audit()
        world.observer.check_order()
        if self._is_drained:
            world.observer.check_losses()
        violations = [
            Violation(invariant=fault.invariant, step=fault.step, text=fault.text)
            for fault in world.observer.faults
        ]
        violations += [
            Violation(invariant=f"audit: {check.name.value}", step=steps, text=text)
            for check in found.checks
            if check.result is CheckResult.FAILED
            for text in check.faults
        ]
        return SimulationReport(
            plan=self._plan,
            steps=steps,
            seconds=seconds,
            violations=tuple(violations),
            checked=dict(sorted(world.observer.checked.items())),
            audited=sum(check.examined for check in found.checks),
            waits={item: waits_of(waits) for item, waits in world.measures.waits.items()},
            utilisation=world.measures.utilisation,
            samples=tuple(world.measures.samples),
            tally=dict(sorted(world.measures.tally.items())),
        )

    @property
    def _is_drained(self) -> bool:
        return not (self._world.troubled or self._world.observer.open)

    async def _audit(self) -> AuditReport:
        world = self._world
        ended = world.observer.job_ids if self._is_drained else []
        plane = ControlPlane(world.store, settings=world.plane.settings)
        return await audit(plane, ended=ended)
