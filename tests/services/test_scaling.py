"""The scaling signal calls for agents that would have something to do, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import AgentSpec, JobSpec, PoolSpec
from cicd_core.queueing.scaling import PoolHealth
from tests.services.broken_stores import damage
from tests.services.scenes import claim, enqueue

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.store.contract import Store

pytestmark = pytest.mark.anyio


async def open_pool(plane: ControlPlane, agents: int, **fields: object) -> None:
    """Make the pool ``b`` with as many healthy agents of one slot."""
    await plane.pools.put(PoolSpec(pool_name="b", max_agents=20))
    for each in range(agents):
        await join(plane, f"a-{each}", **fields)


async def join(plane: ControlPlane, agent_id: str, **fields: object) -> None:
    spec = AgentSpec(agent_id=agent_id, pool_name="b", **fields)  # type: ignore[arg-type]
    agent = await plane.agents.register(spec)
    await plane.agents.heartbeat(agent_id, agent.incarnation)


async def occupy(plane: ControlPlane, *agents: str) -> None:
    for agent_id in agents:
        await enqueue(plane, pool_name="b")
        await claim(plane, agent_id, pool_name="b", start=True)


async def test_agents_that_drain_and_still_work_are_not_replaced(plane: ControlPlane) -> None:
    await open_pool(plane, 4)
    await occupy(plane, "a-0", "a-1", "a-2", "a-3")
    assert (await plane.pools.scaling("b")).change == 0
    for each in range(3):
        await plane.agents.drain(f"a-{each}", reason="scale in")
    signal = await plane.pools.scaling("b")
    assert (signal.desired, signal.current) == (1, 1)
    assert (signal.load.leased, signal.load.elsewhere) == (4, 3)
    assert "3 leased not counted" in signal.reason


async def test_jobs_that_wait_for_a_draining_agents_successor_are_counted(
    plane: ControlPlane,
) -> None:
    await open_pool(plane, 2)
    await occupy(plane, "a-0", "a-1")
    await plane.agents.drain("a-0", reason="new image")
    await enqueue(plane, pool_name="b")
    signal = await plane.pools.scaling("b")
    assert (signal.desired, signal.current) == (2, 1)


async def test_holders_that_never_registered_call_for_no_agents(plane: ControlPlane) -> None:
    await open_pool(plane, 0)
    await occupy(plane, "anyone-1", "anyone-2")
    await enqueue(plane, pool_name="b")
    await claim(plane, "anyone-3", pool_name="b")  # claimed, and not started yet
    signal = await plane.pools.scaling("b")
    assert (signal.desired, signal.load.leased, signal.load.elsewhere) == (0, 3, 3)


@pytest.mark.parametrize("needs", [{"labels": ("gpu",)}, {"job_type": "deploy"}])
async def test_jobs_that_no_agent_of_the_pool_can_run_call_for_no_more_of_them(
    plane: ControlPlane, needs: dict[str, object]
) -> None:
    await open_pool(plane, 1, labels=("linux",), job_types=("build",))
    wanted = {"job_type": "build", "pool_name": "b"} | needs
    await plane.queue.enqueue_many([JobSpec(**wanted)] * 40)  # type: ignore[arg-type]
    await enqueue(plane, pool_name="b", labels=("linux",))
    signal = await plane.pools.scaling("b")
    assert (signal.desired, signal.change) == (1, 0)
    assert (signal.load.ready, signal.load.unmatched) == (41, 40)
    assert "40 ready not counted" in signal.reason


async def test_a_pool_without_agents_counts_every_ready_job(plane: ControlPlane) -> None:
    await open_pool(plane, 1, labels=("linux",))
    await plane.agents.deregister("a-0")
    await plane.queue.enqueue_many([JobSpec(job_type="x", pool_name="b", labels=("gpu",))] * 3)
    assert (await plane.pools.scaling("b")).desired == 3


async def test_agents_that_can_not_be_read_are_counted_and_named(
    plane: ControlPlane, store: Store
) -> None:
    await open_pool(plane, 3)
    await occupy(plane, "a-0", "a-1", "a-2")
    before = await plane.pools.scaling("b")
    await damage(store, "agents", "a-1")
    signal = await plane.pools.scaling("b")
    assert (signal.desired, signal.current) == (before.desired, before.current) == (3, 3)
    assert "1 of the agents cannot be read" in signal.reason
    status = await plane.pools.status("b")
    assert status.fleet.unreadable == ("a-1",)
    assert status.condition.health is PoolHealth.DEGRADED
    assert "cannot be read" in status.condition.reason


async def test_a_job_says_that_agents_of_its_pool_can_not_be_read(
    plane: ControlPlane, store: Store
) -> None:
    await open_pool(plane, 1)
    job = await enqueue(plane, pool_name="b", labels=("gpu",))
    await damage(store, "agents", "a-0")
    (reason,) = await plane.jobs.why(job.job_id)
    assert "1 agent cannot be read here" in reason.message
    await join(plane, "a-9")
    (reason,) = await plane.jobs.why(job.job_id)
    assert reason.code == "no_agent_with_labels"
    assert "1 agent of the pool cannot be read here" in reason.message
