"""The log: every event once, in order, to a reader that follows the cursor."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    ControlPlane,
    Event,
    InvalidCursor,
    InvalidInput,
    JobSpec,
    JobState,
    Outcome,
    open_store,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.model.instants import from_micros
from tests.patience import PATIENCE
from tests.services.scenes import (
    claim,
    enqueue,
    everything_told,
    finish,
    one_of_each,
    run,
)

if TYPE_CHECKING:
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_the_log_tells_of_every_subject_in_the_order_of_its_versions(
    plane: ControlPlane,
) -> None:
    await one_of_each(plane)
    last: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, -1))
    for event in await everything_told(plane):
        place = (event.version, event.ordinal)
        assert place > last[event.subject]
        last[event.subject] = place
    assert len(last) == 10


async def test_what_jobs_say_of_their_history_the_log_has_told(plane: ControlPlane) -> None:
    made = await one_of_each(plane)
    told = await everything_told(plane)
    for job in made.values():
        steps = [
            (event.data.get("from"), event.data["to"], event.at)
            for event in told
            if event.subject == ("jobs", job.job_id) and "to" in event.data
        ]
        history = [
            (step.source.value if step.source else None, step.target.value, step.at)
            for step in job.history
        ]
        # A claim is told by whoever commits next over it.
        assert steps == history[: len(history) - (job.state is JobState.CLAIMED)]


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
async def test_pages_of_any_size_tell_the_same(plane: ControlPlane, limit: int) -> None:
    await one_of_each(plane)
    expected = await everything_told(plane)
    events: list[Event] = []
    cursor: str | None = None
    while True:
        page = await plane.events.read(cursor, limit=limit)
        assert len(page.events) <= limit
        assert not page.truncated
        if not page.events:
            assert page.cursor == cursor
            break
        events += page.events
        cursor = page.cursor
    assert events == expected
    assert len({event.event_id for event in events}) == len(events)


async def test_from_the_end_only_what_happens_later_is_read(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane)
    end = await plane.events.end()
    assert (await plane.events.read(end)).events == ()
    await finish(other_plane)
    told = [event.type for event in (await plane.events.read(end)).events]
    assert told == ["job.claimed", "job.started", "job.succeeded"]


async def test_an_event_says_what_when_and_to_whom(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await enqueue(plane, pool_name="fast")
    clock.advance(3)
    await run(plane, pool_name="fast")
    created, queued, claimed, started = await everything_told(plane)
    assert created.subject == ("jobs", job.job_id)
    assert created.at == job.created_at
    assert (created.ordinal, queued.ordinal) == (0, 1)
    assert claimed.at == from_micros(clock.micros())
    assert claimed.data == {
        "from": "queued",
        "to": "claimed",
        "actor": "a-1",
        "reason": "attempt 1",
        "attempt": 1,
        "fence": clock.micros(),
        "pool": "fast",
    }
    assert (started.data["from"], started.data["to"]) == ("claimed", "running")


async def test_a_follower_is_told_of_everything_once_and_in_order(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane)
    heard: list[Event] = []
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                async with aclosing(plane.events.follow()) as events:
                    async for event in events:
                        assert isinstance(event, Event)
                        heard.append(event)
                        if event.type == "job.succeeded":
                            return

            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await finish(other_plane)
    assert heard == await everything_told(plane)


async def test_a_follower_may_begin_where_another_one_ended(plane: ControlPlane) -> None:
    await enqueue(plane)
    cursor = await plane.events.end()
    running = await run(plane)
    with anyio.fail_after(PATIENCE):
        async with aclosing(plane.events.follow(cursor)) as follower:
            told = [await anext(follower) for _ in range(2)]
            await plane.queue.complete(running, Outcome.exited(0))
            told.append(await anext(follower))
    assert [event.type for event in told if isinstance(event, Event)] == [
        "job.claimed",
        "job.started",
        "job.succeeded",
    ]


async def test_many_writers_at_once_leave_no_gap(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 12)

    async def work(through: ControlPlane, agent_id: str) -> None:
        for claimed in await through.queue.claim(agent_id=agent_id, limit=4, start=True):
            await through.queue.complete(claimed, Outcome.exited(0))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(work, (plane, other_plane)[number % 2], f"a-{number}")
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in await everything_told(plane):
        versions[event.subject].append(event.version)
    assert len(versions) == 12
    for told in versions.values():
        first = told[0]
        assert told == [first, first, first + 1, first + 1, first + 2]


async def test_a_log_that_retention_tore_says_so(store_url: str, clock: VirtualClock) -> None:
    async with open_store(
        store_url, clock=clock, log_retention=100, collections=COLLECTIONS
    ) as store:
        plane = ControlPlane(store)
        await enqueue(plane)
        cursor = (await plane.events.read(limit=1)).cursor
        clock.advance(101)
        await claim(plane, start=True)
        clock.advance(31)
        for _ in range(3):
            clock.advance(1)
            await plane.maintenance.sweep()
        page = await plane.events.read(cursor)
        assert page.truncated
        assert "job.enqueued" not in [event.type for event in page.events]
        assert not (await plane.events.read(page.cursor)).truncated


@pytest.mark.parametrize("limit", [0, 1001, -1, True, "5"])
async def test_a_page_has_1_to_1000_events(plane: ControlPlane, limit: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.events.read(limit=limit)
    assert refused.value.field == "limit"


async def test_a_cursor_that_was_cut_or_changed_is_refused(plane: ControlPlane) -> None:
    for _ in range(6):
        await enqueue(plane)
    for cursor in ((await plane.events.read(limit=11)).cursor, await plane.events.end()):
        cut = [cursor[:length] for length in range(len(cursor))]
        changed = [cursor[:place] + "7" + cursor[place + 1 :] for place in range(len(cursor))]
        for damaged in {*cut, *changed, f"{cursor}0"} - {cursor}:
            with pytest.raises(InvalidCursor, match="damaged"):
                await plane.events.read(damaged)


@pytest.mark.parametrize("cursor", ["nonsense", "", "-1", "999999999999999", "1.5", "²", 7])
async def test_a_cursor_that_is_none_of_this_log_is_refused(
    plane: ControlPlane, cursor: Any
) -> None:
    await enqueue(plane)
    with pytest.raises(InvalidCursor):
        await plane.events.read(cursor)
