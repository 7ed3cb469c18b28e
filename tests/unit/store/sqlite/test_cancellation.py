"""A caller may be cancelled at any moment: what it asked happens whole, or not at all (I7)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from cicd_core.store.sqlite.connection import ConnectionThread, GuardedConnection
from cicd_core.testing.samples import (
    claim,
    event_of,
    find,
    in_lane,
    item,
    numbers_in,
    whole_log,
    write,
)
from tests.unit.store.sqlite.files import execute, names, opened, query

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

#: More turns of the event loop than a call takes here.
TURNS = range(12)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_commit_that_is_cancelled_happens_whole_or_not_at_all(
    store: SQLiteBackend, turns: int
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(
            lambda: write(store, item("a"), item("b"), events=[event_of("a"), event_of("b")])
        )
        for _ in range(turns):
            await checkpoint()
        group.cancel_scope.cancel()
    await write(store, item("after"))
    found = set(await store.get("items", ["a", "b", "after"]))
    assert found in ({"after"}, {"a", "b", "after"})
    assert await numbers_in(store, in_lane()) == [len(found)]
    assert len(await whole_log(store)) == len(found) - 1


@pytest.mark.parametrize("turns", TURNS)
async def test_a_claim_that_is_cancelled_can_be_asked_for_again(
    store: SQLiteBackend, turns: int
) -> None:
    await write(store, item("a"), item("b"))
    one = claim()
    async with anyio.create_task_group() as group:
        group.start_soon(store.claim, one)
        for _ in range(turns):
            await checkpoint()
        group.cancel_scope.cancel()
    assert [record.key for record in await store.claim(one)] == ["a"]
    assert await numbers_in(store, in_lane()) == [1]


async def test_what_waits_for_its_turn_is_dropped_with_its_caller(store: SQLiteBackend) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: write(store, item("under way")))
        await checkpoint()
        await checkpoint()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await write(store, item("dropped"))
    await write(store, item("next"))  # it would have gone together with this one
    assert await find(store, "dropped") is None
    assert await find(store, "under way")


async def test_an_opening_that_the_loop_cancels_leaves_no_thread_and_no_open_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[GuardedConnection] = []

    def close(connection: GuardedConnection) -> None:
        closed.append(connection)
        sqlite3.Connection.close(connection)

    monkeypatch.setattr(GuardedConnection, "close", close)
    before = set(threading.enumerate())
    opening = asyncio.ensure_future(ConnectionThread(path, 5).open())
    await checkpoint()  # as far as the thread, which opens the file
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended since
    assert closed


async def test_many_that_are_cancelled_leave_no_transaction_and_no_lock(path: Path) -> None:
    async with opened(path) as store:
        for turns in range(40):
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(write, store, item(f"{turns}.{number}"))
                    group.start_soon(store.claim, claim(limit=2))
                    group.start_soon(numbers_in, store, in_lane())
                for _ in range(turns % 8):
                    await checkpoint()
                group.cancel_scope.cancel()
        assert not await store.writes.call(lambda connection: connection.in_transaction)
        assert not await store.reads.call(lambda connection: connection.in_transaction)
        async with opened(path) as other:
            await write(other, item("free"))
        assert await execute(store, "PRAGMA integrity_check") == [("ok",)]
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("turns", TURNS)
async def test_opening_that_is_cancelled_leaves_the_file_to_the_next(
    path: Path, turns: int
) -> None:
    async def open_and_stay() -> None:
        async with opened(path):
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(open_and_stay)
        for _ in range(turns * 3):
            await checkpoint()
        group.cancel_scope.cancel()
    async with opened(path) as store:
        await write(store, item("a"))
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("turns", TURNS)
async def test_a_store_whose_owner_is_cancelled_finishes_its_transaction(
    path: Path, turns: int
) -> None:
    is_open = anyio.Event()

    async def fill() -> None:
        async with opened(path) as store, anyio.create_task_group() as group:
            is_open.set()
            for number in range(50):
                group.start_soon(write, store, item(str(number)))

    async with anyio.create_task_group() as group:
        group.start_soon(fill)
        await is_open.wait()
        for _ in range(turns):
            await checkpoint()
        group.cancel_scope.cancel()
    assert names(path.parent) == [path.name]
    assert query(path, "SELECT count(*) FROM c_items")[0][0] in {0, 50}
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
