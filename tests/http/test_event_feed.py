"""One reader serves all streams of a process, and none of them misses an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from cicd_core import ControlPlane, JobSpec
from cicd_core.http.server import event_feed
from cicd_core.http.server.event_feed import EventFeed, Follower
from cicd_core.http.wire.events import Place
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cicd_core import EventPage

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


async def follow(feed: EventFeed, ids: list[str], number: int, pause: float = 0.0) -> None:
    follower = Follower(feed, Place(None))
    with feed.following(follower):
        while len(ids) < number:
            told = await follower.next(PATIENCE)
            ids += [each.entry.event_id for each in told if each.entry is not None]
            await anyio.sleep(pause)


async def everything(plane: ControlPlane) -> list[str]:
    return [each.event_id for each in (await plane.events.read(limit=1000)).events]


@pytest.mark.parametrize("waiting", [2000, 3])
async def test_each_stream_gets_each_event_once(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    monkeypatch.setattr(event_feed, "_MOST_WAITING", waiting)
    feed = EventFeed(plane.events, lambda: False)
    found: list[list[str]] = [[] for _ in range(6)]
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for place, ids in enumerate(found):
                tasks.start_soon(follow, feed, ids, 40, place % 3 * 0.002)
                await plane.queue.enqueue(JobSpec(job_type="build"))
            for _ in range(14):
                await plane.queue.enqueue(JobSpec(job_type="build"))
                await anyio.lowlevel.checkpoint()
    near = await everything(plane)
    assert found == [near] * 6
    assert feed.number == 0


async def test_streams_that_wait_read_the_log_as_often_as_one_does(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = plane.events.read

    async def counted(cursor: str | None = None, *, limit: int = 100) -> EventPage:
        nonlocal reads
        reads += 1
        return await read(cursor, limit=limit)

    monkeypatch.setattr(plane.events, "read", counted)
    feed = EventFeed(plane.events, lambda: False)
    found: list[list[str]] = [[] for _ in range(50)]
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for ids in found:
                tasks.start_soon(follow, feed, ids, 20)
            while feed.number < 50:
                await anyio.lowlevel.checkpoint()
            for _ in range(10):
                await plane.queue.enqueue(JobSpec(job_type="build"))
                await anyio.lowlevel.checkpoint()
    assert found == [await everything(plane)] * 50
    # Each reads once or twice until it has joined the others; then one read serves all of them.
    assert reads < 50 * 2 + 50


async def test_the_reader_that_leaves_is_replaced(plane: ControlPlane) -> None:
    feed = EventFeed(plane.events, lambda: False)
    ids: list[str] = []
    leaving = anyio.CancelScope()

    async def lead() -> None:
        with leaving:
            await follow(feed, [], 1)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            while feed.number < 1:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(follow, feed, ids, 2)
            while feed.number < 2:
                await anyio.lowlevel.checkpoint()
            leaving.cancel()
            await anyio.lowlevel.checkpoint()
            await plane.queue.enqueue(JobSpec(job_type="build"))
    assert ids == await everything(plane)


async def test_what_a_stream_has_read_for_itself_is_not_told_again(plane: ControlPlane) -> None:
    feed = EventFeed(plane.events, lambda: False)
    first, second = list[str](), list[str]()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            await plane.queue.enqueue(JobSpec(job_type="build"))
            tasks.start_soon(follow, feed, first, 8)
            await several_turns()  # the first one reads for all then, and pauses at the end
            assert len(first) == 2
            for _ in range(2):
                await plane.queue.enqueue(JobSpec(job_type="build"))
            tasks.start_soon(follow, feed, second, 8)
            await several_turns()  # the second one has joined it
            await plane.queue.enqueue(JobSpec(job_type="build"))
    assert first == second == await everything(plane)


async def test_a_stream_that_takes_nothing_makes_those_that_join_read_little(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_MOST_WAITING", 4)
    monkeypatch.setattr(event_feed, "_READ", 2)
    number = 0
    read = plane.events.read

    async def counted(cursor: str | None = None, *, limit: int = 100) -> EventPage:
        nonlocal number
        page = await read(cursor, limit=limit)
        number += len(page.entries)
        return page

    feed = EventFeed(plane.events, lambda: False)
    slow = Follower(feed, Place(None))
    assert await slow.next(0.0) == []  # it has joined, and takes nothing for now
    for _ in range(20):
        await plane.queue.enqueue(JobSpec(job_type="build"))
    before = await everything(plane)
    monkeypatch.setattr(plane.events, "read", counted)
    joining = [Follower(feed, Place(await plane.events.end())) for _ in range(3)]
    for follower in joining:
        assert await follower.next(0.0) == []
    assert number <= 6  # and not all that the slow one has left
    await plane.queue.enqueue(JobSpec(job_type="build"))
    after = [each for each in await everything(plane) if each not in before]
    with anyio.fail_after(PATIENCE):
        for follower, wanted in (*((each, after) for each in joining), (slow, before + after)):
            ids: list[str] = []
            while len(ids) < len(wanted):
                told = await follower.next(PATIENCE)
                ids += [each.entry.event_id for each in told if each.entry is not None]
            assert ids == wanted


async def several_turns() -> None:
    """Let what is ready go on until it waits."""
    for _ in range(200):
        await anyio.lowlevel.checkpoint()
