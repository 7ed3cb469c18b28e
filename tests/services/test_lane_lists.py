"""The lists of lanes: lost ones are written again, empty lanes are dropped, no job is stranded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    ControlPlane,
    IdempotencyConflict,
    InvalidInput,
    JobSpec,
    JobState,
    Outcome,
    RetryPolicy,
    Settings,
    TooManyLanes,
)
from cicd_core.ids import IdSource
from cicd_core.persistence.codec import LANE_DIRECTORY
from cicd_core.persistence.collections import ALL_LANES, LANES, LANES_KIND
from cicd_core.store.records import Commit, Committed, Delete, Partition, Put, Query
from tests.services.broken_stores import Relay, damage
from tests.services.scenes import claim, enqueue, finish, run, taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Conflict, Record
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0


class Counting(Relay):
    """A store that counts what is asked of it, and lets others act just before a job's commit."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads, self.commits, self.lanes_asked = 0, 0, 0
        self.before_job: Callable[[], Awaitable[object]] | None = None
        self.dies_with: anyio.CancelScope | None = None

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        self.reads += 1
        return await super().get(collection, keys)

    async def claim(self, claim: Claim) -> list[Record]:
        self.lanes_asked = len(claim.partitions)
        return await super().claim(claim)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.commits += 1
        if commits[0].writes[0].collection == "jobs" and self.before_job is not None:
            act, self.before_job = self.before_job, None
            await act()
        answers = await super().commit(commits)
        if self.dies_with is not None:
            self.dies_with.cancel()
        await anyio.lowlevel.checkpoint()
        return answers


async def listed(store: Store, pool_name: str = "default") -> list[str]:
    """Return the job types whose lanes a pool lists."""
    record = (await store.get(LANES.name, [pool_name])).get(pool_name)
    if record is None:
        return []
    return [key.split("|")[1] for key in LANE_DIRECTORY.decode(pool_name, record.body).value.lanes]


async def lose_lanes(store: Store, pool_name: str = "default") -> None:
    """Remove a pool's list behind everyone's back, as a failover or a restore does."""
    record = (await store.get(LANES.name, [pool_name]))[pool_name]
    gone = Delete(collection=LANES.name, key=pool_name, expected=record.version)
    other = Put(collection="agent-pools", key=IdSource().commit_id(), expected=0, body=b"{}")
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(gone, other))])
    assert isinstance(answer, Committed)


async def claimable(plane: ControlPlane, **options: Any) -> list[str]:
    claims = await ControlPlane(plane.store).queue.claim(agent_id="a-9", limit=256, **options)
    return taken(claims)


async def test_lost_list_is_written_again_with_every_lane_that_work_went_to(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane, "build")
    await lose_lanes(store)
    stranded = await enqueue(plane, "build")
    clock.advance(61)
    await enqueue(plane, "test")
    assert stranded.job_id in await claimable(plane)
    assert sorted(await listed(store)) == ["build", "test"]


async def test_job_that_waits_in_a_lane_that_was_lost_is_found_by_maintenance(
    plane: ControlPlane, other_plane: ControlPlane, store: Store
) -> None:
    jobs = [await enqueue(plane, "build"), await enqueue(plane, "test", labels=("gpu",))]
    await lose_lanes(store)
    jobs.append(await enqueue(plane, "build"))
    assert await claimable(plane, labels=["gpu"]) == []
    await other_plane.maintenance.sweep()
    assert await claimable(plane, labels=["gpu"]) == [job.job_id for job in jobs]


async def test_walk_over_queued_jobs_comes_to_the_last_page_and_begins_again(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="idle")] * 150)
    await enqueue(plane, "last")
    for _ in range(2):
        await lose_lanes(store)
        for _ in range(2):
            await other_plane.maintenance.sweep()
            clock.advance(31)
        assert sorted(await listed(store)) == ["idle", "last"]


async def test_lost_list_does_not_strand_a_job_that_comes_back(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane)
    held = await run(plane)
    await lose_lanes(store)
    await other_plane.queue.release(held)
    clock.advance(60)
    await other_plane.maintenance.sweep()
    assert await claimable(plane) == [held.job.job_id]


async def test_refused_job_lists_no_lane(plane: ControlPlane, store: Store) -> None:
    await enqueue(plane, "build", idempotency_key="k")
    for number in range(5):
        with pytest.raises(IdempotencyConflict):
            await enqueue(plane, f"other-{number}", idempotency_key="k")
        with pytest.raises(InvalidInput):
            await enqueue(plane, f"wrong-{number}", payload={"n": float("nan")})
    with pytest.raises(IdempotencyConflict):
        await plane.queue.enqueue_many(
            [
                JobSpec(job_type="fine"),
                JobSpec(job_type="mine", idempotency_key="m"),
                JobSpec(job_type="refused", idempotency_key="k"),
            ]
        )
    assert await listed(store) == ["build", "fine", "mine"]


async def test_lane_that_was_empty_for_an_hour_is_dropped_and_listed_again_for_new_work(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    for job_type in ("build", "test"):
        await enqueue(plane, job_type)
    await finish(plane, job_types=["build"])
    clock.advance(HOUR + 1)
    await other_plane.maintenance.sweep()
    assert await listed(store) == ["test"]
    again = await enqueue(plane, "build")
    assert again.job_id in await claimable(plane)


async def test_pool_whose_last_lane_is_dropped_leaves_no_list_behind(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    for number in range(70):  # more than maintenance looks at in one go
        await enqueue(plane, pool_name=f"p-{number}")
        await finish(plane, pool_name=f"p-{number}")
    clock.advance(HOUR + 1)
    for _ in range(2):
        await plane.maintenance.sweep()
        clock.advance(61)
    lists = Partition(LANES.name, ALL_LANES, LANES_KIND)
    assert (await store.page(Query(partition=lists, limit=100))).records == ()
    again = await enqueue(plane, pool_name="p-7")
    assert await claimable(plane, pool_name="p-7") == [again.job_id]


async def test_agent_asks_for_fewer_lanes_when_empty_ones_are_dropped(
    store: Store, plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(100)])
    for held in await plane.queue.claim(agent_id="a-1", limit=256, start=True):
        await plane.queue.complete(held, Outcome.exited(0))
    kept = await enqueue(plane, "kept")
    clock.advance(HOUR + 1)
    await plane.maintenance.sweep()
    counting = Counting(store)
    claims = await ControlPlane(counting).queue.claim(agent_id="a-1")
    assert (taken(claims), counting.lanes_asked) == ([kept.job_id], 1)


async def test_lane_in_use_is_vouched_for_and_kept(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    for _ in range(8):
        await enqueue(plane)
        await finish(plane)
        clock.advance(HOUR / 4)
        await plane.maintenance.sweep()
        assert await listed(store) == ["build"]


async def test_pool_whose_lanes_all_hold_work_is_full_until_one_is_empty(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(256)])
    for _ in range(2):
        with pytest.raises(TooManyLanes):
            await enqueue(plane, "deploy")
    await finish(other_plane, job_types=["t0"])
    job = await enqueue(plane, "deploy")
    assert await claimable(plane, job_types=["deploy"]) == [job.job_id]
    clock.advance(HOUR + 1)
    await plane.maintenance.sweep()
    assert "t0" not in await listed(store)


@pytest.mark.thorough
async def test_kinds_of_work_that_come_and_go_quickly_never_close_a_pool(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    for number in range(300):
        await enqueue(plane, f"t{number}")
        await finish(other_plane, job_types=[f"t{number}"])
    assert len(await listed(store)) == 300
    clock.advance(120 + HOUR)
    for _ in range(2):
        await plane.maintenance.sweep()
        clock.advance(31)
    assert await listed(store) == []


async def test_retired_lanes_go_two_minutes_later_unless_work_came(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(256)])
    for held in await other_plane.queue.claim(agent_id="a-1", limit=256, start=True):
        await other_plane.queue.complete(held, Outcome.exited(0))
    await other_plane.queue.enqueue(JobSpec(job_type="one-more"))  # retires the others
    relied = await enqueue(plane, "t7")  # this process relies on what it read before that
    clock.advance(121)
    revived = await enqueue(plane, "t8")  # this one reads the list first
    await plane.maintenance.sweep()
    assert sorted(await listed(store)) == ["one-more", "t7", "t8"]
    assert {relied.job_id, revived.job_id} <= {*await claimable(plane)}


@pytest.mark.thorough
async def test_lanes_that_are_retired_count_up_to_a_limit(
    plane: ControlPlane, store: Store
) -> None:
    for first in range(0, 1024, 256):
        names = [f"t{number}" for number in range(first, first + 256)]
        await plane.queue.enqueue_many([JobSpec(job_type=name) for name in names])
        for held in await plane.queue.claim(agent_id="a-1", limit=256, start=True):
            await plane.queue.complete(held, Outcome.exited(0))
    with pytest.raises(TooManyLanes):
        await enqueue(plane, "one-more")
    assert len(await listed(store)) == 1024


async def test_repeated_key_in_a_full_pool_gives_the_first_job(plane: ControlPlane) -> None:
    spec = JobSpec(job_type="t0", idempotency_key="k")
    first = await plane.queue.enqueue(spec)
    await plane.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(1, 256)])
    assert await plane.queue.enqueue(spec) == first


async def test_job_that_comes_back_to_a_full_pool_is_listed_beyond_its_limit(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane, "first", retry=RetryPolicy(retry_on=()), timeout_seconds=4 * HOUR)
    settings = Settings(lease_seconds=2 * HOUR, max_lease_seconds=2 * HOUR)
    holder = ControlPlane(store, settings=settings)
    held = await run(holder)
    clock.advance(HOUR + 1)
    await plane.maintenance.sweep()
    assert await listed(store) == []
    specs = [JobSpec(job_type=f"t{number}") for number in range(256)]
    await plane.queue.enqueue_many(specs)
    await holder.queue.release(held)
    clock.advance(60)
    await plane.maintenance.sweep()
    assert "first" in await listed(store)
    assert (await claim(plane, job_types=["first"])).job.job_id == held.job.job_id


async def test_lane_that_is_dropped_while_a_job_is_on_its_way_is_listed_again(
    store: Store, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    counting = Counting(store)
    over = ControlPlane(counting)
    await enqueue(over)
    await finish(other_plane)

    async def drop() -> None:
        clock.advance(HOUR + 1)
        await other_plane.maintenance.sweep()
        assert await listed(store) == []

    counting.before_job = drop
    job = await enqueue(over)
    assert await claimable(other_plane) == [job.job_id]


async def test_job_of_a_process_that_died_on_its_way_to_a_dropped_lane_is_found(
    store: Store, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    counting = Counting(store)
    over = ControlPlane(counting)
    await enqueue(over)
    await finish(other_plane)

    async def drop_and_die() -> None:
        clock.advance(HOUR + 1)
        await other_plane.maintenance.sweep()
        counting.dies_with = process

    counting.before_job = drop_and_die
    with anyio.CancelScope() as process:
        await enqueue(over)
    assert process.cancelled_caught
    (job,) = (await other_plane.jobs.list(status="queued")).items
    clock.advance(31)
    await other_plane.maintenance.sweep()
    assert await claimable(other_plane) == [job.job_id]


@pytest.mark.parametrize("back", ["replay", "enqueue", "retry", "requeue"])
async def test_job_that_comes_back_to_a_dropped_lane_can_be_claimed(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock, back: str
) -> None:
    once = RetryPolicy(max_attempts=1 if back == "replay" else 3)
    spec = JobSpec(job_type="build", retry=once, timeout_seconds=4 * HOUR)
    if back == "enqueue":
        job = await plane.jobs.create(spec)
    else:
        job = await plane.queue.enqueue(spec)
        held = await run(plane, lease_seconds=HOUR if back == "requeue" else None)
        if back != "requeue":
            await plane.queue.complete(held, Outcome.error("no disk"))
    clock.advance(HOUR + 1)
    await other_plane.maintenance.sweep()
    if back == "replay":
        await plane.jobs.replay(job.job_id)
    if back == "enqueue":
        await plane.jobs.submit(job.job_id)
    clock.advance(HOUR + 1)
    await other_plane.maintenance.sweep()
    clock.advance(HOUR + 1)
    await other_plane.maintenance.sweep()
    assert (await other_plane.jobs.get(job.job_id)).state is JobState.QUEUED
    assert await claimable(plane) == [job.job_id]


async def test_list_that_does_not_decode_holds_up_no_end_and_no_sweep(
    plane: ControlPlane, other_plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane, retry=RetryPolicy(max_attempts=2))
    held = await run(plane)
    await enqueue(plane, pool_name="other")
    await lose_lanes(store, "other")
    await damage(store, LANES.name, "default")
    ended = await other_plane.queue.complete(held, Outcome.error("no disk"))
    assert ended.state is JobState.QUEUED
    clock.advance(60)
    await other_plane.maintenance.sweep()
    assert (await plane.jobs.get(held.job.job_id)).ready_at is not None
    assert len(await claimable(plane, pool_name="other")) == 1


async def test_enqueue_on_a_known_lane_reads_nothing_and_a_new_list_is_written_once(
    store: Store,
) -> None:
    counting = Counting(store)
    over = ControlPlane(counting)
    await over.queue.enqueue_many([JobSpec(job_type=f"t{number}") for number in range(40)])
    assert (counting.reads, counting.commits) == (2, 2)
    for number in range(40):
        await enqueue(over, f"t{number}")
    assert (counting.reads, counting.commits) == (2, 42)
