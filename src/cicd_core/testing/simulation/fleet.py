"""All agents: wakes idle ones for new work, and starts and drains them by the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.pool import PoolSpec
from cicd_core.testing.simulation.agents import SimulatedAgent
from cicd_core.testing.simulation.plan import MACHINES, POOLS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.queueing.lanes import Lane
    from cicd_core.testing.simulation.plan import Machine
    from cicd_core.testing.simulation.world import World


class Fleet:
    """The agents of all pools."""

    def __init__(self, world: World) -> None:
        """Create the agents; none of them runs yet."""
        self._world = world
        self._draw = world.plan.drawn("fleet")
        self._agents = [
            SimulatedAgent(world, self, number, machine)
            for number, machine in enumerate(world.plan.machines())
        ]
        self._resting: dict[Machine, list[SimulatedAgent]] = {machine: [] for machine in MACHINES}
        self._rest_marks: set[str] = set()
        self._serving: dict[Lane, list[Machine]] = {}
        #: The last scaling signal, by pool.
        self._desired: dict[str, int] = {}
        #: The slots of running agents, and those in use.
        self.slots = 0
        self.busy = 0
        #: The number of running agents.
        self.size = 0

    async def set_up(self) -> None:
        """Create the pools, and start the agents: one of each kind if the signal decides."""
        for pool_name in POOLS:
            machines = {item.machine for item in self._of(pool_name)}
            await self._world.plane.pools.put(
                PoolSpec(
                    pool_name=pool_name,
                    min_agents=len(machines),
                    max_agents=len(self._of(pool_name)),
                    slots_per_agent=max(machine.slots for machine in machines),
                )
            )
        first = {agent.machine: agent for agent in reversed(self._agents)}
        starting = first.values() if self._world.plan.autoscale else self._agents
        for agent in starting:
            self._world.agenda.after(self._draw.uniform(0, 60), agent.begin)

    def came(self, agent: SimulatedAgent) -> None:
        """Count an agent that has started."""
        self.size += 1
        self.slots += agent.machine.slots

    def went(self, agent: SimulatedAgent) -> None:
        """Count an agent that is gone, with its leases."""
        self.size -= 1
        self.slots -= agent.machine.slots
        self.busy -= agent.busy

    async def returns(self, agent: SimulatedAgent) -> None:
        """Start an agent after its crash, unless the pool does not need it any more."""
        desired = self._desired.get(agent.machine.pool_name)
        running = sum(item.running for item in self._of(agent.machine.pool_name))
        if not self._world.plan.autoscale or desired is None or running < desired:
            await agent.begin()

    def rests(self, agent: SimulatedAgent) -> None:
        """Add an agent without work: it is woken when there may be work."""
        if agent.agent_id not in self._rest_marks:
            self._rest_marks.add(agent.agent_id)
            self._resting[agent.machine].append(agent)

    def wake(self, lanes: Iterable[Lane]) -> None:
        """Wake one idle agent that serves the lane, for each time that a lane is named."""
        for lane in lanes:
            self._wake_one(lane)

    def wake_for_what_is_left(self) -> None:
        """Wake agents for work that is still waiting: the woken agent took other work."""
        for lane, number in sorted(self._world.observer.ready().items(), key=_by_key):
            for _ in range(number):
                if not self._wake_one(lane):
                    break

    async def desired(self) -> int:
        """Return the number of agents that the scaling signal wants, in all pools."""
        for pool_name in POOLS:
            signal = await self._world.plane.pools.scaling(pool_name)
            self._desired[pool_name] = signal.desired
        return sum(self._desired.values())

    async def scale(self) -> None:
        """Start and drain agents, so that each pool has as many as it should."""
        for pool_name, desired in self._desired.items():
            agents = self._of(pool_name)
            working = [agent for agent in agents if agent.running and not agent.draining]
            await self._start(agents, desired - len(working))
            await self._drain(working, len(working) - desired)

    async def _start(self, agents: list[SimulatedAgent], number: int) -> None:
        if number <= 0:
            return
        away = [item for item in agents if not item.running]
        missing = {item.machine for item in away} - {e.machine for e in agents if e.running}
        # First a machine of each kind, then in any order.
        self._draw.shuffle(away)
        away.sort(key=lambda item: item.machine not in missing)
        for agent in away[:number]:
            self._world.count("started agents")
            await agent.begin()

    @staticmethod
    async def _drain(working: list[SimulatedAgent], number: int) -> None:
        for agent in sorted(working, key=lambda item: item.busy):
            if number <= 0:
                return
            same = [e for e in working if e.machine is agent.machine and not e.draining]
            if len(same) > 1:  # the last one of its kind stays
                await agent.drain()
                number -= 1

    def _wake_one(self, lane: Lane) -> bool:
        if lane not in self._serving:
            self._serving[lane] = [item for item in MACHINES if item.serves(lane)]
        groups = [self._resting[machine] for machine in self._serving[lane]]
        while any(groups):
            agent = self._pop(groups)
            if agent.free > 0 and not agent.asked:
                agent.ask_soon()
                return True
        return False

    def _pop(self, groups: list[list[SimulatedAgent]]) -> SimulatedAgent:
        (group,) = self._draw.choices(groups, [len(group) for group in groups])
        position = self._draw.randrange(len(group))
        group[position], group[-1] = group[-1], group[position]
        agent = group.pop()
        self._rest_marks.discard(agent.agent_id)
        return agent

    def _of(self, pool_name: str) -> list[SimulatedAgent]:
        return [agent for agent in self._agents if agent.machine.pool_name == pool_name]


def _by_key(item: tuple[Lane, int]) -> str:
    return item[0].key
