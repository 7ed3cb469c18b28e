"""Counters and cursors at the ends of what the server can hold and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core.errors import InvalidCursor, StoreError
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import Committed, Increment
from cicd_core.testing.samples import (
    IDS,
    apply,
    commit,
    event_of,
    find,
    in_lane,
    item,
    numbers_in,
    whole_log,
    write,
)
from tests.redis.stores import ONE, number_of_events, opened, sum_of_ones

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio

#: So many of the largest increments are more than 64 bits can hold.
TOO_MANY: Final = 2**63 // MAX_INSTANT


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine, of this test's own."""
    return start(engine)


@pytest.fixture
async def store(server: Server, namespace: str) -> AsyncGenerator[Store, None]:
    async with opened(server.url, namespace=namespace) as store:
        yield store


# ---------------------------------------------------------------------------------------- counters


@pytest.mark.parametrize("sign", [1, -1])
async def test_a_counter_that_begins_with_the_largest_amount_is_listed(
    store: Store, sign: int
) -> None:
    big = Increment("big|all", sign * MAX_INSTANT)
    await write(store, item("a"), increments=[big])
    assert (await store.counters("")).values == {big.name: big.amount}


@pytest.mark.parametrize("sign", [1, -1])
async def test_a_commit_that_a_counter_cannot_take_is_refused_whole_and_alone(
    store: Store, sign: int
) -> None:
    big = Increment("big|all", sign * MAX_INSTANT)
    await write(store, item("full"), increments=[big] * TOO_MANY)
    refused: list[str] = []

    async def overfill(key: str) -> None:
        one = commit(item(key), events=[event_of(key)], increments=[ONE, big])
        with pytest.raises(StoreError, match=r"'big\|all'.*not applied"):
            await apply(store, one)
        refused.append(key)

    async def go_on(key: str) -> None:
        one = commit(item(key), events=[event_of(key)], increments=[ONE])
        assert isinstance(await apply(store, one), Committed)

    async with anyio.create_task_group() as tasks:  # all of them in one script
        for number in range(5):
            tasks.start_soon(go_on, f"good {number}")
            tasks.start_soon(overfill, f"bad {number}")
    assert [await find(store, key) for key in refused] == [None] * 5
    assert await numbers_in(store, in_lane()) == [6]
    assert await sum_of_ones(store) == await number_of_events(store) == 5
    total = (await store.counters("big|")).values
    assert total == {big.name: big.amount * TOO_MANY}


async def test_a_counter_that_is_damaged_takes_no_commit_and_no_other_along(
    store: Store, server: Server, namespace: str
) -> None:
    server.ask("HSET", f"cicd:{{{namespace}}}:n:broken", "broken|all", "no number")
    broken = commit(item("bad"), increments=[ONE, Increment("broken|all", 1)])
    with pytest.raises(StoreError, match=r"'broken\|all'.*not an integer"):
        await store.commit([commit(item("a"), increments=[ONE]), broken])
    await write(store, item("b"), events=[event_of("b")], increments=[ONE])
    assert await find(store, "bad") is None
    assert await sum_of_ones(store) == 2


# ----------------------------------------------------------------------------------------- cursors


@pytest.mark.parametrize(
    "cursor",
    [
        "18446744073709551616-0",
        "0-18446744073709551616",
        "18446744073709551615-18446744073709551615",
        "18446744073709551615-18446744073709551615.1",
        f"{'9' * 5000}-0",
        f"0-0.{'9' * 5000}",
    ],
)
async def test_a_cursor_of_numbers_that_no_stream_has_is_refused(store: Store, cursor: str) -> None:
    await write(store, item("a"), events=[event_of("a")])
    with pytest.raises(InvalidCursor):
        await store.read_log(cursor, 10)


async def test_a_gap_is_told_once_where_nothing_stands_behind_it(
    store: Store, server: Server, namespace: str
) -> None:
    versions = await write(store, item("a"), events=[event_of("a")])
    cursor = (await store.read_log(None, 1)).cursor
    await write(store, item("a", expected=versions["a"]), events=[event_of("a")])
    async with opened(server.url, namespace=namespace, log_retention=0.0) as forgetful:
        while await whole_log(store):  # until a sweep has dropped them
            await write(forgetful, item(IDS.commit_id()))
            await anyio.lowlevel.checkpoint()
    page = await store.read_log(cursor, 10)
    assert (page.entries, page.truncated) == ((), True)
    again = await store.read_log(page.cursor, 10)
    assert (again.entries, again.truncated, again.cursor) == ((), False, page.cursor)


async def test_a_reader_of_a_moment_that_the_server_lost_is_told_of_a_gap_and_goes_on(
    server: Server, namespace: str
) -> None:
    key = f"cicd:{{{namespace}}}:log"
    client: Any
    with server.client() as client:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        async with opened(server.url, namespace=namespace) as store:
            await write(store, item("kept"), events=[event_of("kept")])
            kept = client.dump(key)
            await write(store, item("lost"), events=[event_of("lost")])
            read = await store.read_log(None, 10)
            client.restore(key, 0, kept, replace=True)  # as its disk had it when it died
            page = await store.read_log(read.cursor, 10)
            assert (page.entries, page.truncated) == ((), True)
            await write(store, item("new"), events=[event_of("new")])
            page = await store.read_log(page.cursor, 10)
            assert ([each.key for each in page.entries], page.truncated) == (["new"], False)
            far = f"{(await store.now()).micros // 1000 + 3_600_000}-0"
            with pytest.raises(InvalidCursor, match="ahead"):
                await store.read_log(far, 10)
