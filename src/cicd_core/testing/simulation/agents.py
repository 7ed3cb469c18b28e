"""An agent: it claims, starts, renews, completes; and it crashes, stalls and repeats calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define

from cicd_core.errors import NotFound, OperationRejected
from cicd_core.model.agent import AgentSpec
from cicd_core.model.instants import SECOND, from_micros
from cicd_core.model.job import JobState
from cicd_core.model.outcome import Outcome
from cicd_core.testing.recording.service_calls import granted, owner, renewed
from cicd_core.testing.simulation.plan import HOUR
from cicd_core.testing.simulation.traffic import outcome_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cicd_core.model.claim import ClaimedJob
    from cicd_core.queueing.lanes import Lane
    from cicd_core.testing.simulation.plan import Machine
    from cicd_core.testing.simulation.world import World

#: How long a crashed agent stays away, on average, in seconds.
_AWAY: Final = 600.0
#: How far an agent's wall clock is off, in seconds: a standard deviation.
_SKEW: Final = HOUR
#: How soon a handler stops after a request, in seconds.
_STOPPING: Final = 5.0


@define(eq=False)
class _Holding:
    """A job that an agent holds."""

    claimed: ClaimedJob
    #: It never ends by itself.
    hangs: bool


class Company(Protocol):
    """The notifications of an agent to its fleet."""

    #: The number of jobs that all agents hold.
    busy: int

    def came(self, agent: SimulatedAgent) -> None:
        """Note that an agent runs."""
        ...

    def went(self, agent: SimulatedAgent) -> None:
        """Note that an agent has stopped."""
        ...

    def rests(self, agent: SimulatedAgent) -> None:
        """Note that an agent found no work."""
        ...

    async def returns(self, agent: SimulatedAgent) -> None:
        """Start an agent again after a crash."""
        ...

    def wake(self, lanes: Iterable[Lane]) -> None:
        """Wake one idle agent that serves the lane, for each time that a lane is named."""
        ...


class SimulatedAgent:
    """One agent, with slots, its own wrong clock, and its own faults."""

    def __init__(self, world: World, company: Company, number: int, machine: Machine) -> None:
        self._world = world
        self._company = company
        self._draw = world.plan.drawn("agent", number)
        self._luck = world.plan.drawn("set-up", number)
        drift = world.plan.drift
        #: The length of its seconds, in seconds of the store.
        self._pace = 1 + self._draw.uniform(-drift, drift)
        self._skew = self._draw.gauss(0, _SKEW)
        self._starting = self._draw.random() < 0.5
        self._number = number
        self.agent_id = f"agent-{number:05d}"
        self.machine = machine
        self.running = False
        self.draining = False
        self.asked = False
        self._life = 0
        self._requests = 0
        self._stalled_until = 0
        self._incarnation = ""
        self._renewing = False
        self._held: dict[str, _Holding] = {}

    @property
    def busy(self) -> int:
        """The number of slots in use."""
        return len(self._held)

    @property
    def free(self) -> int:
        """The number of jobs that it would take now."""
        takes = self.running and not self.draining
        return self.machine.slots - len(self._held) if takes else 0

    async def begin(self) -> None:
        """Start the process: register, send heartbeats, look for work."""
        if self.running:
            return
        self._life += 1
        self.running, self.draining, self.asked = True, False, False
        self._renewing = False
        self._company.came(self)
        await self._register()
        self._later(1.0, self._beat)
        self._later(self._draw.uniform(1.0, 5.0), self.look_for_work)
        for rate, trouble in (
            (self._world.plan.crash_rate, self._crash),
            (self._world.plan.stall_rate, self._stall),
        ):
            if rate:
                self._later(self._draw.expovariate(rate / HOUR), trouble)

    async def drain(self) -> None:
        """Claim no more, and leave when the last job has ended."""
        self.draining = True
        self._world.count("drained agents")
        await self._world.plane.agents.drain(self.agent_id, reason="less work", actor="autoscaler")
        await self._go_if_done()

    def ask_soon(self) -> None:
        """Look for work soon, after a wake-up."""
        self.asked = True
        self._later(self._draw.uniform(0.01, 0.2), self.look_for_work)

    async def look_for_work(self) -> None:
        """Claim as many jobs as there are free slots."""
        self.asked = False
        limit = self.free
        if limit <= 0:
            return
        ask = self._claim(limit)
        claims = await self._claims("claim", ask)
        await self._took(limit, claims)
        if self._reply_is_lost():
            self._world.count("repeated calls")
            repeats = self._luck.random() < 0.5
            again = await (
                self._claims("claim", ask)
                if repeats
                else self._claims("held", self._ask_what_is_held)
            )
            self._world.observer.require(
                "repetitions change nothing",
                [(item.job.job_id, item.token) for item in again]
                == [(claim.job.job_id, claim.token) for claim in claims]
                or (repeats and not claims),
                f"a claim of {self.agent_id} was repeated, and returned other jobs",
            )
            if repeats and not claims:  # the first took nothing: this is a new claim
                await self._took(limit, again)
            claims = again
        if claims and self._fails_to_begin():
            await self._give_back(claims)
            return
        for claimed in claims:
            self._hold(claimed)
        if self.free:
            self._company.rests(self)

    async def _claims(
        self, verb: str, ask: Callable[[], Awaitable[list[ClaimedJob]]]
    ) -> list[ClaimedJob]:
        now = self._world.now
        return await self._world.call(
            self.agent_id, verb, ask, lambda claims: {"got": [granted(one, now) for one in claims]}
        )

    async def _took(self, limit: int, claims: list[ClaimedJob]) -> None:
        world = self._world
        await world.observer.claimed(self.agent_id, self.machine, limit, claims, world.now)

    def _claim(self, limit: int) -> Callable[[], Awaitable[list[ClaimedJob]]]:
        self._requests += 1
        return partial(
            self._world.plane.queue.claim,
            agent_id=self.agent_id,
            pool_name=self.machine.pool_name,
            labels=self.machine.labels,
            job_types=self.machine.job_types,
            limit=limit,
            start=self._starting,
            request_id=f"{self._life}-{self._requests}",
        )

    async def _ask_what_is_held(self) -> list[ClaimedJob]:
        request_id = f"{self._life}-{self._requests}"
        return await self._world.plane.queue.held(agent_id=self.agent_id, request_id=request_id)

    async def _give_back(self, claims: list[ClaimedJob]) -> None:
        """Release jobs that this machine cannot start, and look for work again later."""
        world = self._world
        for claimed in claims:
            world.count("given back unused")
            job_id = claimed.job.job_id
            call = partial(world.plane.queue.release, claimed, reason="no space left", began=False)
            back = await world.as_holder("release", claimed, call)
            world.observer.require(
                "a job that never started returns unused",
                back is None or back.state is not JobState.ERROR,
                f"job {job_id} never started, and ended in an error when it was released",
            )
        self._company.wake(await world.observer.look())
        self._later(self._luck.uniform(1.0, 5.0), self.look_for_work)

    def _hold(self, claimed: ClaimedJob) -> None:
        holding = _Holding(claimed, hangs=self._happens(self._world.plan.hangs))
        # It may hold a lease that it has lost without notice: the same job has the same slot.
        self._company.busy += claimed.job.job_id not in self._held
        self._held[claimed.job.job_id] = holding
        if not self._renewing:
            self._renewing = True
            self._later(self._renew_seconds, self._renew)
        if self._starting:
            self._run(holding)
        else:
            self._later(self._draw.uniform(0.1, 2.0), partial(self._start, holding))

    async def _start(self, holding: _Holding) -> None:
        if self._has(holding):
            claimed = holding.claimed
            call = partial(self._world.plane.queue.start, claimed)
            started = await self._world.as_holder("start", claimed, call)
            await self._world.observer.look()
            self._world.observer.began(claimed.job.job_id, self._world.now)
            if started is None:
                await self._drop(holding)
                return
            holding.claimed = started
            self._run(holding)

    def _run(self, holding: _Holding) -> None:
        seconds = seconds_of(holding.claimed.job, self._draw)
        if not holding.hangs:
            outcome = outcome_of(self._draw, self._clock_shown())
            self._later(seconds, partial(self._finish, holding, outcome))

    async def _finish(self, holding: _Holding, outcome: Outcome) -> None:
        if not self._has(holding):
            return
        claimed = holding.claimed
        call = partial(self._world.plane.queue.complete, claimed, outcome)
        verdict = outcome.verdict.value
        done = await self._world.as_holder("complete", claimed, call, verdict=verdict)
        self._company.wake(await self._world.observer.look())
        if done is not None and self._reply_is_lost():
            again = partial(self._world.repeated, "complete", claimed, call, verdict=verdict)
            if self._draw.random() < 0.5:
                await again()
            else:  # a delayed repetition, which arrives when the state has changed
                self._later(self._draw.uniform(60, 600), again)
        await self._drop(holding)

    async def _renew(self) -> None:
        holdings = list(self._held.values())
        self._renewing = bool(holdings)
        if not holdings:
            return
        self._later(self._renew_seconds, self._renew)
        world, observer = self._world, self._world.observer
        claims = [holding.claimed for holding in holdings]
        answers = await world.plane.queue.renew(claims)
        for holding, answer in zip(holdings, answers, strict=True):
            job_id = holding.claimed.job.job_id
            details = renewed(answer, world.now)
            world.acknowledged(self.agent_id, "renew", details, **owner(holding.claimed))
            observer.require(
                "renewals tell the owner",
                answer.held == observer.owns(job_id, holding.claimed.token),
                f"job {job_id}: {self.agent_id} was answered held={answer.held}",
            )
            if answer.held:
                observer.heard(job_id, world.now)
            # Some handlers do not notice the loss, and report anyway: that must be refused.
            elif holding.hangs or self._draw.random() < 0.5:
                await self._drop(holding)
            if answer.cancel_requested:
                stopped = Outcome.cancelled("stopped by a cancel request")
                self._later(_STOPPING, partial(self._finish, holding, stopped))

    async def _beat(self) -> None:
        self._later(self._world.plan.heartbeat_timeout_seconds / 3, self._beat)
        agents = self._world.plane.agents
        try:
            await agents.heartbeat(self.agent_id, self._incarnation, running=self.busy)
        except (NotFound, OperationRejected):
            if not self.draining:
                await self._register()

    async def _crash(self) -> None:
        if not self._world.troubled:
            return
        self._world.count("crashes")
        self._life += 1
        self._stop()
        away = self._draw.expovariate(1 / _AWAY)
        self._world.agenda.after(away, partial(self._company.returns, self))

    async def _stall(self) -> None:
        if not self._world.troubled:
            return
        self._world.count("stalls")
        seconds = self._world.plan.lease_seconds * self._draw.uniform(0.5, 4.0)
        self._stalled_until = self._world.now + round(seconds * SECOND)
        self._later(self._draw.expovariate(self._world.plan.stall_rate / HOUR), self._stall)

    async def _register(self) -> None:
        agent = await self._world.plane.agents.register(
            AgentSpec(
                agent_id=self.agent_id,
                pool_name=self.machine.pool_name,
                labels=self.machine.labels,
                job_types=self.machine.job_types,
                slots=self.machine.slots,
                hostname=f"{self.machine.pool_name}-{self._number:02d}.example.org",
                version="1.4.2",
            )
        )
        self._incarnation = agent.incarnation

    async def _drop(self, holding: _Holding) -> None:
        if self._has(holding):
            del self._held[holding.claimed.job.job_id]
            self._company.busy -= 1
            await self.look_for_work()
            await self._go_if_done()

    async def _go_if_done(self) -> None:
        if self.running and self.draining and not self._held:
            self._life += 1
            self._stop()
            await self._world.plane.agents.deregister(self.agent_id, actor="autoscaler")

    def _stop(self) -> None:
        self._company.went(self)
        self.running = False
        self._stalled_until = 0
        self._held.clear()

    def _has(self, holding: _Holding) -> bool:
        return self._held.get(holding.claimed.job.job_id) is holding

    def _later(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """Run an action after seconds of its own clock, unless it has crashed by then."""
        life = self._life

        async def act() -> None:
            if self._life != life:
                return
            if self._stalled_until > self._world.now:
                self._world.agenda.at(self._stalled_until, act)
                return
            await action()

        self._world.agenda.after(seconds * self._pace, act)

    @property
    def _renew_seconds(self) -> float:
        return self._world.plan.lease_seconds / 3

    def _happens(self, share: float) -> bool:
        return self._world.troubled and self._draw.random() < share

    def _fails_to_begin(self) -> bool:
        return self._world.troubled and self._luck.random() < self._world.plan.setup_failures

    def _reply_is_lost(self) -> bool:
        return self._happens(self._world.plan.lost_replies)

    def _clock_shown(self) -> str:
        """Return the time of the agent's own, wrong clock."""
        return from_micros(self._world.now + round(self._skew * SECOND)).isoformat()
