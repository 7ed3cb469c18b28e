"""Delays and deadlines in seconds are checked for the whole call, and never block a key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core import IdempotencyConflict, InvalidInput, JobSpec, JobState
from cicd_core.control_plane.enqueueing import BATCH
from tests.services.scenes import every_job, everything_told

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

KEYED = JobSpec(job_type="build", delay_seconds=30, idempotency_key="push 17")


@pytest.mark.parametrize("deadline_seconds", [5, 0])
async def test_a_spec_that_could_never_start_makes_no_job_of_any_batch(
    plane: ControlPlane, deadline_seconds: float
) -> None:
    tomorrow = await plane.now() + timedelta(days=1)
    never = JobSpec(job_type="build", run_at=tomorrow, deadline_seconds=deadline_seconds)
    specs = [JobSpec(job_type="build")] * BATCH
    with pytest.raises(InvalidInput, match="could never start") as refused:
        await plane.queue.enqueue_many([*specs, never])
    assert refused.value.field == "deadline_at"
    assert await every_job(plane) == []
    assert await everything_told(plane) == []


async def test_a_repeated_call_returns_its_job_when_a_new_job_could_never_start(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    spec = evolve(KEYED, deadline_at=await plane.now() + timedelta(seconds=60))
    job = await plane.queue.enqueue(spec)
    clock.advance(45)  # 30 seconds from now is after the deadline
    assert await plane.queue.enqueue(spec) == job
    other = JobSpec(job_type="build")
    made = await plane.queue.enqueue_many([spec, other])
    assert (made[0], made[1].state) == (job, JobState.QUEUED)
    assert (job.run_at, job.deadline_at) == (
        job.created_at + timedelta(seconds=30),
        job.created_at + timedelta(seconds=60),
    )


@pytest.mark.parametrize("body", [{"job_type": "test"}, {"delay_seconds": 31}])
async def test_a_key_with_another_body_conflicts_when_a_new_job_could_never_start(
    plane: ControlPlane, clock: VirtualClock, body: dict[str, Any]
) -> None:
    spec = evolve(KEYED, deadline_at=await plane.now() + timedelta(seconds=60))
    job = await plane.queue.enqueue(spec)
    clock.advance(45)
    with pytest.raises(IdempotencyConflict):
        await plane.queue.enqueue(evolve(spec, **body))
    assert await every_job(plane) == [job]


async def test_an_unused_key_makes_no_job_that_could_never_start(plane: ControlPlane) -> None:
    soon = await plane.now() + timedelta(seconds=30)
    with pytest.raises(InvalidInput, match="could never start"):
        await plane.queue.enqueue(evolve(KEYED, deadline_at=soon))
    assert await everything_told(plane) == []
