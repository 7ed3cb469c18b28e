"""A record is deleted, or its retention ends, while a call creates or replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import (
    AgentSpec,
    AgentStatus,
    ChangedMeanwhile,
    ControlPlane,
    DeploymentSpec,
    DeploymentStatus,
    JobSpec,
    JobState,
    PoolSpec,
    Settings,
)
from tests.services.broken_stores import Relay
from tests.services.scenes import finish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

DAY = 24 * 3600.0
SETTINGS = Settings(
    job_retention_seconds=DAY, deployment_retention_seconds=DAY, agent_retention_seconds=DAY
)


class Interrupted(Relay):
    """A store with something that happens before its next commit, or after it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.before_commit: Callable[[], Awaitable[object]] | None = None
        self.after_commit: Callable[[], object] | None = None

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        before, self.before_commit = self.before_commit, None
        if before is not None:
            await before()
        answers = await super().commit(commits)
        after, self.after_commit = self.after_commit, None
        if after is not None:
            after()
        return answers


@pytest.fixture
def interrupted(store: Store) -> Interrupted:
    return Interrupted(store)


@pytest.fixture
def over(interrupted: Interrupted) -> ControlPlane:
    """A control plane on the interrupted store; ``plane`` is another one on the same data."""
    return ControlPlane(interrupted, settings=SETTINGS)


async def test_a_pool_that_is_deleted_while_it_is_replaced_is_created(
    plane: ControlPlane, over: ControlPlane, interrupted: Interrupted
) -> None:
    await plane.pools.put(PoolSpec(pool_name="linux", max_agents=3))
    interrupted.before_commit = lambda: plane.pools.delete("linux")
    put = await over.pools.put(PoolSpec(pool_name="linux", max_agents=7))
    assert put.max_agents == 7
    assert await plane.pools.get("linux") == put


async def test_a_pool_that_is_deleted_while_its_version_is_replaced_stays_deleted(
    plane: ControlPlane, over: ControlPlane, interrupted: Interrupted
) -> None:
    seen = await plane.pools.put(PoolSpec(pool_name="linux", max_agents=3))
    interrupted.before_commit = lambda: plane.pools.delete("linux")
    with pytest.raises(ChangedMeanwhile):
        await over.pools.put(PoolSpec(pool_name="linux", max_agents=7), expected=seen)
    assert not await plane.pools.exists("linux")


async def test_an_agent_whose_record_expires_while_it_registers_is_registered(
    over: ControlPlane, interrupted: Interrupted, clock: VirtualClock
) -> None:
    gone = await over.agents.register(AgentSpec(agent_id="a-1"))
    await over.agents.deregister("a-1")

    async def a_day_later() -> None:
        clock.advance(DAY + 1)

    interrupted.before_commit = a_day_later
    agent = await over.agents.register(AgentSpec(agent_id="a-1"))
    assert agent.status is AgentStatus.REGISTERING
    assert agent.incarnation != gone.incarnation
    beaten = await over.agents.heartbeat("a-1", agent.incarnation)
    assert beaten.status is AgentStatus.HEALTHY


async def test_a_job_that_expires_while_its_key_is_used_again_is_created_again(
    over: ControlPlane, interrupted: Interrupted, clock: VirtualClock
) -> None:
    spec = JobSpec(job_type="build", idempotency_key="push 17")
    await over.queue.enqueue(spec)
    ended = await finish(over)
    interrupted.after_commit = lambda: clock.advance(DAY + 1)
    again = await over.queue.enqueue(spec)
    assert (again.job_id, again.state) == (ended.job_id, JobState.QUEUED)
    assert again.created_at > ended.created_at
    assert await over.jobs.get(again.job_id) == again


async def test_a_deployment_that_expires_while_its_id_is_used_again_is_created_again(
    over: ControlPlane, interrupted: Interrupted, clock: VirtualClock
) -> None:
    spec = DeploymentSpec(service_name="shop", version="1")
    old = await over.deployments.create(spec, deployment_id="d-1")
    await over.deployments.fail("d-1", error_message="no space")
    interrupted.after_commit = lambda: clock.advance(DAY + 1)
    again = await over.deployments.create(spec, deployment_id="d-1")
    assert again.status is DeploymentStatus.PENDING
    assert again.created_at > old.created_at
    assert await over.deployments.get("d-1") == again
