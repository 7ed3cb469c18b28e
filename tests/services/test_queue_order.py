"""Which job an agent is given: the best rank over the lanes that it can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import JobSpec, JobState, Outcome, Priority
from tests.services.scenes import claim, enqueue, finish, ids, nothing_to_claim, taken

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_the_most_urgent_job_goes_first(plane: ControlPlane) -> None:
    order = [Priority.LOW, Priority.CRITICAL, Priority.NORMAL, Priority.HIGH]
    made = {priority: await enqueue(plane, priority=priority) for priority in order}
    claims = await plane.queue.claim(agent_id="a-1", limit=4)
    assert [each.job.priority for each in claims] == sorted(Priority)
    assert taken(claims) == [made[priority].job_id for priority in sorted(Priority)]


async def test_among_equals_the_first_goes_first_even_in_one_microsecond(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    same_moment = [await enqueue(plane) for _ in range(5)]
    clock.advance(micros=1)
    later = [await enqueue(plane) for _ in range(5)]
    claims = await plane.queue.claim(agent_id="a-1", limit=10)
    assert taken(claims) == ids(same_moment + later)


async def test_a_batch_keeps_its_order(plane: ControlPlane) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 20)
    assert len({job.job_id for job in jobs}) == 20
    claims = await plane.queue.claim(agent_id="a-1", limit=20)
    assert taken(claims) == ids(jobs)


async def test_a_batch_keeps_its_order_beyond_one_call_to_the_store(plane: ControlPlane) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 1005)
    claims = [
        claimed for _ in range(5) for claimed in await plane.queue.claim(agent_id="a-1", limit=256)
    ]
    assert taken(claims) == ids(jobs)


async def test_a_batch_with_keys_keeps_its_order_though_its_ids_do_not_grow(
    plane: ControlPlane,
) -> None:
    keys = [f"push {number}" for number in range(20)]
    specs = [JobSpec(job_type="build", idempotency_key=key) for key in keys]
    jobs = await plane.queue.enqueue_many(specs)
    assert ids(jobs) != sorted(ids(jobs))
    assert taken(await plane.queue.claim(agent_id="a-1", limit=20)) == ids(jobs)


async def test_an_empty_batch_makes_nothing(plane: ControlPlane) -> None:
    assert await plane.queue.enqueue_many([]) == []
    assert (await plane.jobs.list()).items == ()


async def test_priority_is_strict_across_lanes(plane: ControlPlane) -> None:
    await enqueue(plane, "build", priority=Priority.LOW)
    urgent = await enqueue(plane, "test", priority=Priority.HIGH, labels=("gpu",))
    normal = await enqueue(plane, "lint")
    claims = await plane.queue.claim(agent_id="a-1", labels=["gpu"], limit=2)
    assert taken(claims) == [urgent.job_id, normal.job_id]


async def test_an_agent_is_given_what_its_labels_cover_and_nothing_else(
    plane: ControlPlane,
) -> None:
    both = await enqueue(plane, labels=("gpu", "linux"))
    linux = await enqueue(plane, labels=("linux",))
    anywhere = await enqueue(plane)
    assert taken(await plane.queue.claim(agent_id="a-1", limit=9)) == [anywhere.job_id]
    claims = await plane.queue.claim(agent_id="a-2", labels=["linux", "arm"], limit=9)
    assert taken(claims) == [linux.job_id]
    claims = await plane.queue.claim(agent_id="a-3", labels=["linux", "gpu"], limit=9)
    assert taken(claims) == [both.job_id]


async def test_a_job_that_nobody_can_run_blocks_nobody(plane: ControlPlane) -> None:
    await enqueue(plane, labels=("quantum",), priority=Priority.CRITICAL)
    possible = await enqueue(plane, priority=Priority.LOW)
    assert (await claim(plane)).job.job_id == possible.job_id


async def test_an_agent_is_given_the_types_that_it_has_handlers_for(plane: ControlPlane) -> None:
    build = await enqueue(plane, "build")
    deploy = await enqueue(plane, "deploy")
    assert await nothing_to_claim(plane, job_types=["test"])
    assert await nothing_to_claim(plane, job_types=[])
    assert (await claim(plane, job_types=["deploy"])).job.job_id == deploy.job_id
    assert (await claim(plane, job_types=None)).job.job_id == build.job_id


async def test_a_pool_is_served_by_its_own_agents(plane: ControlPlane) -> None:
    fast = await enqueue(plane, pool_name="fast")
    assert await nothing_to_claim(plane)
    assert await nothing_to_claim(plane, pool_name="other")
    assert (await claim(plane, pool_name="fast")).job.job_id == fast.job_id


async def test_no_job_is_given_twice(plane: ControlPlane, other_plane: ControlPlane) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 10)
    first = await plane.queue.claim(agent_id="a-1", limit=6)
    second = await other_plane.queue.claim(agent_id="a-2", limit=6)
    assert taken([*first, *second]) == ids(jobs)
    assert len(second) == 4


async def test_a_new_priority_moves_a_job_and_its_age_decides_among_equals(
    plane: ControlPlane,
) -> None:
    first, second, third = [await enqueue(plane) for _ in range(3)]
    await plane.jobs.reprioritise(third.job_id, Priority.HIGH)
    await plane.jobs.reprioritise(first.job_id, Priority.HIGH)
    claims = await plane.queue.claim(agent_id="a-1", limit=3)
    assert taken(claims) == [first.job_id, third.job_id, second.job_id]


async def test_a_job_that_is_tried_again_keeps_its_place(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    old = await enqueue(plane)
    assert (await finish(plane, Outcome.error("no disk"))).state is JobState.QUEUED
    clock.advance(0.1)
    young = await enqueue(plane)
    clock.advance(300)
    assert (await plane.maintenance.sweep()).promoted == 1
    claims = await plane.queue.claim(agent_id="a-1", limit=2)
    assert taken(claims) == [old.job_id, young.job_id]
