"""What reads cost inside SQLite, in steps of its machine: not more, the more there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import AgentSpec, ControlPlane, JobSpec, Outcome, PoolSpec
from cicd_core.entities import COLLECTIONS
from cicd_core.testing import VirtualClock
from tests.unit.store.sqlite.files import opened

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

#: The machine tells of each so many steps.
GRAIN = 10
#: How much more a read of a store that holds ten times as much may take: trees get deeper.
DEEPER = 1.3


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(path: Path, clock: VirtualClock) -> AsyncGenerator[SQLiteBackend, None]:
    async with opened(path, collections=COLLECTIONS, clock=clock, synchronous="normal") as store:
        yield store


@pytest.fixture
def plane(store: SQLiteBackend) -> ControlPlane:
    return ControlPlane(store)


async def steps(store: SQLiteBackend, read: Callable[..., Awaitable[Any]], **arguments: Any) -> int:
    """Return how many steps the reading connection takes for a read."""
    taken = [0]

    def tell() -> int:
        taken[0] += GRAIN
        return 0

    def count(connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(tell, GRAIN)

    await store.reads.call(count)
    await read(**arguments)
    await store.reads.call(lambda connection: connection.set_progress_handler(None, 0))
    return taken[0]


async def end_jobs(plane: ControlPlane, pool_name: str, number: int) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build", pool_name=pool_name)] * number)
    for claimed in await plane.queue.claim(
        agent_id="a-1", pool_name=pool_name, limit=number, start=True
    ):
        await plane.queue.complete(claimed, Outcome.exited(0))


async def grow(plane: ControlPlane, clock: VirtualClock, times: int) -> None:
    """Let pools and agents come and go, jobs end, and others wait; then let three days pass."""
    for _ in range(times):
        await end_jobs(plane, "default", 20)
    names = [f"branch-{each}" for each in range(10 * times)]
    for job in await plane.queue.enqueue_many(
        [JobSpec(job_type="build", pool_name=name) for name in names]
    ):
        await plane.jobs.cancel(job.job_id)
    for each in range(5 * times):
        await plane.agents.register(AgentSpec(agent_id=f"gone-{each}"))
        await plane.agents.deregister(f"gone-{each}")
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 40 * times)
    clock.advance(3 * 86_400)
    await plane.maintenance.sweep()  # it looks after the lanes as well, each half a minute


@pytest.mark.parametrize(
    "read",
    [
        "list of a pool",
        *(
            pytest.param(each, marks=pytest.mark.thorough)
            for each in ("list of a pool and status", "pool stats", "scaling", "sweep", "why")
        ),
    ],
)
async def test_a_read_takes_as_many_steps_when_there_is_ten_times_as_much(
    plane: ControlPlane, store: SQLiteBackend, clock: VirtualClock, read: str
) -> None:
    await plane.pools.put(PoolSpec(pool_name="rare"))
    await end_jobs(plane, "rare", 12)
    waiting = await plane.queue.enqueue(JobSpec(job_type="build", pool_name="rare"))
    reads: dict[str, tuple[Callable[..., Awaitable[Any]], dict[str, Any]]] = {
        "list of a pool": (plane.jobs.list, {"pool_name": "rare", "limit": 1}),
        "list of a pool and status": (
            plane.jobs.list,
            {"pool_name": "rare", "status": "success", "limit": 5},
        ),
        "pool stats": (plane.queue.stats, {"pool_name": "rare"}),
        "scaling": (plane.pools.scaling, {"pool_name": "rare"}),
        "sweep": (plane.maintenance.sweep, {}),
        "why": (plane.jobs.why, {"job_id": waiting.job_id}),
    }
    call, arguments = reads[read]
    await grow(plane, clock, 1)
    before = await steps(store, call, **arguments)
    await grow(plane, clock, 9)
    assert await steps(store, call, **arguments) <= before * DEEPER + 10 * GRAIN


async def test_a_count_looks_at_a_bounded_number_of_expired_records(
    plane: ControlPlane, store: SQLiteBackend, clock: VirtualClock
) -> None:
    for _ in range(9):
        await plane.queue.enqueue_many([JobSpec(job_type="build")] * 250)
        await end_jobs(plane, "default", 250)
    clock.advance(plane.settings.job_retention_seconds + 1)
    assert await steps(store, plane.dashboard.summary) < 60_000
    assert not (await plane.queue.stats()).exact
