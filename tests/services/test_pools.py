"""Pools: counted when somebody asks, and never stored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import (
    AgentSpec,
    AgentStatus,
    ChangedMeanwhile,
    IllegalTransition,
    InvalidInput,
    JobSpec,
    NotFound,
    PoolSpec,
)
from cicd_core.audit import audit
from cicd_core.model.instants import from_micros
from cicd_core.queueing.scaling import PoolHealth, ScalingTerm
from tests.services.broken_stores import damage
from tests.services.scenes import claim, enqueue, finish, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core import ControlPlane
    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def staff(plane: ControlPlane, number: int, *, slots: int = 1) -> None:
    for each in range(number):
        spec = AgentSpec(agent_id=f"a-{each}", pool_name="fast", slots=slots)
        agent = await plane.agents.register(spec)
        await plane.agents.heartbeat(agent.agent_id, agent.incarnation)


async def test_a_pool_is_put_and_put_again(plane: ControlPlane, clock: VirtualClock) -> None:
    made = await plane.pools.put(PoolSpec(pool_name="fast", max_agents=5), actor="ann")
    clock.advance(60)
    changed = await plane.pools.put(PoolSpec(pool_name="fast", max_agents=9), actor="bob")
    assert (changed.max_agents, changed.created_at) == (9, made.created_at)
    assert changed.updated_at - made.updated_at == timedelta(minutes=1)
    clock.advance(60)
    assert await plane.pools.put(PoolSpec(pool_name="fast", max_agents=9)) == changed
    assert await plane.pools.get("fast") == changed
    told = [(event.type, event.data["actor"]) for event in await story(plane, "fast")]
    assert told == [("pool.created", "ann"), ("pool.updated", "bob")]


async def test_a_pool_that_was_changed_since_it_was_read_is_left_as_it_is(
    plane: ControlPlane,
) -> None:
    read = await plane.pools.put(PoolSpec(pool_name="fast", max_agents=5))
    sized = await plane.pools.scale("fast", 3, expected=read)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: plane.pools.put(PoolSpec(pool_name="fast"), expected=read),
        lambda: plane.pools.scale("fast", 4, expected=read),
        lambda: plane.pools.put(PoolSpec(pool_name="slow"), expected=read),
    ]
    for change in changes:
        with pytest.raises(ChangedMeanwhile):
            await change()
    assert await plane.pools.get("fast") == sized
    wider = await plane.pools.put(PoolSpec(pool_name="fast", max_agents=9), expected=sized)
    assert (wider.max_agents, wider.target_agents) == (9, None)


async def test_two_who_put_one_pool_at_once_make_one(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    async with anyio.create_task_group() as tasks:
        for through in (plane, other_plane):
            tasks.start_soon(through.pools.put, PoolSpec(pool_name="fast"))
    assert len((await plane.pools.list()).items) == 1
    assert len(await story(plane, "fast")) == 1


async def test_an_empty_pool_is_deleted_and_may_be_put_again(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast", max_agents=5))
    await enqueue(plane, pool_name="fast")
    await finish(plane, pool_name="fast")
    clock.advance(1)
    await plane.pools.delete("fast", actor="ann")
    assert (await other_plane.pools.list()).items == ()
    assert not await other_plane.pools.exists("fast")
    with pytest.raises(NotFound):
        await plane.pools.delete("fast")
    clock.advance(1)
    again = await plane.pools.put(PoolSpec(pool_name="fast"))
    assert (again.max_agents, await other_plane.pools.get("fast")) == (10, again)
    told = [(event.type, event.data["actor"]) for event in await story(plane, "fast")]
    assert told[:2] == [("pool.created", "operator"), ("pool.deleted", "ann")]
    assert (await audit(plane)).ok


async def test_a_deleted_pool_is_accounted_for_by_an_audit(plane: ControlPlane) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast"))
    await plane.pools.delete("fast")
    assert (await audit(plane)).ok


async def pending(plane: ControlPlane) -> None:
    await plane.jobs.create(JobSpec(job_type="build", pool_name="fast"))


async def tracked(plane: ControlPlane) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build", pool_name="fast"))
    await plane.jobs.record_start(job.job_id)


async def queued(plane: ControlPlane) -> None:
    await enqueue(plane, pool_name="fast")


async def delayed(plane: ControlPlane) -> None:
    await enqueue(plane, pool_name="fast", run_at=await plane.now() + timedelta(hours=1))


async def running(plane: ControlPlane) -> None:
    await enqueue(plane, pool_name="fast")
    await run(plane, pool_name="fast")


async def silent(plane: ControlPlane) -> None:
    await staff(plane, 1)
    await plane.agents.set_status("a-0", AgentStatus.OFFLINE, reason="gone")


@pytest.mark.parametrize("use", [pending, tracked, queued, delayed, running, silent])
async def test_a_pool_in_use_is_deleted_by_force_alone(
    plane: ControlPlane, use: Callable[[ControlPlane], Awaitable[None]]
) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast"))
    await use(plane)
    with pytest.raises(IllegalTransition, match=r"in use.*not ended: .*not gone: .*force"):
        await plane.pools.delete("fast")
    assert await plane.pools.exists("fast")
    before = (await plane.jobs.list(pool_name="fast")).items, await plane.agents.in_pool("fast")
    await plane.pools.delete("fast", force=True)
    assert not await plane.pools.exists("fast")
    assert before == (
        (await plane.jobs.list(pool_name="fast")).items,
        await plane.agents.in_pool("fast"),
    )


async def test_a_pool_that_cannot_be_read_is_deleted(plane: ControlPlane, store: Store) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast"))
    await damage(store, "agent-pools", "fast")
    await plane.pools.delete("fast")
    assert not await plane.pools.exists("fast")


async def test_work_may_wait_in_a_pool_that_nobody_has_put(plane: ControlPlane) -> None:
    await enqueue(plane, pool_name="fast")
    assert not await plane.pools.exists("fast")
    with pytest.raises(NotFound) as refused:
        await plane.pools.scaling("fast")
    assert (refused.value.kind, refused.value.key) == ("pool", "fast")
    await plane.pools.put(PoolSpec(pool_name="fast"))
    assert await plane.pools.exists("fast")
    assert (await plane.pools.scaling("fast")).desired == 1


async def test_pools_are_listed_page_by_page(plane: ControlPlane, clock: VirtualClock) -> None:
    for name in ("a", "b", "c"):
        await plane.pools.put(PoolSpec(pool_name=name))
        clock.advance(1)
    first = await plane.pools.list(limit=2)
    second = await plane.pools.list(limit=2, cursor=first.cursor)
    assert [pool.pool_name for pool in (*first.items, *second.items)] == ["c", "b", "a"]


async def test_the_status_of_a_pool_counts_agents_and_work(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast"))
    assert (await plane.pools.status("fast")).condition.health is PoolHealth.EMPTY
    await staff(plane, 3, slots=2)
    await plane.agents.drain("a-2", reason="maintenance")
    for _ in range(4):
        await enqueue(plane, pool_name="fast")
    await enqueue(plane, "test", pool_name="fast", labels=("gpu",))
    later = from_micros(clock.micros()) + timedelta(hours=1)
    await enqueue(plane, pool_name="fast", run_at=later)
    await run(plane, pool_name="fast")
    await claim(plane, pool_name="fast")
    tracked = await plane.jobs.create(JobSpec(job_type="build", pool_name="fast"))
    await plane.jobs.record_start(tracked.job_id)
    await enqueue(plane)
    status = await plane.pools.status("fast")
    # The tracked run needs no agent of this pool, and the other pool's job none either.
    assert (status.load.ready, status.load.leased, status.load.delayed) == (3, 2, 1)
    assert status.fleet.by_status == {AgentStatus.HEALTHY: 2, AgentStatus.TERMINATING: 1}
    assert (status.fleet.slots, status.condition.health) == (4, PoolHealth.HEALTHY)


async def test_the_scaling_signal_says_how_many_and_why(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    spec = PoolSpec(pool_name="fast", min_agents=1, max_agents=4, slots_per_agent=2)
    await plane.pools.put(spec)
    idle = await plane.pools.scaling("fast")
    assert (idle.desired, idle.current, idle.term) == (1, 0, ScalingTerm.MINIMUM)
    assert idle.as_of == from_micros(clock.micros())
    for _ in range(5):
        await enqueue(plane, pool_name="fast")
    busy = await plane.pools.scaling("fast")
    assert (busy.desired, busy.change, busy.term) == (3, 3, ScalingTerm.DEMAND)
    assert busy.reason == "5 ready + 0 leased over 2 slots an agent = 3"
    await staff(plane, 2)
    await run(plane, pool_name="fast")
    capped = await plane.pools.scaling("fast")
    assert (capped.desired, capped.current, capped.term) == (4, 2, ScalingTerm.MAXIMUM)
    assert "4 ready + 1 leased over 1 slot an agent = 5" in capped.reason
    assert "capped by max_agents 4" in capped.reason


async def test_agents_that_drain_or_are_gone_are_no_capacity(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast", warm_agents=1))
    await staff(plane, 2)
    await plane.agents.drain("a-0", reason="maintenance")
    signal = await plane.pools.scaling("fast")
    assert (signal.current, signal.desired, signal.term) == (1, 1, ScalingTerm.WARM)
    assert "1 terminating" in signal.reason
    clock.advance(31)
    await plane.maintenance.sweep()
    silent = await plane.pools.scaling("fast")
    assert silent.current == 0
    assert "1 offline" in silent.reason
    assert (await plane.pools.status("fast")).condition.health is PoolHealth.UNHEALTHY


async def test_an_operators_target_stands_in_for_the_demand(plane: ControlPlane) -> None:
    await plane.pools.put(PoolSpec(pool_name="fast", target_agents=3))
    signal = await plane.pools.scaling("fast")
    assert (signal.desired, signal.term) == (3, ScalingTerm.TARGET)


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("pool_name", PoolSpec(pool_name="no good")),
        ("min_agents", PoolSpec(pool_name="p", min_agents=-1)),
        ("min_agents", PoolSpec(pool_name="p", min_agents=5, max_agents=4)),
        ("target_agents", PoolSpec(pool_name="p", target_agents=11)),
        ("slots_per_agent", PoolSpec(pool_name="p", slots_per_agent=0)),
    ],
)
async def test_a_pool_that_cannot_be_is_refused(
    plane: ControlPlane, field: str, spec: PoolSpec
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.pools.put(spec)
    assert refused.value.field == field
    assert (await plane.pools.list()).items == ()
