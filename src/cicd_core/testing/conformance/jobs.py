"""Jobs on the store, from their enqueue to their end.

The rules are the library's own, and the same for every store; these tests check them while several
control planes work on the same data at once.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.audit import audit
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import LeaseLost
from cicd_core.model.job import JobState, RetryPolicy
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.collections import JOBS
from cicd_core.settings import Settings
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.store_clock import StoreClock
from cicd_core.testing.conformance.suite import Suite

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job
    from cicd_core.testing.harness import StoreHarness

#: The shortest possible leases, in seconds: some tests wait for their end.
SETTINGS: Final = Settings(lease_seconds=1.0, commit_attempts=20)
#: A lost job returns at once, any number of times.
AT_ONCE: Final = RetryPolicy(max_attempts=5, backoff_base=0.0, jitter=0.0)
#: Number of control planes on the same data.
PLANES: Final = 3
CLAIMERS: Final = 32


class JobPromises(Suite):
    """Jobs that several control planes process."""

    @pytest.fixture
    async def planes(
        self, harness: StoreHarness, namespace: str
    ) -> AsyncGenerator[list[ControlPlane], None]:
        """Control planes over stores on the same data."""
        async with AsyncExitStack() as stack:
            openings = [harness.open(f"{namespace}-jobs", COLLECTIONS) for _ in range(PLANES)]
            stores = [await stack.enter_async_context(opening) for opening in openings]
            yield [ControlPlane(store, settings=SETTINGS) for store in stores]

    async def test_a_job_runs_from_its_enqueue_to_its_verdict(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        one, other, third = planes
        (job,) = await enqueue(one, harness, 1)
        (claimed,) = await other.queue.claim(agent_id="a-1")
        assert claimed.job == await third.jobs.get(job.job_id)
        assert claimed.job.state is JobState.CLAIMED
        running = await other.queue.start(claimed)
        (status,) = await third.queue.renew([running])
        assert (status.held, status.cancel_requested) == (True, False)
        ended = await other.queue.complete(running, Outcome.exited(0))
        assert ended == await one.jobs.get(job.job_id)
        assert ended.state is JobState.SUCCESS
        await harness.settle()
        types = [event.type for event in (await third.events.read(None)).events]
        assert types == [
            "job.created",
            "job.enqueued",
            "job.claimed",
            "job.started",
            "job.succeeded",
        ]
        await insist_on_a_clean_audit(one, [job])

    async def test_of_32_agents_that_claim_one_job_exactly_one_gets_it(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        (job,) = await enqueue(planes[0], harness, 1)
        claims: list[ClaimedJob] = []

        async def agent(plane: ControlPlane, number: int) -> None:
            claims.extend(await plane.queue.claim(agent_id=f"a-{number}", start=True))

        agents = enumerate(islice(cycle(planes), CLAIMERS))
        await at_once(*(partial(agent, plane, number) for number, plane in agents))
        (claimed,) = claims
        await planes[1].queue.complete(claimed, Outcome.exited(0))
        await harness.settle()
        await insist_on_a_clean_audit(planes[0], [job])

    async def test_a_job_that_is_cancelled_while_agents_claim_ends_cancelled(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        jobs = await enqueue(planes[0], harness, 8)
        claims: dict[str, ClaimedJob] = {}

        async def agent(plane: ControlPlane) -> None:
            while some := await plane.queue.claim(agent_id="a-1", limit=2, start=True):
                claims.update((item.job.job_id, item) for item in some)

        cancels = [
            partial(plane.jobs.cancel, job.job_id)
            for plane, job in zip(cycle(planes), jobs, strict=False)
        ]
        await at_once(*cancels[:4], *(partial(agent, plane) for plane in planes), *cancels[4:])
        for claimed in claims.values():
            (status,) = await planes[0].queue.renew([claimed])
            assert (status.held, status.cancel_requested) == (True, True)
            await planes[1].queue.complete(claimed, Outcome.cancelled("as requested"))
        states = {(await planes[2].jobs.get(job.job_id)).state for job in jobs}
        assert states == {JobState.CANCELLED}
        await harness.settle()
        await insist_on_a_clean_audit(planes[0], jobs)

    async def test_of_a_sweep_and_a_completion_exactly_one_wins(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        jobs = await enqueue(planes[0], harness, 6)
        lost = await lose(planes[1], harness, 6)
        completed: set[str] = set()

        async def holder(claimed: ClaimedJob) -> None:
            try:
                await planes[1].queue.complete(claimed, Outcome.exited(0))
            except LeaseLost:
                return
            completed.add(claimed.job.job_id)

        holders = [partial(holder, claimed) for claimed in lost]
        sweeps = [planes[0].maintenance.sweep, planes[2].maintenance.sweep]
        await at_once(*holders[:2], *sweeps, *holders[2:])
        for job in jobs:
            now = await planes[0].jobs.get(job.job_id)
            ended = JobState.SUCCESS if job.job_id in completed else JobState.QUEUED
            assert now.state is ended
        await harness.settle()
        await insist_on_a_clean_audit(planes[0], [])

    async def test_many_sweeps_at_once_take_a_lost_job_back_once(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        jobs = await enqueue(planes[0], harness, 6)
        await lose(planes[1], harness, 6)
        requeued: list[int] = []

        async def sweep(plane: ControlPlane) -> None:
            requeued.append((await plane.maintenance.sweep()).requeued)

        await at_once(*(partial(sweep, plane) for plane in planes * 2))
        assert sum(requeued) == 6
        attempts = [(await planes[0].jobs.get(job.job_id)).attempts for job in jobs]
        assert [len(attempt) for attempt in attempts] == [1] * 6
        await harness.settle()
        await insist_on_a_clean_audit(planes[0], [])

    async def test_a_stale_agent_is_refused_in_every_verb_while_the_new_one_works(
        self, harness: StoreHarness, planes: list[ControlPlane]
    ) -> None:
        jobs = await enqueue(planes[0], harness, 1)
        old = planes[1].queue
        (claimed,) = await old.claim(agent_id="a-1", request_id="once")
        stale = await old.start(claimed)
        await outlast(planes[1], harness, [stale])
        await planes[0].maintenance.sweep()
        await harness.settle()
        await planes[0].maintenance.sweep()  # it may have been delayed until now
        await harness.settle()
        (new,) = await planes[2].queue.claim(agent_id="a-2", lease_seconds=60)
        running = await planes[2].queue.start(new)
        with pytest.raises(LeaseLost):
            await old.start(claimed)
        with pytest.raises(LeaseLost):
            await old.progress(stale, percent=99)
        with pytest.raises(LeaseLost):
            await old.complete(stale, Outcome.exited(0))
        with pytest.raises(LeaseLost):
            await old.release(stale)
        assert [status.held for status in await old.renew([stale])] == [False]
        assert await old.claim(agent_id="a-1", request_id="once") == []
        assert await planes[0].jobs.get(stale.job.job_id) == running.job
        assert running.token.fence > stale.token.fence
        await planes[2].queue.complete(running, Outcome.exited(0))
        await harness.settle()
        await insist_on_a_clean_audit(planes[0], jobs)


async def enqueue(plane: ControlPlane, harness: StoreHarness, number: int) -> list[Job]:
    """Enqueue a number of jobs."""
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build", retry=AT_ONCE)] * number)
    await harness.settle()
    return jobs


async def lose(plane: ControlPlane, harness: StoreHarness, number: int) -> list[ClaimedJob]:
    """Claim and start a number of jobs as "a-1", and let their leases expire."""
    claims = await plane.queue.claim(agent_id="a-1", limit=number, start=True)
    assert len(claims) == number
    await outlast(plane, harness, claims)
    return claims


async def outlast(plane: ControlPlane, harness: StoreHarness, claims: list[ClaimedJob]) -> None:
    """Wait until the leases of some claims have certainly expired, and pages show them."""
    # A claim has its end on the calendar, which may be far from the store's steady clock.
    records = await plane.store.get(JOBS.name, [claim.job.job_id for claim in claims])
    ends = max(record.lease.expires for record in records.values() if record.lease)
    await StoreClock(plane.store, harness).reach_safely(ends + 1)
    await harness.settle()


async def insist_on_a_clean_audit(plane: ControlPlane, ended: list[Job]) -> None:
    """Check that the log, the records and the counters agree, and that these jobs ended."""
    report = await audit(plane, ended=[job.job_id for job in ended])
    assert report.ok, [check for check in report.checks if check.fault_count]
