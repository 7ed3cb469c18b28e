"""Claims: what they give, how they wait, and how they are repeated or taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from cicd_core import ControlPlane, JobSpec, JobState, Settings, StoreUnavailable
from cicd_core.model.instants import from_micros, to_micros
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay, damage
from tests.services.scenes import (
    SETTINGS,
    claim,
    enqueue,
    finish,
    ids,
    nothing_to_claim,
    story,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core import ClaimedJob
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Record, Watch
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def waits_for_work(
    plane: ControlPlane, bring: Callable[[], Awaitable[object]], **options: Any
) -> list[ClaimedJob]:
    """Claim with a wait that no test outlives, and bring work once the claim is waiting."""
    claims: list[ClaimedJob] = []

    async def wait() -> None:
        claims.extend(await plane.queue.claim(agent_id="a-1", wait=3600.0, **options))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert claims == []
            await bring()
    return claims


async def test_a_claim_gives_a_lease_with_its_token(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    clock.advance(7)
    claimed = await claim(plane)
    now = from_micros(clock.micros())
    assert (claimed.job.job_id, claimed.job.state) == (job.job_id, JobState.CLAIMED)
    assert (claimed.job.agent_id, claimed.job.claimed_at) == ("a-1", now)
    assert claimed.token == claimed.job.token
    assert claimed.token.fence == clock.micros()
    assert claimed.lease_seconds == 30.0
    assert to_micros(claimed.expires_at) == clock.micros() + 30_000_000
    assert await plane.jobs.get(job.job_id) == claimed.job


async def test_a_claim_that_starts_at_once_gives_a_running_job(plane: ControlPlane) -> None:
    await enqueue(plane)
    claimed = await claim(plane, start=True)
    assert claimed.job.state is JobState.RUNNING
    assert claimed.job.started_at == claimed.job.claimed_at
    assert await plane.queue.start(claimed) == claimed


async def test_a_lease_lasts_as_long_as_was_asked_for(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    claimed = await claim(plane, lease_seconds=90)
    assert claimed.lease_seconds == 90
    assert to_micros(claimed.expires_at) == clock.micros() + 90_000_000


async def test_an_empty_queue_gives_nothing(plane: ControlPlane) -> None:
    assert await nothing_to_claim(plane)
    assert await nothing_to_claim(plane, wait=0.01)


async def test_a_claim_gives_no_more_than_it_was_asked_for(plane: ControlPlane) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    assert taken(await plane.queue.claim(agent_id="a-1", limit=2)) == ids(jobs[:2])


async def test_a_claim_that_waits_is_woken_by_an_enqueue(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane)
    await finish(plane)
    claims = await waits_for_work(plane, lambda: enqueue(other_plane))
    assert len(claims) == 1


async def test_a_claim_that_waits_is_woken_by_work_on_a_lane_that_is_new(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane, "build")
    await finish(plane)
    claims = await waits_for_work(
        plane, lambda: enqueue(other_plane, "deploy", labels=("linux",)), labels=["linux"]
    )
    assert [each.job.job_type for each in claims] == ["deploy"]


async def test_a_claim_that_waits_in_a_pool_that_never_had_work_is_woken_by_the_first(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    claims = await waits_for_work(
        plane, lambda: enqueue(other_plane, pool_name="new"), pool_name="new"
    )
    assert len(claims) == 1


async def test_a_claim_that_waits_is_woken_by_a_delayed_job_that_comes_due(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    soon = from_micros(clock.micros() + 5_000_000)
    job = await enqueue(plane, run_at=soon)

    async def bring() -> None:
        clock.advance(5)
        assert (await plane.maintenance.sweep()).promoted == 1

    assert taken(await waits_for_work(plane, bring)) == [job.job_id]


async def test_of_two_that_wait_one_is_given_the_job_and_the_other_goes_on_waiting(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    send, receive = anyio.create_memory_object_stream[tuple[str, list[str]]](2)

    async def wait(agent_id: str) -> None:
        await send.send((agent_id, taken(await plane.queue.claim(agent_id=agent_id, wait=3600.0))))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks, send, receive:
            tasks.start_soon(wait, "a-1")
            tasks.start_soon(wait, "a-2")
            first = await enqueue(other_plane)
            winner, won = await receive.receive()
            second = await enqueue(other_plane)
            loser, got = await receive.receive()
    assert {winner, loser} == {"a-1", "a-2"}
    assert (won, got) == ([first.job_id], [second.job_id])


class Deaf(Relay):
    """A store that wakes nobody."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.waiting = anyio.Event()

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        self.waiting.set()
        await anyio.sleep(timeout)
        return False


async def test_a_claim_reads_its_lanes_anew_without_being_woken(store: Store) -> None:
    deaf = Deaf(store)
    plane = ControlPlane(deaf, settings=Settings(lane_refresh_seconds=0.1))
    claims: list[ClaimedJob] = []

    async def wait() -> None:
        claims.extend(await plane.queue.claim(agent_id="a-1", wait=3600.0))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await deaf.waiting.wait()
            job = await enqueue(plane)
    assert taken(claims) == [job.job_id]


async def test_a_claim_that_is_repeated_gives_what_the_first_one_gave(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 5)
    first = await plane.queue.claim(agent_id="a-1", limit=2, request_id="r-1")
    for repeating in (plane, other_plane):
        again = await repeating.queue.claim(agent_id="a-1", limit=2, request_id="r-1")
        assert [(each.job, each.token) for each in again] == [
            (each.job, each.token) for each in first
        ]
    assert len(await plane.queue.claim(agent_id="a-1", limit=9, request_id="r-2")) == 3


async def test_a_repeated_claim_gives_what_is_still_held_as_it_is_now(plane: ControlPlane) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    done, started, kept = await plane.queue.claim(agent_id="a-1", limit=3, request_id="r-1")
    await plane.queue.release(done, reason="too many")
    running = await plane.queue.start(started)
    again = await plane.queue.claim(agent_id="a-1", limit=3, request_id="r-1")
    assert {each.job.job_id: each.job for each in again} == {
        running.job.job_id: running.job,
        kept.job.job_id: kept.job,
    }
    assert (await plane.queue.renew(again))[0].held


async def test_the_same_request_id_of_another_agent_is_another_request(plane: ControlPlane) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 2)
    first = await claim(plane, "a-1", request_id="r-1")
    second = await claim(plane, "a-2", request_id="r-1")
    assert first.token.claim_id != second.token.claim_id
    assert first.job.job_id != second.job.job_id


class SlowToAnswer(Relay):
    """A store whose claim takes effect, and whose answer then does not come."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.claimed = anyio.Event()
        self.broken = False

    async def claim(self, claim: Claim) -> list[Record]:
        if self.broken:
            raise StoreUnavailable("the cable is out")
        records = await super().claim(claim)
        if claim.limit:
            self.claimed.set()
            await anyio.sleep_forever()
        return records


async def test_a_claim_that_is_cancelled_gives_back_what_it_got(store: Store) -> None:
    slow = SlowToAnswer(store)
    plane = ControlPlane(slow, settings=SETTINGS)
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def claim_two() -> None:
                await plane.queue.claim(agent_id="a-1", limit=2)

            tasks.start_soon(claim_two)
            await slow.claimed.wait()
            tasks.cancel_scope.cancel()
    for job in jobs[:2]:
        given_back = await plane.jobs.get(job.job_id)
        assert (given_back.state, given_back.attempts_used) == (JobState.QUEUED, 0)
        told = [event.type for event in await story(plane, job.job_id)]
        assert told[-2:] == ["job.claimed", "job.released"]
    assert (await plane.jobs.get(jobs[2].job_id)).attempt == 0


async def test_a_claim_with_a_request_id_that_is_cancelled_is_learnt_by_its_repetition(
    store: Store,
) -> None:
    slow = SlowToAnswer(store)
    plane = ControlPlane(slow, settings=SETTINGS)
    job = await enqueue(plane)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def claim_one() -> None:
                await plane.queue.claim(agent_id="a-1", request_id="r-1")

            tasks.start_soon(claim_one)
            await slow.claimed.wait()
            tasks.cancel_scope.cancel()
    learnt = await claim(ControlPlane(store, settings=SETTINGS), "a-1", request_id="r-1")
    assert (learnt.job.job_id, learnt.job.attempt) == (job.job_id, 1)


async def test_a_claim_with_a_request_id_that_is_cancelled_is_there_to_be_repeated(
    plane: ControlPlane, store: Store
) -> None:
    slow = SlowToAnswer(store)
    job = await enqueue(plane)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def claim_one() -> None:
                await ControlPlane(slow).queue.claim(agent_id="a-1", request_id="r-1")

            tasks.start_soon(claim_one)
            await slow.claimed.wait()
            tasks.cancel_scope.cancel()
    assert await nothing_to_claim(plane)
    assert (await claim(plane, request_id="r-1")).job.job_id == job.job_id


async def test_what_cannot_be_given_back_is_left_to_its_lease(
    plane: ControlPlane, store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowToAnswer(store)
    job = await enqueue(plane)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def claim_one() -> None:
                await ControlPlane(slow).queue.claim(agent_id="a-1")

            tasks.start_soon(claim_one)
            await slow.claimed.wait()
            slow.broken = True
            tasks.cancel_scope.cancel()
    assert "a cancelled claim was not released: the cable is out" in caplog.text
    clock.advance(31)
    assert (await plane.maintenance.sweep()).requeued == 1
    assert (await plane.jobs.get(job.job_id)).attempt == 1


async def test_a_claim_that_does_not_wait_looks_for_lanes_that_are_new(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    assert await nothing_to_claim(plane)
    first = await enqueue(other_plane)
    assert (await claim(plane)).job.job_id == first.job_id
    second = await enqueue(other_plane, "another")
    assert (await claim(plane)).job.job_id == second.job_id


async def test_a_claim_that_is_cancelled_while_it_waits_takes_nothing(plane: ControlPlane) -> None:
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                await plane.queue.claim(agent_id="a-1", wait=3600)

            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    job = await enqueue(plane)
    assert (await claim(plane)).job.job_id == job.job_id


async def test_a_job_that_cannot_be_read_does_not_hold_up_the_others_of_its_claim(
    plane: ControlPlane, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 2)
    await damage(store, "jobs", broken.job_id)
    assert taken(await plane.queue.claim(agent_id="a-1", limit=2)) == [whole.job_id]
    assert broken.job_id in caplog.text
