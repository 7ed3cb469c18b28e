"""A commit is applied, its answer is lost, and others write before it is repeated: it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import (
    AgentReplaced,
    AgentSpec,
    AgentStatus,
    AlreadyExists,
    ControlPlane,
    DeploymentSpec,
    DeploymentStatus,
    IdempotencyConflict,
    JobSpec,
    JobState,
    LeaseLost,
    Outcome,
    PoolSpec,
    Priority,
    RetryPolicy,
    Settings,
    StoreUnavailable,
)
from tests.services.broken_stores import Relay
from tests.services.scenes import claim, enqueue, every_job, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict, StoreTime
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


class LosesAnAnswer(Relay):
    """A store that applies one commit, lets others write, and then loses the answer."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        if commits[0].writes[0].collection == "lanes":
            return answers
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
            raise StoreUnavailable("the connection was reset after the commit")
        return answers


class FailsAtTheClock(Relay):
    """A store whose clock is out of reach as often as it is set to be."""

    left = 0

    async def now(self) -> StoreTime:
        if self.left:
            self.left -= 1
            raise StoreUnavailable("the connection was reset")
        return await super().now()


@pytest.fixture
def losing(store: Store) -> LosesAnAnswer:
    return LosesAnAnswer(store)


@pytest.fixture
def over(losing: LosesAnAnswer) -> ControlPlane:
    """A control plane that loses answers; the fixture ``plane`` is another one on the same data."""
    return ControlPlane(losing, settings=Settings(commit_attempts=3))


async def test_enqueued_job_that_was_started_meanwhile_is_the_answer(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    await enqueue(over)
    await run(plane)
    losing.meanwhile = lambda: run(plane)
    job = await enqueue(over)
    assert job.state is JobState.RUNNING
    assert len(await every_job(plane)) == 2
    told = [event.type for event in await story(plane, job.job_id)]
    assert told == ["job.created", "job.enqueued", "job.claimed", "job.started"]


async def test_list_of_jobs_of_which_one_was_started_meanwhile_is_made_once(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    await enqueue(over)
    await run(plane)
    losing.meanwhile = lambda: run(plane)
    keyed = [JobSpec(job_type="build", idempotency_key=key) for key in ("a", "b")]
    made = await over.queue.enqueue_many([JobSpec(job_type="build"), *keyed])
    assert [job.state for job in made] == [JobState.RUNNING, JobState.QUEUED, JobState.QUEUED]
    assert len(await every_job(plane)) == 1 + 3
    with pytest.raises(IdempotencyConflict):
        await over.queue.enqueue(JobSpec(job_type="other", idempotency_key="a"))


async def test_created_job_that_was_enqueued_meanwhile_is_the_answer(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    async def enqueue_it() -> None:
        (job,) = await every_job(plane)
        await plane.jobs.submit(job.job_id)

    losing.meanwhile = enqueue_it
    assert (await over.jobs.create(JobSpec(job_type="build"))).state is JobState.QUEUED


async def test_pending_job_that_was_enqueued_and_started_meanwhile_is_the_answer(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    job = await over.jobs.create(JobSpec(job_type="build"))
    losing.meanwhile = lambda: run(plane)
    assert (await over.jobs.submit(job.job_id)).state is JobState.RUNNING


async def test_replayed_job_that_was_started_meanwhile_is_replayed_once(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    job = await enqueue(over, retry=RetryPolicy(max_attempts=1))
    await plane.queue.complete(await run(plane), Outcome.error("no disk"))
    losing.meanwhile = lambda: run(plane)
    replayed = await over.jobs.replay(job.job_id)
    assert (replayed.state, replayed.max_attempts) == (JobState.RUNNING, 2)


async def test_priority_that_another_one_changed_meanwhile_is_not_set_again(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    job = await enqueue(over)
    losing.meanwhile = lambda: plane.jobs.reprioritise(job.job_id, Priority.LOW)
    assert (await over.jobs.reprioritise(job.job_id, Priority.HIGH)).priority is Priority.LOW


async def test_tracked_run_that_ended_meanwhile_was_recorded(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    job = await over.jobs.create(JobSpec(job_type="build"))
    losing.meanwhile = lambda: plane.jobs.record_execution(job.job_id, Outcome.exited(0))
    assert (await over.jobs.record_start(job.job_id)).state is JobState.SUCCESS


async def test_cancel_of_a_job_whose_holder_succeeded_meanwhile_was_asked_for(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    await enqueue(over)
    held = await run(plane)
    losing.meanwhile = lambda: plane.queue.complete(held, Outcome.exited(0))
    job = await over.jobs.cancel(held.job.job_id)
    assert (job.state, job.cancel_requested_at is not None) == (JobState.SUCCESS, True)


async def test_deployment_that_went_on_meanwhile_is_the_answer(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    spec = DeploymentSpec(service_name="shop", version="1")
    losing.meanwhile = lambda: plane.deployments.begin_staging("d-1")
    made = await over.deployments.create(spec, deployment_id="d-1")
    assert made.status is DeploymentStatus.STAGING
    losing.meanwhile = lambda: plane.deployments.begin_production("d-1")
    staged = await over.deployments.record_staging("d-1", succeeded=True)
    assert staged.status is DeploymentStatus.PRODUCTION
    other = DeploymentSpec(service_name="shop", version="2")
    with pytest.raises(AlreadyExists):
        await over.deployments.create(other, deployment_id="d-1")


async def test_another_deployment_that_was_made_at_the_same_instant_exists_already(
    over: ControlPlane, plane: ControlPlane
) -> None:
    spec = DeploymentSpec(service_name="shop", version="1")
    await plane.deployments.create(spec, deployment_id="d-1")
    other = DeploymentSpec(service_name="shop", version="2")
    with pytest.raises(AlreadyExists):
        await over.deployments.create(other, deployment_id="d-1")


async def test_pool_that_another_resized_meanwhile_keeps_the_other_size(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    larger = PoolSpec(pool_name="p", max_agents=9)
    losing.meanwhile = lambda: plane.pools.put(larger)
    assert (await over.pools.put(PoolSpec(pool_name="p", max_agents=3))).max_agents == 9
    losing.meanwhile = lambda: plane.pools.put(larger)
    assert (await over.pools.put(PoolSpec(pool_name="p", max_agents=3))).max_agents == 9


@pytest.mark.parametrize("known", [False, True])
async def test_agent_that_was_replaced_meanwhile_does_not_replace_its_successor(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane, known: bool
) -> None:
    spec = AgentSpec(agent_id="a-1")
    if known:
        await plane.agents.register(spec)
    successor: list[str] = []

    async def replace() -> None:
        successor.append((await plane.agents.register(spec)).incarnation)

    losing.meanwhile = replace
    with pytest.raises(AgentReplaced):
        await over.agents.register(spec)
    assert [(await plane.agents.get("a-1")).incarnation] == successor


async def test_heartbeat_of_an_agent_that_was_replaced_meanwhile_is_refused(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    first = await over.agents.register(AgentSpec(agent_id="a-1"))
    losing.meanwhile = lambda: plane.agents.register(AgentSpec(agent_id="a-1"))
    with pytest.raises(AgentReplaced):
        await over.agents.heartbeat("a-1", first.incarnation)


async def test_status_that_another_operator_changed_meanwhile_is_not_set_again(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    agent = await over.agents.register(AgentSpec(agent_id="a-1"))
    await over.agents.heartbeat("a-1", agent.incarnation)
    losing.meanwhile = lambda: plane.agents.set_status("a-1", "healthy", reason="fine")
    answer = await over.agents.set_status("a-1", "unhealthy", reason="smoke")
    assert answer.status is AgentStatus.HEALTHY


async def test_start_of_a_job_that_another_holds_by_now_is_a_lost_lease(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(over)
    held = await claim(over)

    async def lose_it() -> None:
        clock.advance(3600.0 * 2)
        await plane.maintenance.sweep()
        clock.advance(3600.0)
        await plane.maintenance.sweep()
        await run(plane, "a-2")

    losing.meanwhile = lose_it
    with pytest.raises(LeaseLost):
        await over.queue.start(held)


async def test_start_that_another_cancelled_meanwhile_gives_the_handle(
    over: ControlPlane, losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    await enqueue(over)
    held = await claim(over)
    losing.meanwhile = lambda: plane.jobs.cancel(held.job.job_id)
    running = await over.queue.start(held)
    assert (running.token, running.job.state) == (held.token, JobState.RUNNING)
    assert running.job.cancel_requested_at is not None


async def test_last_attempt_of_a_commit_that_was_applied_is_no_contention(
    losing: LosesAnAnswer, plane: ControlPlane
) -> None:
    over = ControlPlane(losing, settings=Settings(commit_attempts=2))
    job = await enqueue(over)
    losing.meanwhile = lambda: plane.jobs.reprioritise(job.job_id, Priority.LOW)
    assert (await over.jobs.reprioritise(job.job_id, Priority.HIGH)).priority is Priority.LOW


async def test_clock_that_is_out_of_reach_for_a_moment_fails_no_call(
    store: Store, plane: ControlPlane
) -> None:
    failing = FailsAtTheClock(store)
    over = ControlPlane(failing, settings=Settings(commit_attempts=3))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: enqueue(over),
        lambda: over.jobs.create(JobSpec(job_type="build")),
        lambda: run(over),
        lambda: over.deployments.create(DeploymentSpec(service_name="shop", version="1")),
        lambda: over.agents.register(AgentSpec(agent_id="a-1")),
        lambda: over.pools.put(PoolSpec(pool_name="default")),
        lambda: over.pools.scaling("default"),
        lambda: over.sessions.create("u-1"),
        over.maintenance.sweep,
        over.queue.stats,
        over.dashboard.summary,
        over.now,
    ]
    for call in calls:
        failing.left = 2
        await call()
