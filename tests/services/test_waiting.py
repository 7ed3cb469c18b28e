"""Waiting for jobs, walking over all of them, and following one."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    ControlPlane,
    Event,
    EventGap,
    InvalidCursor,
    InvalidInput,
    JobState,
    NotFound,
    Outcome,
    Priority,
    RetryPolicy,
    StoreUnavailable,
    UnreadableEvent,
    WaitTimedOut,
)
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay
from tests.services.scenes import claim, enqueue, finish, one_of_each, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import LogPage

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(max_attempts=1)


class Log(Relay):
    """Counts what is read of the log, and how many reads run at once."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.entries = 0
        self.at_once = 0
        self.most_at_once = 0
        self.alter: Callable[[LogPage], LogPage] = lambda page: page

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.lowlevel.checkpoint()
            page = self.alter(await super().read_log(cursor, limit))
        finally:
            self.at_once -= 1
        self.entries += len(page.entries)
        return page


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


@pytest.fixture
def waiting(log: Log) -> ControlPlane:
    return ControlPlane(log)


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    """Nothing here waits for ever."""
    with anyio.fail_after(PATIENCE):
        yield


async def dead_letter(plane: ControlPlane, **fields: Any) -> str:
    job = await enqueue(plane, retry=ONCE, **fields)
    await finish(plane, Outcome.error("broken"))
    return job.job_id


async def test_a_wait_returns_the_job_as_it_ended(plane: ControlPlane) -> None:
    job = await enqueue(plane)

    async def work() -> None:
        await finish(plane, Outcome.exited(3))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        ended = await plane.jobs.wait(job.job_id)
    assert (ended.state, ended.exit_code) == (JobState.FAILED, 3)
    assert ended == await plane.jobs.get(job.job_id)


async def test_a_wait_returns_a_dead_letter(plane: ControlPlane) -> None:
    job = await enqueue(plane, retry=ONCE)

    async def work() -> None:
        await finish(plane, Outcome.error("broken"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        ended = await plane.jobs.wait(job.job_id)
    assert ended.state is JobState.DEAD_LETTERED


async def test_a_wait_goes_on_over_retries(plane: ControlPlane, clock: Any) -> None:
    job = await enqueue(plane)

    async def work() -> None:
        await finish(plane, Outcome.error("broken"))
        clock.advance(600)
        await plane.maintenance.sweep()
        await finish(plane, Outcome.exited(0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        ended = await plane.jobs.wait(job.job_id)
    assert (ended.state, len(ended.attempts)) == (JobState.SUCCESS, 2)


@pytest.mark.parametrize("seconds", [None, 0, 5])
async def test_a_job_that_has_ended_is_not_waited_for(
    plane: ControlPlane, seconds: float | None
) -> None:
    job_id = await dead_letter(plane)
    assert (await plane.jobs.wait(job_id, timeout=seconds)).job_id == job_id


@pytest.mark.parametrize("seconds", [0, 0.03])
async def test_a_wait_that_takes_too_long_says_how_the_job_is(
    plane: ControlPlane, seconds: float
) -> None:
    job = await enqueue(plane)
    await run(plane)
    with pytest.raises(WaitTimedOut) as over:
        await plane.jobs.wait(job.job_id, timeout=seconds)
    assert isinstance(over.value, TimeoutError)
    assert (over.value.job_id, over.value.state) == (job.job_id, "running")
    assert over.value.seconds == seconds


async def test_a_job_that_is_not_there_is_not_waited_for(plane: ControlPlane) -> None:
    with pytest.raises(NotFound):
        await plane.jobs.wait("j-unknown")


@pytest.mark.parametrize("seconds", [-1, "5", True, float("inf")])
async def test_a_timeout_is_a_duration(plane: ControlPlane, seconds: Any) -> None:
    job = await enqueue(plane)
    with pytest.raises(InvalidInput) as refused:
        await plane.jobs.wait(job.job_id, timeout=seconds)
    assert refused.value.field == "timeout"


async def test_a_hundred_waits_read_the_log_once(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    jobs = [await enqueue(plane) for _ in range(100)]
    ended: list[str] = []
    before = await plane.events.end()

    async def wait(job_id: str) -> None:
        ended.append((await waiting.jobs.wait(job_id)).job_id)

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(wait, job.job_id)
        for _ in jobs:
            await finish(plane)
    assert sorted(ended) == sorted(job.job_id for job in jobs)
    told = len((await plane.events.read(before, limit=1000)).entries)
    assert 0 < log.entries <= told  # no entry is read twice, whoever waits for it
    assert log.most_at_once == 1


async def test_when_the_wait_that_reads_is_cancelled_another_one_reads_on(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    job = await enqueue(plane)
    ended: list[JobState] = []

    async def wait() -> None:
        ended.append((await waiting.jobs.wait(job.job_id)).state)

    first = anyio.CancelScope()

    async def give_up() -> None:
        with first:
            await waiting.jobs.wait(job.job_id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await finish(plane)
    assert ended == [JobState.SUCCESS] * 2
    assert log.most_at_once == 1


async def test_a_wait_after_others_have_gone_begins_at_the_end_of_the_log(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    with pytest.raises(WaitTimedOut):
        await waiting.jobs.wait((await enqueue(plane)).job_id, timeout=0.03)
    for _ in range(20):
        await enqueue(plane)
    with pytest.raises(WaitTimedOut):
        await waiting.jobs.wait((await enqueue(plane)).job_id, timeout=0.03)
    assert log.entries == 0


async def test_an_end_within_a_gap_of_the_log_is_found(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    job = await enqueue(plane)
    log.alter = lambda page: evolve(page, entries=(), truncated=bool(page.entries))

    async def work() -> None:
        await finish(plane)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        assert (await waiting.jobs.wait(job.job_id)).state is JobState.SUCCESS


async def test_an_end_that_the_log_can_not_tell_is_found(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    job = await enqueue(plane)
    log.alter = lambda page: evolve(
        page, entries=tuple(evolve(entry, body=b"{") for entry in page.entries)
    )

    async def work() -> None:
        await finish(plane)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        assert (await waiting.jobs.wait(job.job_id)).state is JobState.SUCCESS


@pytest.mark.thorough
async def test_a_log_that_can_not_be_read_ends_every_wait(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    def refuse(_page: LogPage) -> LogPage:
        raise StoreUnavailable("the disk is away")

    jobs = [await enqueue(plane) for _ in range(3)]
    log.alter = refuse
    refused: list[str] = []

    async def wait(job_id: str) -> None:
        with pytest.raises(StoreUnavailable):
            await waiting.jobs.wait(job_id)
        refused.append(job_id)

    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(wait, job.job_id)
    assert len(refused) == 3


async def test_iterate_gives_every_job_over_all_pages(plane: ControlPlane) -> None:
    made = [(await enqueue(plane)).job_id for _ in range(205)]
    assert [job.job_id async for job in plane.jobs.iterate()] == made[::-1]


async def test_iterate_filters_as_the_list_does(plane: ControlPlane) -> None:
    await one_of_each(plane)
    for status in ("queued", "failed", "success"):
        listed = (await plane.jobs.list(status=status)).items
        assert listed
        assert [job async for job in plane.jobs.iterate(status=status)] == list(listed)
    with pytest.raises(InvalidInput):
        await anext(plane.jobs.iterate(status="asleep"))


async def test_following_one_job_ends_with_it(plane: ControlPlane) -> None:
    await enqueue(plane, priority=Priority.LOW)
    job = await enqueue(plane)
    await finish(plane)
    told = [event async for event in plane.events.follow(subject=("jobs", job.job_id))]
    assert [event.type for event in told if isinstance(event, Event)] == [
        "job.created",
        "job.enqueued",
        "job.claimed",
        "job.started",
        "job.succeeded",
    ]


async def test_following_one_job_ends_when_it_is_a_dead_letter(plane: ControlPlane) -> None:
    job_id = await dead_letter(plane)
    told = [event async for event in plane.events.follow(subject=("jobs", job_id))]
    assert isinstance(told[-1], Event)
    assert told[-1].type == "job.dead_lettered"


async def test_following_a_dead_letter_that_was_replayed_goes_on(plane: ControlPlane) -> None:
    job_id = await dead_letter(plane)
    await plane.jobs.replay(job_id)
    await finish(plane)
    told = [event async for event in plane.events.follow(subject=("jobs", job_id))]
    types = [event.type for event in told if isinstance(event, Event)]
    assert "job.dead_lettered" in types
    assert types[-1] == "job.succeeded"


async def test_following_a_job_from_now_ends_if_it_has_ended_before(plane: ControlPlane) -> None:
    job_id = await dead_letter(plane)
    follower = plane.events.follow(subject=("jobs", job_id), from_now=True)
    assert [event async for event in follower] == []


async def test_following_a_job_tells_what_happens_meanwhile(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    told: list[str] = []

    async def follow() -> None:
        async for event in plane.events.follow(subject=("jobs", job.job_id), from_now=True):
            assert isinstance(event, Event)
            told.append(event.type)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        await finish(plane)
    assert told[-1] == "job.succeeded"


async def test_following_types_leaves_out_the_others_and_ends_all_the_same(
    plane: ControlPlane,
) -> None:
    job_id = await dead_letter(plane)
    follower = plane.events.follow(subject=("jobs", job_id), types=["*.claimed", "job.created"])
    types = [event.type async for event in follower if isinstance(event, Event)]
    assert types == ["job.created", "job.claimed"]


async def test_types_without_a_subject_are_followed_for_all(plane: ControlPlane) -> None:
    first, second = await enqueue(plane), await enqueue(plane)
    async with aclosing(plane.events.follow(types=("job.enqueued",))) as events:
        told = [await anext(events) for _ in range(2)]
    subjects = [event.subject[1] for event in told if isinstance(event, Event)]
    assert subjects == [first.job_id, second.job_id]


async def test_a_filter_holds_back_neither_gaps_nor_what_can_not_be_read(
    plane: ControlPlane, waiting: ControlPlane, log: Log
) -> None:
    job_id = await dead_letter(plane)
    log.alter = lambda page: evolve(
        page,
        entries=tuple(evolve(entry, body=b"{") for entry in page.entries),
        truncated=bool(page.entries),
    )
    follower = waiting.events.follow(subject=("jobs", job_id), types=["job.progress"])
    told = [event async for event in follower]
    assert isinstance(told[0], EventGap)
    assert len(told) > 1
    assert all(isinstance(event, UnreadableEvent) for event in told[1:])


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"subject": "jobs"}, "subject"),
        ({"subject": ("jobs",)}, "subject"),
        ({"subject": ("jobs", 1)}, "subject"),
        ({"types": "job.*"}, "types"),
        ({"types": 1}, "types"),
        ({"types": ["job.*", 1]}, "types[1]"),
        ({"types": ["job.never"]}, "types[0]"),
        ({"types": []}, "types"),
        ({"from_now": "yes"}, "from_now"),
        ({"from_now": True, "cursor": "c"}, "from_now"),
    ],
)
async def test_a_wrong_filter_is_refused(
    plane: ControlPlane, filters: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await anext(plane.events.follow(**filters))
    assert refused.value.field == field


async def test_a_damaged_cursor_is_refused_by_a_follower(plane: ControlPlane) -> None:
    await enqueue(plane)
    await claim(plane)
    with pytest.raises(InvalidCursor):
        await anext(plane.events.follow("nonsense", subject=("jobs", "j")))
