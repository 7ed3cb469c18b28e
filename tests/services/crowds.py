"""Many agents that wait for work, and what becomes of those that a job wakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from cicd_core import AgentUnavailable, ControlPlane
from cicd_core.model.agent import AgentSpec
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay
from tests.services.scenes import SETTINGS, enqueue, finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Record, Watch


class Watched(Relay):
    """Counts the calls of agents, and does something when one of them is woken."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls: Counter[str] = Counter()
        #: How many wait until they are woken.
        self.waiting = 0
        #: How many rounds each claim waits in vain first, by their order.
        self.rounds: list[int] = []
        self._begun: dict[str | None, int] = {}
        self.when_woken: Callable[[], Awaitable[object]] | None = None

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        self.calls["get"] += 1
        return await super().get(collection, keys)

    async def claim(self, claim: Claim) -> list[Record]:
        self.calls["claim"] += 1
        await anyio.lowlevel.checkpoint()  # here those end that were cancelled when they woke
        return await super().claim(claim)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        self.calls["wait"] += 1
        if self._is_in_vain(watches[0].turn):
            return await super().wait(watches, 0.001)
        self.waiting += 1
        try:
            woken = await super().wait(watches, timeout)
        finally:
            self.waiting -= 1
        if woken:
            self.calls["woken"] += 1
            if self.when_woken is not None:
                await self.when_woken()
        return woken

    @property
    def came(self) -> int:
        return len(self._begun)

    def _is_in_vain(self, turn: str | None) -> bool:
        begun = self._begun[turn] = self._begun.get(turn, 0) + 1
        place = list(self._begun).index(turn)
        return place < len(self.rounds) and begun <= self.rounds[place]


#: How many wait in a line that a server keeps, which hears of them later than the store does.
Line = Callable[[], int]


class Crowd:
    """Agents that each claim one job, over stores that may be shared."""

    def __init__(self, stores: Sequence[Store], line: Line | None) -> None:
        self.stores = [Watched(store) for store in stores]
        self._line = line
        self.scopes: dict[str, anyio.CancelScope] = {}
        self.planes: dict[str, ControlPlane] = {}
        #: Who got a job, in order, and how many did not.
        self.served: list[str] = []
        self.unfit: list[str] = []
        self.head = ControlPlane(stores[0], settings=SETTINGS)

    @property
    def waiting(self) -> int:
        return sum(store.waiting for store in self.stores)

    def have_come(self, number: int) -> bool:
        """Whether so many claims wait, also where the line is a server's."""
        if sum(store.came for store in self.stores) < number:
            return False
        return self._line is None or self._line() >= number

    def have_served(self, number: int) -> bool:
        """Whether so many jobs were taken."""
        return len(self.served) >= number

    @property
    def calls(self) -> Counter[str]:
        return sum((store.calls for store in self.stores), Counter[str]())

    async def wait_as(self, agent_id: str, store: Store) -> None:
        """Wait for one job and finish it."""
        plane = self.planes[agent_id] = ControlPlane(store, settings=SETTINGS)
        with anyio.CancelScope() as self.scopes[agent_id]:
            try:
                claims = await plane.queue.claim(agent_id=agent_id, wait=3600.0, start=True)
            except AgentUnavailable:
                self.unfit.append(agent_id)
            else:
                self.served += [agent_id] * len(claims)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Return when something has become true."""
        while not is_true():  # noqa: ASYNC110 - what it asks about has no event
            await anyio.sleep(0.001)

    async def settles(self) -> None:
        """Return when what was woken has had its time: each store has answered calls since."""
        for _ in range(20):
            for store in self.stores:
                await store.store.get("jobs", ["none"])
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def crowd_of(
    number: int, stores: Sequence[Store], *, rounds: Sequence[int] = (), line: Line | None = None
) -> AsyncGenerator[Crowd, None]:
    """Have so many agents wait for a job in a lane that is there, one after the other."""
    crowd = Crowd(stores, line)
    for store in crowd.stores:
        store.rounds = [*rounds]
    await enqueue(crowd.head)
    await finish(crowd.head)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for each in range(number):
                store = crowd.stores[each % len(crowd.stores)]
                tasks.start_soon(crowd.wait_as, f"agent-{each:03}", store)
                await crowd.until(partial(crowd.have_come, each + 1))
            await crowd.until(lambda: crowd.waiting == number)
            await crowd.settles()
            yield crowd
            tasks.cancel_scope.cancel()


async def one_job_costs(number: int, stores: Sequence[Store]) -> Counter[str]:
    """Return the calls that one job makes of so many idle agents."""
    async with crowd_of(number, stores) as crowd:
        for store in crowd.stores:
            store.calls.clear()
        await enqueue(crowd.head)
        await crowd.until(lambda: len(crowd.served) == 1)
        await crowd.settles()
        assert crowd.waiting == number - 1
        return crowd.calls


async def first_come_first_served(stores: Sequence[Store], line: Line | None = None) -> None:
    """Claims keep their places in the line, also where the first ones wait in the most rounds."""
    async with crowd_of(4, stores, rounds=[200, 100, 50, 0], line=line) as crowd:
        for served in range(4):
            await enqueue(crowd.head)
            await crowd.until(partial(crowd.have_served, served + 1))
        assert crowd.served == [f"agent-{each:03}" for each in range(4)]


async def each_chosen_one_is_cancelled(stores: Sequence[Store], line: Line | None = None) -> None:
    """A job outlives every agent that it wakes but the last one."""
    async with crowd_of(6, stores, line=line) as crowd:
        gone: list[str] = []

        async def cancel() -> None:
            if len(gone) < 5:
                gone.append(sorted(crowd.scopes)[len(gone)])
                crowd.scopes[gone[-1]].cancel()  # it ends with what it awaits next

        for store in crowd.stores:
            store.when_woken = cancel
        await enqueue(crowd.head)
        await crowd.until(lambda: crowd.served != [])
        assert (crowd.served, len(gone)) == (["agent-005"], 5)


async def each_chosen_one_is_unfit(stores: Sequence[Store], line: Line | None = None) -> None:
    """A job that wakes agents which drain meanwhile goes to the one that does not."""
    async with crowd_of(0, stores, line=line) as crowd:
        async with anyio.create_task_group() as tasks:
            for each in range(5):
                agent_id = f"agent-{each:03}"
                await crowd.head.agents.register(AgentSpec(agent_id=agent_id))
                store = crowd.stores[each % len(crowd.stores)]
                tasks.start_soon(crowd.wait_as, agent_id, store)
                await crowd.until(partial(crowd.have_come, each + 1))
            drained: list[str] = []

            async def drain() -> None:
                if len(drained) < 4:
                    drained.append(f"agent-{len(drained):03}")
                    await crowd.planes[drained[-1]].agents.drain(drained[-1], reason="maintenance")

            for store in crowd.stores:
                store.when_woken = drain
            await crowd.settles()
            await enqueue(crowd.head)
        assert crowd.served == ["agent-004"]
        assert crowd.unfit == drained


async def many_jobs_wake_as_many(stores: Sequence[Store]) -> None:
    """Jobs of one commit, and jobs that come while their waiters take others, are all taken."""
    async with crowd_of(6, stores) as crowd:
        specs = [spec for _ in range(4) for spec in [enqueue(crowd.head)]]
        async with anyio.create_task_group() as tasks:
            for job in specs:
                tasks.start_soon(_await, job)
        await crowd.until(lambda: len(crowd.served) == 4)
        await crowd.settles()
        assert crowd.waiting == 2


async def _await(work: Awaitable[object]) -> None:
    await work
