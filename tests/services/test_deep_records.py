"""Payloads that nest, at the limit and, in a store that others wrote to, beyond it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, CorruptRecord, InvalidInput, JobSpec, JobState, Outcome
from cicd_core.agent import Agent
from cicd_core.ids import IdSource
from cicd_core.model.json_values import MAX_DEPTH
from cicd_core.store.records import Commit, Committed, Put
from tests.services.scenes import enqueue, run

if TYPE_CHECKING:
    from cicd_core.agent import JobRun
    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


def nested(depth: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"x": 1}
    for _ in range(depth - 1):
        payload = {"a": payload}
    return payload


async def rewrite(store: Store, job_id: str, payload: str) -> None:
    """Put another payload into a job's record, behind everyone's back."""
    record = (await store.get("jobs", [job_id]))[job_id]
    raw = json.loads(record.body)
    raw["d"] = "PAYLOAD"
    put = Put(
        collection="jobs",
        key=job_id,
        expected=record.version,
        body=json.dumps(raw).replace('"PAYLOAD"', payload).encode(),
        attributes=record.attributes,
        lease_limit=record.lease_limit,
    )
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    assert isinstance(answer, Committed)


DAMAGED = {
    "deep": '{"a":' * 320 + "1" + "}" * 320,
    "deeper": "[" * 50_000 + "]" * 50_000,
    "digits": "9" * 5000,
    "nan": '{"a": NaN}',
    "lone": '{"a": "\\ud800"}',
}


async def deep_stack(store: ControlPlane, job_id: str, frames: int) -> JobState:
    if frames:
        return await deep_stack(store, job_id, frames - 1)
    return (await store.jobs.get(job_id)).state


async def test_payload_at_the_limit_goes_all_the_way_from_any_depth_of_calls(
    plane: ControlPlane,
) -> None:
    payload = nested(MAX_DEPTH)
    job = await enqueue(plane, payload=payload)
    assert await deep_stack(plane, job.job_id, 300) is JobState.QUEUED
    held = await run(plane)
    assert held.job.payload == payload
    half = await plane.queue.progress(held, percent=50)
    ended = await plane.queue.complete(half, Outcome.error("no disk"))
    assert ended.payload == (await plane.jobs.get(job.job_id)).payload == payload


async def test_payload_beyond_the_limit_is_refused_where_it_comes_in(plane: ControlPlane) -> None:
    for depth in (MAX_DEPTH + 1, 325, 326, 100_000):
        for call in (plane.queue.enqueue, plane.jobs.create):
            with pytest.raises(InvalidInput, match=r"payload: .* payload\.a.* deeper than 64"):
                await call(JobSpec(job_type="build", payload=nested(depth)))
    assert (await plane.jobs.list()).items == ()


@pytest.mark.parametrize("payload", DAMAGED.values(), ids=DAMAGED)
async def test_record_that_cannot_be_read_holds_up_no_other(
    plane: ControlPlane, store: Store, clock: VirtualClock, payload: str
) -> None:
    broken = await enqueue(plane)
    good = await enqueue(plane)
    await rewrite(store, broken.job_id, payload)
    with pytest.raises(CorruptRecord):
        await plane.jobs.get(broken.job_id)
    listed = await plane.jobs.list()
    assert (listed.items, listed.unreadable) == ((good,), (broken.job_id,))
    claims = await plane.queue.claim(agent_id="a-1", limit=2)
    assert [each.job.job_id for each in claims] == [good.job_id]
    clock.advance(7200)
    await plane.maintenance.sweep()
    assert (await plane.jobs.get(good.job_id)).state is JobState.QUEUED


async def test_agent_runs_a_payload_at_the_limit_beside_others(
    plane: ControlPlane,
) -> None:
    deep = await enqueue(plane, "deep", payload=nested(MAX_DEPTH))
    slow = await enqueue(plane, "slow")
    agent = Agent(plane, slots=2)
    seen: list[object] = []

    async def handle(job: JobRun) -> None:
        seen.append(job.job.payload)

    agent.add_handler("deep", handle)
    agent.add_handler("slow", handle)
    await agent.run(until_idle=True, handle_signals=False)
    assert nested(MAX_DEPTH) in seen
    for job in (deep, slow):
        assert (await plane.jobs.get(job.job_id)).state is JobState.SUCCESS
