"""What the memory store does beyond the contract."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.rows import SWEEP
from cicd_core.store.records import Renewal
from cicd_core.store.registry import open_store
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import (
    COLLECTIONS,
    ITEMS,
    SECOND,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    numbers_in,
    read,
    watch,
    whole_log,
    write,
)

pytestmark = pytest.mark.anyio


async def test_the_log_is_kept_for_its_retention_and_says_what_it_tore() -> None:
    clock = VirtualClock()
    store = MemoryBackend(COLLECTIONS, clock=clock, log_retention=60)
    await write(store, item("a"), events=[event_of("a", number) for number in range(3)])
    cursor = (await store.read_log(None, 1)).cursor
    clock.advance(30)
    await write(store, item("b"), events=[event_of("b")])
    clock.advance(29)
    assert len(await whole_log(store)) == 4
    clock.advance(1)
    page = await store.read_log(cursor, 10)
    assert ([entry.key for entry in page.entries], page.truncated) == (["b"], True)
    page = await store.read_log(page.cursor, 10)
    assert (page.entries, page.truncated) == ((), False)


async def test_a_gap_at_the_end_of_the_log_is_said_once() -> None:
    clock = VirtualClock()
    store = MemoryBackend(COLLECTIONS, clock=clock, log_retention=60)
    cursor = (await store.read_log(None, 10)).cursor
    await write(store, item("a"), events=[event_of("a")])
    clock.advance(61)
    page = await store.read_log(cursor, 10)
    assert (page.entries, page.truncated) == ((), True)
    assert not (await store.read_log(page.cursor, 10)).truncated


async def test_the_log_is_kept_for_30_days_by_default() -> None:
    clock = VirtualClock()
    async with open_store("memory://", collections=COLLECTIONS, clock=clock) as store:
        await write(store, item("a"), events=[event_of("a")])
        clock.advance(30 * 86400 - 1)
        assert len(await whole_log(store)) == 1
        clock.advance(1)
        assert await whole_log(store) == []


@pytest.mark.parametrize(
    ("url", "keyword"), [("memory://?log_retention=5", None), ("memory://?log_retention=99", 5.0)]
)
async def test_the_retention_of_the_log_comes_from_a_keyword_or_the_url(
    url: str, keyword: float | None
) -> None:
    clock = VirtualClock()
    opening = open_store(url, collections=COLLECTIONS, clock=clock, log_retention=keyword)
    async with opening as store:
        await write(store, item("a"), events=[event_of("a")])
        clock.advance(5)
        assert await whole_log(store) == []


async def test_no_call_drops_everything_that_has_expired() -> None:
    clock = VirtualClock()
    store = MemoryBackend(COLLECTIONS, clock=clock)
    soon = clock.micros() + SECOND
    await store.commit([commit(item(f"k{n}", expires_at=soon)) for n in range(3 * SWEEP)])
    clock.advance(1)
    for left in (2, 1, 0):
        assert await numbers_in(store, in_lane()) == [0]
        rows = store._rows._rows  # noqa: SLF001 - no verb shows how much is left to drop
        assert len(rows) == left * SWEEP


async def test_a_store_without_a_name_is_its_openers_own() -> None:
    async with (
        open_store("memory://", collections=COLLECTIONS) as one,
        open_store("memory://", collections=COLLECTIONS) as other,
    ):
        await write(one, item("a"))
        assert await find(other, "a") is None


async def test_a_named_store_lives_until_the_last_one_closes_it() -> None:
    opened = partial(open_store, "memory://demo", collections=COLLECTIONS)
    async with opened() as first:
        await write(first, item("a"))
        async with opened() as second:
            await write(second, item("b"))
        assert set(await first.get(ITEMS.name, ["a", "b"])) == {"a", "b"}
    async with opened() as later:
        assert await find(later, "a") is None


async def test_a_named_store_is_left_when_its_user_fails() -> None:
    async def fail() -> None:
        async with open_store("memory://failing", collections=COLLECTIONS) as store:
            await write(store, item("a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with open_store("memory://failing", collections=COLLECTIONS) as store:
        assert await find(store, "a") is None


async def test_namespaces_of_one_name_are_apart() -> None:
    async with (
        open_store("memory://demo?namespace=one", collections=COLLECTIONS) as one,
        open_store("memory://demo", namespace="two", collections=COLLECTIONS) as two,
        open_store("memory://demo", namespace="one", collections=COLLECTIONS) as again,
    ):
        await write(one, item("a"))
        assert await find(two, "a") is None
        assert (await read(again, "a")).body == b"body of a"


async def test_one_name_keeps_one_set_of_collections() -> None:
    async with open_store("memory://demo", collections=COLLECTIONS):
        with pytest.raises(InvalidInput, match="other collections"):
            async with open_store("memory://demo", collections=COLLECTIONS[:1]):
                pass


@pytest.mark.parametrize(
    "url",
    ["memory://name/path", "memory:///path", "memory://?colour=red", "memory://?log_retention=x"],
)
async def test_a_url_that_says_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        async with open_store(url, collections=COLLECTIONS):
            pass


async def test_threads_with_loops_of_their_own_may_share_a_store(anyio_backend_name: str) -> None:
    store = MemoryBackend(COLLECTIONS)
    await store.commit([commit(item(f"{number:03}")) for number in range(300)])
    granted: list[tuple[str, int]] = []

    async def work() -> None:
        async with store.sibling() as sibling:
            while records := await sibling.claim(claim(2)):
                granted.extend((record.key, record.version) for record in records)

    threads = [
        threading.Thread(target=anyio.run, args=(work,), kwargs={"backend": anyio_backend_name})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert len(granted) == len(set(granted)) == 300


async def test_a_lease_is_renewed_from_another_threads_loop(anyio_backend_name: str) -> None:
    clock = VirtualClock()
    store = MemoryBackend(COLLECTIONS, clock=clock)
    await write(store, item("a"))
    (held,) = await store.claim(claim(claim_id="holder"))
    clock.advance(20)

    async def keep() -> None:
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=30 * SECOND)
        await store.renew([renewal])

    await anyio.to_thread.run_sync(partial(anyio.run, keep, backend=anyio_backend_name))
    lease = (await read(store, "a")).lease
    assert held.lease is not None
    assert lease is not None
    assert lease.expires == held.lease.expires + 20 * SECOND


async def test_a_record_at_or_below_the_bound_wakes_nobody() -> None:
    store = MemoryBackend(COLLECTIONS)
    answers: list[bool] = []

    async def wait() -> None:
        answers.append(await store.wait([watch(in_lane(), after="5:b")], 0.02))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        await write(store, item("a"), item("b"))
    assert answers == [False]


async def test_a_busy_caller_lets_others_run() -> None:
    store = MemoryBackend(COLLECTIONS)
    turns: list[str] = []

    async def ask(name: str) -> None:
        for _ in range(3):
            await store.get(ITEMS.name, ["a"])
            turns.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "one")
        tasks.start_soon(ask, "other")
    assert set(turns[:3]) == {"one", "other"}
