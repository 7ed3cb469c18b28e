"""Work is given to no agent that is unhealthy, drains or has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import (
    AgentMetrics,
    AgentSpec,
    AgentStatus,
    AgentUnavailable,
    ControlPlane,
    JobState,
    Settings,
)
from tests.patience import PATIENCE
from tests.services.scenes import claim, enqueue, run

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

FULL = AgentMetrics(disk_percent=99)
FINE = AgentMetrics(disk_percent=10)


async def test_an_unhealthy_agent_gets_no_work_until_it_is_better(plane: ControlPlane) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE)
    await enqueue(plane)
    await enqueue(plane)
    await run(plane, "a-1")
    await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FULL)
    with pytest.raises(AgentUnavailable, match="disk at 99 %") as refused:
        await plane.queue.claim(agent_id="a-1")
    assert (refused.value.agent_id, refused.value.status) == ("a-1", "unhealthy")
    assert refused.value.retryable
    await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE)
    assert (await claim(plane, "a-1")).job.state is JobState.CLAIMED


async def test_an_agent_that_says_it_can_run_nothing_gets_no_work_until_it_can(
    plane: ControlPlane,
) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    said = await plane.agents.heartbeat("a-1", agent.incarnation, fault="no space left\0\udcff")
    assert said.status is AgentStatus.UNHEALTHY
    await enqueue(plane)
    with pytest.raises(AgentUnavailable, match=r"cannot run jobs: no space left\?\?"):
        await plane.queue.claim(agent_id="a-1")
    stays = await plane.agents.heartbeat("a-1", agent.incarnation, fault="no space left")
    assert stays.status is AgentStatus.UNHEALTHY
    await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE)
    assert (await claim(plane, "a-1")).job.state is JobState.CLAIMED


async def test_a_degraded_agent_goes_on(plane: ControlPlane) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    busy = AgentMetrics(cpu_percent=90)
    beaten = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=busy)
    assert beaten.status is AgentStatus.DEGRADED
    await enqueue(plane)
    assert (await claim(plane, "a-1")).job.state is JobState.CLAIMED


@pytest.mark.parametrize("word", ["drain", "deregister"])
async def test_an_agent_that_is_to_go_gets_no_work_until_it_registers_anew(
    plane: ControlPlane, word: str
) -> None:
    await plane.agents.register(AgentSpec(agent_id="a-1"))
    await getattr(plane.agents, word)("a-1", reason="the machine goes")
    await enqueue(plane)
    with pytest.raises(AgentUnavailable, match="the machine goes"):
        await plane.queue.claim(agent_id="a-1")
    await plane.agents.register(AgentSpec(agent_id="a-1"))
    assert (await claim(plane, "a-1")).job.state is JobState.CLAIMED


async def test_an_agent_whose_heartbeats_are_late_gets_work_since_it_asks(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation)
    clock.advance(31)
    assert (await plane.maintenance.sweep()).silenced == 1
    await enqueue(plane)
    assert (await claim(plane, "a-1")).job.state is JobState.CLAIMED


async def test_a_repeated_claim_learns_what_the_first_one_got(plane: ControlPlane) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await enqueue(plane)
    await enqueue(plane)
    first = await claim(plane, "a-1", request_id="r-1")
    await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FULL)
    again = await claim(plane, "a-1", request_id="r-1")
    assert again.token == first.token
    with pytest.raises(AgentUnavailable):
        await plane.queue.claim(agent_id="a-1", request_id="r-2")


async def test_another_control_plane_hears_of_it_within_the_refresh_of_lanes(store: Store) -> None:
    settings = Settings(lane_refresh_seconds=0.1)
    here, there = ControlPlane(store, settings=settings), ControlPlane(store, settings=settings)
    agent = await here.agents.register(AgentSpec(agent_id="a-1"))
    assert await there.queue.claim(agent_id="a-1") == []
    await here.agents.heartbeat("a-1", agent.incarnation, metrics=FULL)
    with anyio.fail_after(PATIENCE), pytest.raises(AgentUnavailable):
        # It waits for work, and looks again while it does.
        await there.queue.claim(agent_id="a-1", wait=PATIENCE)
