"""The reaper and the timers: any number of them, and everything exactly once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    AgentSpec,
    AgentStatus,
    ControlPlane,
    JobSpec,
    JobState,
    Outcome,
    RetryPolicy,
    Settings,
    StoreUnavailable,
    SweepReport,
)
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import DELAYED
from cicd_core.store.records import MAX_RECORD_BYTES, Put
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay, damage
from tests.services.scenes import (
    claim,
    enqueue,
    every_job,
    everything_told,
    run,
    story,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Commit,
        Committed,
        Conflict,
        Delete,
        Query,
        Record,
        RecordPage,
    )
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def a_lot_that_is_due(plane: ControlPlane, clock: VirtualClock) -> SweepReport:
    """Return what a sweep has to do now."""
    now = from_micros(clock.micros())
    many = JobSpec(job_type="build")
    await plane.queue.enqueue_many([many] * 10)
    await plane.queue.claim(agent_id="a-1", limit=10, start=True)
    await plane.queue.enqueue_many([evolve(many, retry=RetryPolicy(max_attempts=1))] * 5)
    await plane.queue.claim(agent_id="a-1", limit=5, start=True)
    await plane.queue.enqueue_many([evolve(many, run_at=now + timedelta(seconds=10))] * 7)
    await plane.queue.enqueue_many([evolve(many, deadline_at=now + timedelta(seconds=10))] * 6)
    for number in range(4):
        agent = await plane.agents.register(AgentSpec(agent_id=f"a-{number}"))
        await plane.agents.heartbeat(agent.agent_id, agent.incarnation)
    clock.advance(31)
    return SweepReport(promoted=7, requeued=10, dead_lettered=5, ended=6, silenced=4)


def total(reports: list[SweepReport]) -> SweepReport:
    return sum(reports, SweepReport())


def test_reports_that_are_added_sum_every_field_and_name_a_record_once() -> None:
    first = SweepReport(
        promoted=1,
        requeued=2,
        dead_lettered=3,
        ended=4,
        silenced=5,
        unreadable=(("agents", "b"), ("jobs", "c")),
    )
    again = evolve(first, promoted=10, unreadable=(("agents", "b"), ("jobs", "a")))
    assert total([first, again]) == SweepReport(
        promoted=11,
        requeued=4,
        dead_lettered=6,
        ended=8,
        silenced=10,
        unreadable=(("agents", "b"), ("jobs", "a"), ("jobs", "c")),
    )


async def test_a_sweep_does_all_that_is_due_and_the_next_one_nothing(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    due = await a_lot_that_is_due(plane, clock)
    report = await plane.maintenance.sweep()
    assert report == due
    assert report.total == 32
    assert await plane.maintenance.sweep() == SweepReport()


async def test_many_sweepers_at_once_do_everything_exactly_once(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    due = await a_lot_that_is_due(plane, clock)
    reports: list[SweepReport] = []

    async def sweep(through: ControlPlane) -> None:
        reports.append(await through.maintenance.sweep())

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(sweep, plane)
            tasks.start_soon(sweep, other_plane)
    assert total(reports) == due
    told = Counter(event.type for event in await everything_told(plane))
    assert told["job.lease_expired"] == 10
    assert told["job.dead_lettered"] == 5
    assert told["job.promoted"] == 7
    assert told["job.timed_out"] == 6
    assert told["agent.offline"] == 4
    states = Counter(job.state for job in await every_job(plane, limit=500))
    assert states == {JobState.QUEUED: 17, JobState.DEAD_LETTERED: 5, JobState.TIMEOUT: 6}
    assert all(job.attempts_used <= 1 for job in await every_job(plane))


#: Something that happens at an awkward moment.
Meanwhile = Callable[[], Awaitable[None]]


class Interrupted(Relay):
    """A store where something happens between what a sweep reads and what it commits."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.meanwhile: list[Meanwhile] = []

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        while self.meanwhile:
            await self.meanwhile.pop()()
        return await super().commit(commits)


async def test_a_renewal_that_comes_in_between_wins(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane)
    running = await run(plane)
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.agents.heartbeat("a-1", agent.incarnation)
    clock.advance(31)
    interrupted = Interrupted(store)

    async def renew() -> None:
        assert (await plane.queue.renew([running]))[0].held

    async def beat() -> None:
        await plane.agents.heartbeat("a-1", agent.incarnation)

    sweeper = ControlPlane(interrupted).maintenance
    interrupted.meanwhile = [renew]
    assert (await sweeper.requeue_expired()).total == 0
    interrupted.meanwhile = [beat]
    assert (await sweeper.sweep()).total == 0
    assert await plane.jobs.get(running.job.job_id) == running.job
    assert (await plane.agents.get("a-1")).status is AgentStatus.HEALTHY


class Overtaken(Interrupted):
    """A store where something happens between the page that a sweep reads and the records."""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        while self.meanwhile:
            await self.meanwhile.pop()()
        return await super().get(collection, keys)


async def test_a_renewal_that_comes_after_the_page_leaves_nothing_to_do_and_nothing_to_say(
    plane: ControlPlane, store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await enqueue(plane)
    running = await run(plane)
    clock.advance(31)
    overtaken = Overtaken(store)

    async def renew() -> None:
        assert (await plane.queue.renew([running]))[0].held

    overtaken.meanwhile = [renew]
    assert (await ControlPlane(overtaken).maintenance.sweep()).total == 0
    assert "was lost" not in caplog.text


async def test_a_completion_that_comes_in_between_wins(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await enqueue(plane)
    running = await run(plane)
    clock.advance(31)
    interrupted = Interrupted(store)

    async def complete() -> None:
        await plane.queue.complete(running, Outcome.exited(0))

    interrupted.meanwhile = [complete]
    assert (await ControlPlane(interrupted).maintenance.sweep()).total == 0
    assert (await plane.jobs.get(running.job.job_id)).state is JobState.SUCCESS


class Lagging(Relay):
    """A store whose pages show the past, as the contract allows."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.past: dict[Query, RecordPage] = {}

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        return self.past.setdefault(query, page)


async def test_what_a_page_shows_late_is_read_anew_before_it_is_decided(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await a_lot_that_is_due(plane, clock)
    lagging = ControlPlane(Lagging(store)).maintenance
    assert (await lagging.sweep()).total == 32
    told = await everything_told(plane)
    # The same pages again: of what they show nothing is due any more.
    assert (await lagging.sweep()).total == 0
    assert await everything_told(plane) == told


@pytest.mark.parametrize("kind", ["leased", "delayed", "waiting"])
async def test_a_record_that_cannot_be_read_does_not_hold_up_the_others(
    plane: ControlPlane,
    store: Store,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    soon = from_micros(clock.micros()) + timedelta(seconds=5)
    spec = JobSpec(
        job_type="build",
        run_at=soon if kind == "delayed" else None,
        deadline_at=soon if kind == "waiting" else None,
    )
    jobs = await plane.queue.enqueue_many([spec] * 3)
    broken = jobs[1].job_id
    if kind == "leased":
        await plane.queue.claim(agent_id="a-1", limit=3)
        clock.advance(31)
    await damage(store, "jobs", broken)
    clock.advance(6)
    with caplog.at_level(logging.ERROR):
        assert (await plane.maintenance.sweep()).total == 2
    assert f"record '{broken}' of 'jobs' does not decode" in caplog.text
    assert (await store.get("jobs", [broken]))[broken].body.startswith(b"\xff")


async def test_an_agent_that_cannot_be_read_does_not_hold_up_the_others(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    for number in range(3):
        await plane.agents.register(AgentSpec(agent_id=f"a-{number}"))
    await damage(store, "agents", "a-1")
    clock.advance(31)
    assert (await plane.maintenance.sweep()).silenced == 2


class Strict(Relay):
    """A store that takes no body of one job, as if it had outgrown every limit."""

    job_id = ""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        huge = [
            evolve(commit, writes=tuple(map(self.outgrown, commit.writes))) for commit in commits
        ]
        return await super().commit(huge)

    def outgrown(self, write: Put | Delete) -> Put | Delete:
        if isinstance(write, Put) and write.key == self.job_id:
            return evolve(write, body=b"x" * (MAX_RECORD_BYTES + 1))
        return write


async def test_a_job_that_the_store_refuses_does_not_hold_up_the_others(
    plane: ControlPlane, store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    await plane.queue.claim(agent_id="a-1", limit=3)
    clock.advance(31)
    strict = Strict(store)
    strict.job_id = jobs[1].job_id
    report = await ControlPlane(strict).maintenance.sweep()
    assert (report.requeued, report.total) == (2, 2)
    assert f"jobs {jobs[1].job_id} skipped: body" in caplog.text
    assert (await plane.maintenance.sweep()).requeued == 1


class Flaky(Relay):
    """A store that cannot be reached for a while."""

    down = 0
    asked = 0

    async def page(self, query: Query) -> RecordPage:
        self.asked += 1
        if self.down:
            self.down -= 1
            raise StoreUnavailable("the cable is out")
        return await super().page(query)


async def test_expired_leases_do_not_wait_for_the_page_of_another_timer_that_fails(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    class Partial(Relay):
        """A store whose index of delayed jobs is out of order."""

        async def page(self, query: Query) -> RecordPage:
            if query.partition.value == DELAYED:
                raise StoreUnavailable("the cable is out")
            return await super().page(query)

    job = await enqueue(plane)
    await run(plane)
    clock.advance(3600)
    partial = ControlPlane(Partial(store), settings=Settings(commit_attempts=1))
    with pytest.raises(StoreUnavailable):
        await partial.maintenance.sweep()
    assert (await plane.jobs.get(job.job_id)).state is JobState.QUEUED


async def test_maintenance_goes_on_when_a_sweep_fails(
    store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(store)
    plane = ControlPlane(flaky, settings=Settings(sweep_seconds=0.01, commit_attempts=1))
    job = await enqueue(plane, run_at=from_micros(clock.micros()) + timedelta(seconds=5))
    clock.advance(5)
    flaky.down = 1
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(plane.maintenance.run)
            assert (await claim_patiently(plane)) == job.job_id
            tasks.cancel_scope.cancel()
    assert "a sweep failed and will be repeated: the cable is out" in caplog.text


async def claim_patiently(plane: ControlPlane) -> str:
    (claimed,) = await plane.queue.claim(agent_id="a-1", wait=60)
    return claimed.job.job_id


class Defective(Relay):
    """A store with a defect that nobody foresaw."""

    broken = True

    async def page(self, query: Query) -> RecordPage:
        if self.broken:
            self.broken = False
            raise ZeroDivisionError
        return await super().page(query)


async def test_maintenance_goes_on_when_a_sweep_meets_a_defect(
    store: Store, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    plane = ControlPlane(Defective(store), settings=Settings(sweep_seconds=0.01))
    job = await enqueue(plane, run_at=from_micros(clock.micros()) + timedelta(seconds=5))
    clock.advance(5)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(plane.maintenance.run)
            assert (await claim_patiently(plane)) == job.job_id
            tasks.cancel_scope.cancel()
    assert "a bug in cicd_core" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_every_change_of_maintenance_is_told_in_its_name(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    await claim(plane)
    clock.advance(31)
    await plane.maintenance.sweep()
    assert (await story(plane, job.job_id))[-1].data["actor"] == "maintenance"
    assert (await plane.jobs.get(job.job_id)).history[-1].actor == "maintenance"
