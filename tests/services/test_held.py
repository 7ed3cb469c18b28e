"""A caller learns what its request got, and gives it back, without taking anything new."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from cicd_core import AgentSpec, ControlPlane, Delivery, JobState, StoreUnavailable
from tests.services.broken_stores import Relay
from tests.services.scenes import SETTINGS, claim, enqueue, nothing_to_claim, taken

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Record, StoreTime

pytestmark = pytest.mark.anyio


async def test_held_answers_what_a_claim_took_and_takes_nothing(plane: ControlPlane) -> None:
    first = await enqueue(plane)
    second = await enqueue(plane)
    claimed = await claim(plane, request_id="r-1", start=True)
    assert claimed.job.job_id == first.job_id
    for request_id, expected in (("r-1", [first.job_id]), ("r-2", [])):
        held = await plane.queue.held(agent_id="a-1", request_id=request_id)
        assert taken(held) == expected
    await plane.queue.release(claimed, began=False)
    assert await plane.queue.held(agent_id="a-1", request_id="r-1") == []
    assert (await plane.jobs.get(second.job_id)).state is JobState.QUEUED


async def test_what_held_answers_can_be_renewed_and_completed(plane: ControlPlane) -> None:
    await enqueue(plane)
    claimed = await claim(plane, request_id="r-1", lease_seconds=60.0)
    (held,) = await plane.queue.held(agent_id="a-1", request_id="r-1", lease_seconds=60.0)
    assert held == claimed


async def test_an_agent_that_takes_no_work_learns_what_it_holds(plane: ControlPlane) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", str(agent.incarnation))
    job = await enqueue(plane)
    await claim(plane, request_id="r-1")
    await plane.agents.drain("a-1", reason="done", actor="test")
    assert taken(await plane.queue.held(agent_id="a-1", request_id="r-1")) == [job.job_id]
    assert await plane.queue.held(agent_id="a-1", request_id="r-2") == []


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_job_that_never_began_goes_back_to_the_queue(
    plane: ControlPlane, delivery: Delivery
) -> None:
    job = await enqueue(plane, delivery=delivery)
    claimed = await claim(plane, start=True)
    back = await plane.queue.release(claimed, reason="no slot", began=False)
    assert (back.state, back.attempts_used) == (JobState.QUEUED, 0)
    assert (await plane.jobs.get(job.job_id)).error_message is None


class TakesAndHangs(Relay):
    """Its claims take effect, and their answers never come."""

    async def claim(self, claim: Claim) -> list[Record]:
        records = await self.store.claim(claim)
        if claim.limit:
            await anyio.sleep_forever()
        return records


async def test_a_cancelled_claim_gives_an_at_most_once_job_back_unused(store: Store) -> None:
    plane = ControlPlane(TakesAndHangs(store), settings=SETTINGS)
    job = await enqueue(plane, delivery=Delivery.AT_MOST_ONCE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(plane.queue.claim, agent_id="a-1", start=True))
        while (await plane.jobs.get(job.job_id)).state is JobState.QUEUED:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    back = await plane.jobs.get(job.job_id)
    assert (back.state, back.releases, back.attempts_used) == (JobState.QUEUED, 1, 0)


class LosesItsClock(Relay):
    """After a claim that took something its clock can't be read, for a while."""

    unread = 0

    async def claim(self, claim: Claim) -> list[Record]:
        records = await self.store.claim(claim)
        if claim.limit and records:
            self.unread = SETTINGS.commit_attempts
        return records

    async def now(self) -> StoreTime:
        if self.unread:
            self.unread -= 1
            raise StoreUnavailable("no clock")
        return await self.store.now()


async def test_a_claim_that_fails_after_it_took_gives_back_what_it_took(store: Store) -> None:
    plane = ControlPlane(LosesItsClock(store), settings=SETTINGS)
    job = await enqueue(plane, delivery=Delivery.AT_MOST_ONCE)
    with pytest.raises(StoreUnavailable):
        await plane.queue.claim(agent_id="a-1", start=True)
    back = await plane.jobs.get(job.job_id)
    assert (back.state, back.releases) == (JobState.QUEUED, 1)
    assert await nothing_to_claim(plane)  # it waits a second, as what was released does
