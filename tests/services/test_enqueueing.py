"""Making jobs: once for each idempotency key, whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    IdempotencyConflict,
    InvalidInput,
    Job,
    JobSpec,
    JobState,
    Priority,
    RetryPolicy,
    TooManyLanes,
    Verdict,
)
from cicd_core.model.instants import from_micros
from tests.services.scenes import claim, enqueue, every_job, finish, ids, story

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

KEYED = JobSpec(job_type="build", payload={"sha": "abc"}, idempotency_key="push 17")


async def test_what_is_enqueued_is_what_is_kept(plane: ControlPlane, clock: VirtualClock) -> None:
    payload: dict[str, Any] = {"pair": (1, 2), "text": "Zürich 🚀", "nothing": None}
    job = await enqueue(plane, payload=payload, tags=("b", "a"), metadata={"team": "shop"})
    assert job == await plane.jobs.get(job.job_id)
    assert job.payload == {"pair": [1, 2], "text": "Zürich 🚀", "nothing": None}
    assert job.created_at == job.queued_at == job.ready_at == from_micros(clock.micros())
    assert [(event.type, event.version) for event in await story(plane, job.job_id)] == [
        ("job.created", clock.micros()),
        ("job.enqueued", clock.micros()),
    ]


async def test_a_job_may_be_made_first_and_enqueued_later(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    made = await plane.jobs.create(JobSpec(job_type="build"), actor="ann")
    assert (made.state, made.queue_status) == (JobState.PENDING, None)
    clock.advance(60)
    queued = await plane.jobs.submit(made.job_id, actor="bob")
    assert (queued.state, queued.queued_at) == (JobState.QUEUED, from_micros(clock.micros()))
    assert [step.actor for step in queued.history] == ["ann", "bob"]
    assert await plane.jobs.submit(made.job_id) == queued


async def test_the_same_key_and_the_same_body_is_the_same_job(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.queue.enqueue(KEYED)
    clock.advance(60)
    assert await plane.queue.enqueue(KEYED) == job
    assert await other_plane.queue.enqueue(KEYED, actor="somebody else") == job
    assert await every_job(plane) == [job]


async def test_a_key_is_good_for_as_long_as_its_job_is_kept(plane: ControlPlane) -> None:
    await plane.queue.enqueue(KEYED)
    ended = await finish(plane)
    assert await plane.queue.enqueue(KEYED) == ended


@pytest.mark.parametrize(
    "other",
    [
        {"payload": {"sha": "def"}},
        {"payload": {}},
        {"job_type": "test"},
        {"priority": Priority.HIGH},
        {"labels": ("linux",)},
        {"timeout_seconds": 60},
        {"retry": RetryPolicy(max_attempts=1)},
        {"run_at": from_micros(1_900_000_000_000_000)},
    ],
)
async def test_the_same_key_and_another_body_is_refused(
    plane: ControlPlane, other: dict[str, Any]
) -> None:
    job = await plane.queue.enqueue(KEYED)
    with pytest.raises(IdempotencyConflict, match="another body") as refused:
        await plane.queue.enqueue(evolve(KEYED, **other))
    assert (refused.value.key, refused.value.job_id) == ("push 17", job.job_id)
    assert await every_job(plane) == [job]


async def test_a_body_that_is_only_written_otherwise_is_the_same(plane: ControlPlane) -> None:
    one = evolve(
        KEYED,
        payload={"a": 1, "b": [1, 2]},
        labels=("linux", "gpu"),
        metadata={"x": "1", "y": "2"},
        timeout_seconds=60,
        run_at=from_micros(1_900_000_000_000_000),
    )
    other = evolve(
        KEYED,
        payload={"b": (1, 2), "a": 1},
        labels=("gpu", "linux", "gpu"),
        metadata={"y": "2", "x": "1"},
        timeout_seconds=60.0,
        run_at=from_micros(1_900_000_000_000_000).astimezone(None),
    )
    assert await plane.queue.enqueue(one) == await plane.queue.enqueue(other)


#: Taken as well, although its order is that of the process's hashes.
A_SET: Any = frozenset({Verdict.TIMEOUT, Verdict.ERROR})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"retry": RetryPolicy(retry_on=(Verdict.ERROR, Verdict.TIMEOUT))},
            {"retry": RetryPolicy(retry_on=(Verdict.TIMEOUT, Verdict.ERROR, Verdict.TIMEOUT))},
        ),
        (
            {"retry": RetryPolicy(retry_on=(Verdict.ERROR, Verdict.TIMEOUT))},
            {"retry": RetryPolicy(retry_on=A_SET)},
        ),
        (
            {"retry": RetryPolicy(jitter=0, backoff_base=1, backoff_factor=2, backoff_max=60)},
            {
                "retry": RetryPolicy(
                    jitter=0.0, backoff_base=1.0, backoff_factor=2.0, backoff_max=60.0
                )
            },
        ),
        ({"payload": {"n": 1, "m": [0]}}, {"payload": {"m": [-0.0], "n": 1.0}}),
        ({"payload": {"a": {"b": 1e3, "c": [2]}}}, {"payload": {"a": {"c": [2.0], "b": 1000}}}),
    ],
)
async def test_equal_values_written_otherwise_are_the_same_body(
    plane: ControlPlane, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = await plane.queue.enqueue(evolve(KEYED, **one))
    assert await plane.queue.enqueue(evolve(KEYED, **other)) == first


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (0, None), (1, "1"), (2**53, 2**53 + 1), (1, 1.5)]
)
async def test_values_of_json_that_differ_are_another_body(
    plane: ControlPlane, one: object, other: object
) -> None:
    await plane.queue.enqueue(evolve(KEYED, payload={"n": one}))
    with pytest.raises(IdempotencyConflict):
        await plane.queue.enqueue(evolve(KEYED, payload={"n": other}))


async def test_a_payload_with_keys_of_several_types_has_a_body_too(plane: ControlPlane) -> None:
    spec = evolve(KEYED, payload={"ports": {80: "http", "default": 80}})
    assert await plane.queue.enqueue(spec) == await plane.queue.enqueue(spec)


async def test_of_concurrent_calls_with_one_key_and_several_bodies_one_wins(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    specs = [evolve(KEYED, payload={"sha": number % 3}) for number in range(12)]
    made: list[Job] = []
    refused: list[IdempotencyConflict] = []

    async def call(through: ControlPlane, spec: JobSpec) -> None:
        try:
            made.append(await through.queue.enqueue(spec))
        except IdempotencyConflict as conflict:
            refused.append(conflict)

    async with anyio.create_task_group() as tasks:
        for number, spec in enumerate(specs):
            tasks.start_soon(call, (plane, other_plane)[number % 2], spec)
    assert (len(made), len(refused)) == (4, 8)
    assert len({job.payload["sha"] for job in made}) == 1
    assert await every_job(plane) == made[:1]


async def test_a_batch_may_repeat_a_key(plane: ControlPlane) -> None:
    other = JobSpec(job_type="build")
    jobs = await plane.queue.enqueue_many([KEYED, other, KEYED])
    assert jobs[0] == jobs[2]
    assert len(await every_job(plane)) == 2


async def test_a_batch_with_a_spec_that_is_wrong_makes_no_job(plane: ControlPlane) -> None:
    specs = [JobSpec(job_type="build"), JobSpec(job_type="not a name")]
    with pytest.raises(InvalidInput):
        await plane.queue.enqueue_many(specs)
    assert await every_job(plane) == []


async def test_a_batch_that_meets_a_conflict_can_be_repeated_without_making_a_job_twice(
    plane: ControlPlane,
) -> None:
    await plane.queue.enqueue(KEYED)
    specs = [evolve(KEYED, idempotency_key="push 18"), evolve(KEYED, payload={"sha": "def"})]
    for _ in range(2):
        with pytest.raises(IdempotencyConflict):
            await plane.queue.enqueue_many(specs)
    assert len(await every_job(plane)) == 2


async def test_a_job_that_was_made_under_a_key_is_enqueued_under_it(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    made = await plane.jobs.create(KEYED)
    queued = await other_plane.queue.enqueue(KEYED, actor="bob")
    assert (queued.job_id, queued.state) == (made.job_id, JobState.QUEUED)
    assert queued.history[-1].actor == "bob"
    assert (await claim(plane)).job.job_id == made.job_id
    assert (await plane.jobs.create(KEYED)).state is JobState.CLAIMED


async def test_a_pool_has_room_for_256_kinds_of_work(plane: ControlPlane) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(256)])
    with pytest.raises(TooManyLanes) as refused:
        await enqueue(plane, "one-more")
    assert (refused.value.pool_name, refused.value.limit) == ("default", 256)
    await enqueue(plane, "one-more", pool_name="another")
    again = await enqueue(plane, "t7")
    assert len(await every_job(plane)) == 258
    assert again.job_id in ids(await every_job(plane))


async def test_lanes_that_several_make_at_once_are_all_served(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(6):
            through = (plane, other_plane)[number % 2]
            tasks.start_soon(enqueue, through, f"type-{number}")
    claims = await plane.queue.claim(agent_id="a-1", limit=20)
    assert len(claims) == 6


async def test_a_payload_that_the_caller_changes_later_is_kept_as_it_was(
    plane: ControlPlane,
) -> None:
    payload = {"sha": "abc"}
    job = await enqueue(plane, payload=payload)
    payload["sha"] = "def"
    assert job.payload == {"sha": "abc"}


async def test_a_retention_after_the_end_forgets_the_job_and_frees_its_key(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    first = await plane.queue.enqueue(KEYED)
    clock.advance(10)
    ended = await finish(plane)
    kept = timedelta(seconds=plane.settings.job_retention_seconds)
    clock.advance(kept.total_seconds() - 1)
    assert await plane.queue.enqueue(KEYED) == ended
    clock.advance(1)
    assert await every_job(plane) == []
    again = await plane.queue.enqueue(KEYED)
    assert (again.job_id, again.state) == (first.job_id, JobState.QUEUED)
    assert (await claim(plane)).job.job_id == first.job_id
