"""Who waits is woken by this process at once, by others soon, and costs nothing afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.store.sqlite.tables import key_of_partition
from cicd_core.store.sqlite.waiting import Waiting
from cicd_core.testing.samples import claim, in_lane, item, watch, write
from tests.unit.store.sqlite.files import opened, run_script

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.records import Watch
    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

HOUR = 3600.0


async def test_a_record_that_another_process_puts_ends_the_wait(
    path: Path, store: SQLiteBackend
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(run_script, "put_many.py", path, "a", 1)
        assert await store.wait([watch(in_lane())], HOUR)


async def test_what_another_store_does_elsewhere_does_not_end_the_wait(path: Path) -> None:
    async with opened(path) as store, opened(path) as other, anyio.create_task_group() as group:
        ended: list[str] = []

        async def wait(lane: str) -> None:
            assert await store.wait([watch(in_lane(lane))], HOUR)
            ended.append(lane)

        group.start_soon(wait, "quiet")
        group.start_soon(wait, "busy")
        await anyio.wait_all_tasks_blocked()
        await write(other, item("a", lane="busy"))
        while not ended:
            await anyio.wait_all_tasks_blocked()
        assert ended == ["busy"]
        await write(other, item("b", lane="quiet"))


async def test_all_who_wait_for_the_same_are_woken(store: SQLiteBackend) -> None:
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await store.wait([watch(in_lane()), watch(in_lane("other"))], HOUR))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await write(store, item("a", lane="other"))
    assert woken == [True] * 10


async def test_a_record_that_moves_on_in_its_partition_ends_the_wait(store: SQLiteBackend) -> None:
    version = (await write(store, item("a", rank="3")))["a"]
    async with anyio.create_task_group() as group:
        group.start_soon(write, store, item("a", rank="7", expected=version))
        assert await store.wait([watch(in_lane(), after="5")], HOUR)


async def test_nobody_is_polled_for_when_nobody_waits(store: SQLiteBackend) -> None:
    before = asyncio.all_tasks()
    with anyio.move_on_after(0):
        await store.wait([watch(in_lane())], HOUR)
    await write(store, item("a"))
    assert await store.wait([watch(in_lane())], HOUR)
    # The last one to wait begins the polling, so that no other wait is there when it ends.
    assert not await store.wait([watch(in_lane("other"))], 0)
    asked: list[str] = []
    await store.reads.call(lambda connection: connection.set_trace_callback(asked.append))
    if polling := asyncio.all_tasks() - before:
        await asyncio.wait(polling)  # it ends by itself
    # Other commits come and go, and the reading connection is asked for nothing.
    for _ in range(3):
        await store.claim(claim())
    assert asked == []


async def test_who_waits_is_woken_when_nobody_can_look_any_more(path: Path) -> None:
    async def sees_nothing(_: set[Watch]) -> set[Watch]:
        return set()

    async def fails(_: set[Watch]) -> set[Watch]:
        raise StoreUnavailable("the disk is gone")

    # What is asked next meets the error itself.
    waiting = Waiting(sees_nothing, fails, path=path, namespace_id=1)
    assert await waiting.wait([watch(in_lane())], HOUR)


async def test_what_this_process_commits_wakes_without_any_look(path: Path) -> None:
    async def sees_nothing(_: set[Watch]) -> set[Watch]:
        return set()

    waiting = Waiting(sees_nothing, sees_nothing, path=path, namespace_id=1)
    woken: list[str] = []

    async def wait(name: str, *watches: Watch) -> None:
        assert await waiting.wait(watches, HOUR)
        woken.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, "any", watch(in_lane("other")), watch(in_lane()))
        group.start_soon(wait, "above 5", watch(in_lane(), after="5"))
        await anyio.wait_all_tasks_blocked()
        waiting.tell([(key_of_partition(in_lane("elsewhere")), "9")])
        waiting.tell([(key_of_partition(in_lane()), "3")])
        await anyio.wait_all_tasks_blocked()
        assert woken == ["any"]
        waiting.tell([(key_of_partition(in_lane()), "7")])
    assert woken == ["any", "above 5"]
