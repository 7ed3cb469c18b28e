"""Lists of jobs: every filter, page by page, while jobs come, move and go."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core import (
    ControlPlane,
    InvalidCursor,
    InvalidInput,
    Job,
    JobSpec,
    JobState,
    JobStatus,
    Outcome,
)
from cicd_core.model.instants import from_micros
from tests.services.broken_stores import Relay
from tests.services.scenes import claim, enqueue, every_job, finish, ids, one_of_each, run

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Query, RecordPage
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def made_in_turn(plane: ControlPlane, clock: VirtualClock, number: int) -> list[Job]:
    """Return that many jobs, the newest first, a second apart."""
    jobs = []
    for _ in range(number):
        jobs.append(await enqueue(plane))
        clock.advance(1)
    return jobs[::-1]


async def test_the_newest_comes_first_and_pages_follow_each_other(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 7)
    first = await plane.jobs.list(limit=3)
    second = await other_plane.jobs.list(limit=3, cursor=first.cursor)
    third = await plane.jobs.list(limit=3, cursor=second.cursor)
    assert [list(page.items) for page in (first, second, third)] == [jobs[:3], jobs[3:6], jobs[6:]]
    assert third.cursor is None


async def test_a_page_may_hold_everything(plane: ControlPlane, clock: VirtualClock) -> None:
    jobs = await made_in_turn(plane, clock, 4)
    page = await plane.jobs.list(limit=500)
    assert (list(page.items), page.cursor) == (jobs, None)


async def test_jobs_are_found_by_the_beginning_of_their_id(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 5)
    keyed = await enqueue(plane, idempotency_key="one")
    for wanted in (jobs[2], keyed):
        for length in (18, len(wanted.job_id)):
            found = await plane.jobs.list(id_prefix=wanted.job_id[:length])
            assert found.items == (wanted,)
    # Of a short one the pages follow each other, and the time is that of the caller too.
    every = await every_job(plane, id_prefix=jobs[0].job_id[:4], limit=2)
    assert every == jobs
    assert (
        await every_job(plane, id_prefix=jobs[0].job_id[:4], since=jobs[1].created_at) == jobs[:2]
    )
    assert await every_job(plane, id_prefix=jobs[0].job_id, until=jobs[4].created_at) == []
    assert await every_job(plane, id_prefix="ZZ") == []


async def test_a_job_is_found_by_its_id_without_a_look_at_those_of_other_times(
    plane: ControlPlane, clock: VirtualClock, store: Store
) -> None:
    wanted = await enqueue(plane)
    clock.advance(3600)
    await made_in_turn(plane, clock, 20)

    class Counting(Relay):
        async def page(self, query: Query) -> RecordPage:
            page = await super().page(query)
            rows.extend(page.records)
            return page

    rows: list[object] = []
    found = await ControlPlane(Counting(store)).jobs.list(id_prefix=wanted.job_id[:12])
    assert found.items == (wanted,)
    assert len(rows) == 1


async def test_a_job_is_found_by_its_id_wherever_the_calendar_has_gone_since_the_steady_clock(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    first = await enqueue(plane)
    clock.advance(1)
    # The machine is off for three days: elapsed time goes on from where it was, the calendar not.
    clock.step_calendar(3 * 86_400)
    jobs = await made_in_turn(plane, clock, 3)
    for job in (*jobs, first):
        for length in (12, len(job.job_id)):
            assert await every_job(plane, id_prefix=job.job_id[:length]) == [job]
    # The clocks move apart by a little all the time: a cursor still belongs to its query.
    page = await plane.jobs.list(id_prefix=jobs[0].job_id[:6], limit=2)
    clock.step_calendar(1.5)
    rest = await plane.jobs.list(id_prefix=jobs[0].job_id[:6], limit=2, cursor=page.cursor)
    assert [*page.items, *rest.items] == jobs


@pytest.mark.parametrize("days", [30, -30])
async def test_a_job_made_while_the_calendar_was_wrong_is_found_by_its_id(
    plane: ControlPlane, clock: VirtualClock, days: int
) -> None:
    before = await enqueue(plane)
    clock.step_calendar(days * 86_400)
    during = await enqueue(plane)
    clock.step_calendar(-days * 86_400)
    clock.advance(1)
    after = await enqueue(plane)
    for job in (before, during, after):
        for length in (12, len(job.job_id)):
            assert await every_job(plane, id_prefix=job.job_id[:length]) == [job]


async def test_an_empty_list_has_one_page(plane: ControlPlane) -> None:
    page = await plane.jobs.list()
    assert (page.items, page.cursor) == ((), None)


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_each_status_lists_what_the_dashboard_shows_under_it(
    plane: ControlPlane, limit: int
) -> None:
    made = await one_of_each(plane)
    expected = {
        JobStatus.PENDING: {made[JobState.PENDING].job_id},
        JobStatus.QUEUED: {made[JobState.QUEUED].job_id, made[JobState.CLAIMED].job_id},
        JobStatus.RUNNING: {made[JobState.RUNNING].job_id},
        JobStatus.SUCCESS: {made[JobState.SUCCESS].job_id},
        JobStatus.FAILED: {made[JobState.FAILED].job_id},
        JobStatus.TIMEOUT: {made[JobState.TIMEOUT].job_id},
        JobStatus.ERROR: {made[JobState.ERROR].job_id, made[JobState.DEAD_LETTERED].job_id},
        JobStatus.CANCELLED: {made[JobState.CANCELLED].job_id},
    }
    found = {
        status: set(ids(await every_job(plane, status=status, limit=limit))) for status in JobStatus
    }
    assert found == expected
    assert ids(await every_job(plane, status="running")) == [made[JobState.RUNNING].job_id]
    everything = await every_job(plane, limit=limit)
    assert set(ids(everything)) == {job.job_id for job in made.values()}
    assert len(everything) == len(made)
    assert ids(everything) == sorted(ids(everything), reverse=True)


async def test_an_agent_lists_what_it_claimed_last(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await enqueue(plane)
    done = await finish(plane, agent_id="a-1")
    await enqueue(plane)
    mine = (await run(plane, "a-1")).job
    await enqueue(plane)
    passed_on = await run(plane, "a-1")
    await plane.queue.release(passed_on)
    clock.advance(1)
    await plane.maintenance.sweep()
    theirs = (await claim(plane, "a-2")).job
    assert theirs.job_id == passed_on.job.job_id
    assert await every_job(plane, agent_id="a-1") == [mine, done]
    assert await every_job(plane, agent_id="a-2") == [theirs]
    assert await every_job(plane, agent_id="a-3") == []
    assert await every_job(plane, agent_id="a-1", status=JobStatus.SUCCESS) == [done]


async def test_a_pool_lists_its_own(plane: ControlPlane) -> None:
    fast = [await enqueue(plane, pool_name="fast") for _ in range(3)]
    await enqueue(plane)
    assert ids(await every_job(plane, pool_name="fast", limit=1)) == ids(reversed(fast))
    assert await every_job(plane, pool_name="fast", status="running") == []
    assert await every_job(plane, pool_name="nobody") == []


@pytest.mark.thorough
async def test_a_filter_that_no_index_answers_gives_incomplete_pages_and_misses_nothing(
    plane: ControlPlane,
) -> None:
    await enqueue(plane)
    rare = await finish(plane, Outcome.failed("no"))
    for _ in range(9):
        await plane.queue.enqueue_many([JobSpec(job_type="build")] * 256)
        await plane.queue.claim(agent_id="a-1", limit=256, start=True)
    for limit in (1, 500):
        page = await plane.jobs.list(agent_id="a-1", status="failed", limit=limit)
        assert (page.items, page.incomplete, page.cursor is None) == ((), True, False)
        found = await every_job(plane, agent_id="a-1", status="failed", limit=limit)
        assert ids(found) == [rare.job_id]


async def test_a_time_range_holds_its_first_moment_and_not_its_last(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    begin = from_micros(clock.micros())
    fifth, fourth, third, second, first = await made_in_turn(plane, clock, 5)
    since, until = begin + timedelta(seconds=1), begin + timedelta(seconds=3)
    assert await every_job(plane, since=since, until=until) == [third, second]
    assert await every_job(plane, since=since, until=until, limit=1) == [third, second]
    assert await every_job(plane, since=since) == [fifth, fourth, third, second]
    assert await every_job(plane, until=until) == [third, second, first]
    assert await every_job(plane, since=since, until=since) == []
    # A moment is a moment, in whatever time zone.
    in_nepal = since.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert await every_job(plane, since=in_nepal, until=until) == [third, second]


async def test_filters_may_be_combined(plane: ControlPlane, clock: VirtualClock) -> None:
    begin = from_micros(clock.micros())
    for pool in ("default", "fast"):
        for _ in range(2):
            await enqueue(plane, pool_name=pool)
            await finish(plane, pool_name=pool)
            clock.advance(1)
    found = await every_job(
        plane,
        agent_id="a-1",
        pool_name="fast",
        status="success",
        since=begin + timedelta(seconds=3),
    )
    assert [(job.pool_name, job.created_at) for job in found] == [
        ("fast", begin + timedelta(seconds=3))
    ]


async def test_jobs_that_move_between_pages_are_shown_once(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 12)
    shown: list[str] = []
    cursor: str | None = None
    while True:
        page = await plane.jobs.list(limit=2, cursor=cursor)
        shown += ids(page.items)
        cursor = page.cursor
        if cursor is None:
            break
        # One goes through the whole machine, a new one comes in, one is cancelled.
        await finish(plane)
        await enqueue(plane)
        await plane.jobs.cancel((await claim(plane)).job.job_id)
    assert shown == ids(jobs)


async def test_a_list_of_one_status_skips_what_has_left_it(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 6)
    first = await plane.jobs.list(status="queued", limit=2)
    for job in jobs[3:5]:
        await plane.jobs.cancel(job.job_id)
    rest = await plane.jobs.list(status="queued", limit=4, cursor=first.cursor)
    assert ids([*first.items, *rest.items]) == ids([*jobs[:3], jobs[5]])


async def test_a_cursor_survives_the_job_that_it_points_to(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 4)
    first = await plane.jobs.list(status="queued", limit=2)
    await plane.jobs.cancel(jobs[1].job_id)
    rest = await plane.jobs.list(status="queued", limit=2, cursor=first.cursor)
    assert ids(rest.items) == ids(jobs[2:])


@pytest.mark.parametrize(
    "other",
    [
        {"status": "queued"},
        {"status": "running"},
        {"agent_id": "a-1"},
        {"pool_name": "fast"},
        {"since": datetime(2026, 1, 1, tzinfo=UTC)},
        {"until": datetime(2028, 1, 1, tzinfo=UTC)},
    ],
)
async def test_a_cursor_of_another_query_is_refused(
    plane: ControlPlane, clock: VirtualClock, other: dict[str, Any]
) -> None:
    await made_in_turn(plane, clock, 3)
    cursor = (await plane.jobs.list(limit=1)).cursor
    with pytest.raises(InvalidCursor, match="belongs to another query") as refused:
        await plane.jobs.list(cursor=cursor, **other)
    assert refused.value.field == "cursor"
    assert "start again without a cursor" in str(refused.value)
    page = await plane.jobs.list(limit=1, **other)
    if page.cursor is not None:
        with pytest.raises(InvalidCursor):
            await plane.jobs.list(cursor=page.cursor)


async def test_the_size_of_a_page_may_change_between_pages(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs = await made_in_turn(plane, clock, 6)
    first = await plane.jobs.list(limit=1)
    rest = await plane.jobs.list(limit=5, cursor=first.cursor)
    assert [*first.items, *rest.items] == jobs


async def test_a_cursor_of_another_users_sessions_is_refused(plane: ControlPlane) -> None:
    for user in ("ann", "ann", "bob"):
        await plane.sessions.create(user)
    cursor = (await plane.sessions.list("ann", limit=1)).cursor
    assert len((await plane.sessions.list("ann", cursor=cursor)).items) == 1
    with pytest.raises(InvalidCursor):
        await plane.sessions.list("bob", cursor=cursor)


class Stingy(Relay):
    """A store that gives a record or two at a time, as one does whose pages are cut by size."""

    async def page(self, query: Query) -> RecordPage:
        fewer = min(query.limit, 1 if query.partition.value == "queued" else 2)
        return await super().page(evolve(query, limit=fewer))


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_a_store_whose_pages_are_short_makes_no_list_miss_anything(
    plane: ControlPlane, store: Store, clock: VirtualClock, limit: int
) -> None:
    jobs = await made_in_turn(plane, clock, 12)
    for job in jobs[::3]:
        await plane.jobs.cancel(job.job_id)
    over = ControlPlane(Stingy(store))
    assert ids(await every_job(over, limit=limit)) == ids(jobs)
    assert ids(await every_job(over, limit=limit, status="cancelled")) == ids(jobs[::3])


async def test_a_cursor_that_was_cut_or_changed_is_refused(plane: ControlPlane) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    cursor = (await plane.jobs.list(limit=1)).cursor
    assert cursor is not None
    cut = [cursor[:length] for length in range(len(cursor))]
    changed = [cursor[:place] + "x" + cursor[place + 1 :] for place in range(len(cursor))]
    for damaged in {*cut, *changed, cursor + "A", cursor + "="} - {cursor}:
        with pytest.raises(InvalidCursor):
            await plane.jobs.list(cursor=damaged)
    assert len((await plane.jobs.list(cursor=cursor)).items) == 2


async def test_a_cursor_goes_with_the_same_moments_in_another_time_zone(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
    since = from_micros(clock.micros())
    until = since + timedelta(hours=1)
    page = await plane.jobs.list(limit=1, since=since, until=until)
    there = timezone(timedelta(hours=-8))
    rest = await plane.jobs.list(
        since=since.astimezone(there), until=until.astimezone(there), cursor=page.cursor
    )
    assert len(rest.items) == 2


async def test_a_cursor_of_another_kind_of_list_is_refused(plane: ControlPlane) -> None:
    for _ in range(2):
        await enqueue(plane)
    cursor = (await plane.jobs.list(limit=1)).cursor
    with pytest.raises(InvalidCursor):
        await plane.deployments.list(cursor=cursor)
    with pytest.raises(InvalidCursor):
        await plane.jobs.dead_letters(cursor=cursor)


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "ünïcode", "a" * 5000, base64.urlsafe_b64encode(b"\xff" * 40).decode(), 7],
)
async def test_a_damaged_cursor_is_refused(plane: ControlPlane, cursor: Any) -> None:
    with pytest.raises(InvalidCursor) as refused:
        await plane.jobs.list(cursor=cursor)
    assert refused.value.field == "cursor"


@pytest.mark.parametrize("limit", [0, 501, -1, True, 2.0, "5"])
async def test_a_page_has_1_to_500_entities(plane: ControlPlane, limit: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.jobs.list(limit=limit)
    assert refused.value.field == "limit"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"),
        ("status", 1),
        ("agent_id", "no good"),
        ("pool_name", "no good"),
        ("since", datetime(2026, 1, 1)),  # noqa: DTZ001 - a naive one is what is refused here
        ("until", datetime(2026, 1, 1)),  # noqa: DTZ001 - a naive one is what is refused here
        ("since", "yesterday"),
    ],
)
async def test_a_filter_that_is_none_is_refused_by_its_name(
    plane: ControlPlane, field: str, value: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.jobs.list(**{field: value})
    assert refused.value.field == field


async def test_a_time_range_does_not_end_before_it_begins(plane: ControlPlane) -> None:
    since = datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(InvalidInput) as refused:
        await plane.jobs.list(since=since, until=since - timedelta(microseconds=1))
    assert refused.value.field == "since"


async def test_a_list_shows_claims_that_nobody_told_of_yet(plane: ControlPlane) -> None:
    await enqueue(plane)
    held = await claim(plane, start=True)
    assert (await plane.jobs.list(status="running")).items == (held.job,)
    assert (await plane.jobs.list(status="queued")).items == ()
    await plane.queue.complete(held, Outcome.exited(0))
    assert (await plane.jobs.list(status="running")).items == ()
