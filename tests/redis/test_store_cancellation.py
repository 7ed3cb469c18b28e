"""Callers that go, a store that is closed, many at once: each hears its own answer, or an error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from anyio import from_thread, to_thread

from cicd_core.errors import StoreClosed, StoreUnavailable
from cicd_core.store.records import Committed
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    numbers_in,
    plain,
    read,
    watch,
    whole_log,
    write,
)
from cicd_core.testing.seeds import drawn
from tests.patience import PATIENCE
from tests.redis.stores import ONE, opened, settle, sum_of_ones

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from random import Random

    from cicd_core.store.contract import Store
    from tests.redis.engines import Server
    from tests.redis.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio

#: The most turns of the event loop that a call is left before it is cancelled: some never are.
TURNS = 12


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
async def store(server: Server, namespace: str) -> AsyncGenerator[Store, None]:
    async with opened(server.url, namespace=namespace) as store:
        yield store


async def call_and_go(call: Callable[[], Awaitable[None]], turns: int) -> None:
    """Make a call, and cancel it after so many turns of the event loop."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def finish() -> None:
                await call()
                tasks.cancel_scope.cancel()

            tasks.start_soon(finish)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            scope.cancel()


# -------------------------------------------------------------------------------- callers that go


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_goes_at_any_moment_nobody_hears_the_answer_of_another(
    store: Store, seed: int
) -> None:
    await store.commit([commit(plain(f"{number}", body=b"%d" % number)) for number in range(50)])
    heard = 0

    async def caller(random: Random) -> None:
        nonlocal heard

        async def ask() -> None:
            nonlocal heard
            keys = [f"{random.randrange(50)}" for _ in range(random.randint(1, 3))]
            found = await store.get("plain", keys)
            assert {key: record.body.decode() for key, record in found.items()} == {
                key: key for key in keys
            }
            heard += 1

        for _ in range(20):
            await call_and_go(ask, random.randrange(TURNS))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(caller, drawn(seed, "caller", number))
    assert 0 < heard < 30 * 20
    assert (await read(store, "7", "plain")).body == b"7"


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_commit_that_is_cancelled_is_whole_or_not_there_and_may_be_repeated(
    store: Store, turns: int
) -> None:
    one = commit(item("a"), plain("b"), events=[event_of("a")], increments=[ONE])

    async def ask() -> None:
        await apply(store, one)

    await call_and_go(ask, turns)
    there = await store.get("items", ["a"]), await store.get("plain", ["b"])
    assert len(there[0]) == len(there[1]) == len(await whole_log(store))
    assert isinstance(await apply(store, one), Committed)
    assert await sum_of_ones(store) == len(await whole_log(store)) == 1


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_claim_that_is_cancelled_is_answered_when_it_is_repeated(
    store: Store, turns: int
) -> None:
    await write(store, item("a"), item("b"))
    one = claim()

    async def ask() -> None:
        await store.claim(one)

    await call_and_go(ask, turns)
    assert [record.key for record in await store.claim(one)] == ["a"]
    assert await keys_in(store, in_lane()) == ["b"]


async def test_answers_that_nobody_waits_for_any_more_are_dropped(
    proxy: FaultProxy, namespace: str
) -> None:
    async with opened(proxy.url, namespace=namespace) as store:
        await store.commit([commit(plain(f"{number}")) for number in range(10)])
        await read(store, "0", "plain")
        fault = proxy.hold_answers("EVALSHA")
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(read, store, f"{number}", "plain")
            await fault.struck()
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, store, "3", "plain")
            await settle()
            fault.release()
        assert proxy.accepted == 1


async def test_a_wait_that_is_cancelled_leaves_the_others_waiting(store: Store) -> None:
    woken: list[int] = []

    async def wait(number: int) -> None:
        assert await store.wait([watch(in_lane())], PATIENCE)
        woken.append(number)

    async with anyio.create_task_group() as tasks:
        for turns in range(40):
            await call_and_go(partial(wait, turns), turns)
        tasks.start_soon(wait, -1)
        await settle()
        await write(store, item("a"))
    assert woken == [-1]


# ------------------------------------------------------------------------------ a store that closes


@pytest.mark.parametrize("turns", range(0, 40, 4))
async def test_a_store_that_is_closed_under_load_answers_or_fails_every_call(
    server: Server, namespace: str, turns: int
) -> None:
    ends: list[bool] = []

    async def ask(store: Store, number: int) -> None:
        try:
            await write(store, item(f"{number}"), events=[event_of(f"{number}")], increments=[ONE])
            ends.append(True)
        except (StoreClosed, StoreUnavailable):
            ends.append(False)

    async def wait(store: Store) -> None:
        with pytest.raises((StoreClosed, StoreUnavailable)):
            await store.wait([watch(in_lane("no work"))], PATIENCE)
        ends.append(False)

    async with anyio.create_task_group() as tasks:
        async with opened(server.url, namespace=namespace) as store:
            for number in range(150):
                tasks.start_soon(ask, store, number)
            for _ in range(10):
                tasks.start_soon(wait, store)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
        with pytest.raises(StoreClosed, match="is closed"):
            await read(store, "a")
    assert len(ends) == 160
    async with opened(server.url, namespace=namespace) as store:
        (number,) = await numbers_in(store, in_lane())
        assert number >= sum(ends)
        assert await sum_of_ones(store) == len(await whole_log(store)) == number


@pytest.mark.parametrize("turns", range(30))
async def test_a_store_may_be_closed_at_any_moment_of_a_connection_that_breaks(
    proxy: FaultProxy, namespace: str, turns: int
) -> None:
    with anyio.fail_after(PATIENCE):
        async with opened(proxy.url, namespace=namespace) as store:
            await write(store, plain("a"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(proxy.cut_all)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()


async def test_a_closed_store_leaves_no_connection_and_no_task(
    proxy: FaultProxy, namespace: str
) -> None:
    async with opened(proxy.url, namespace=namespace) as store:
        await write(store, plain("a"))
        assert not await store.wait([watch(in_lane())], 0.01)
        assert proxy.connections == 2
    await settle()
    assert proxy.connections == 0


# ------------------------------------------------------------------------------------ many at once


async def test_each_of_hundreds_of_waiters_is_woken_by_his_own_work_alone(store: Store) -> None:
    woken: set[int] = set()

    async def wait(number: int) -> None:
        assert await store.wait([watch(in_lane(f"{number}"))], PATIENCE)
        woken.add(number)

    async with anyio.create_task_group() as tasks:
        for number in range(600):
            tasks.start_soon(wait, number)
        await settle()
        for number in range(0, 600, 2):
            await write(store, item(f"{number}", lane=f"{number}"))
        while len(woken) < 300:
            await anyio.lowlevel.checkpoint()
        await settle()
        assert woken == set(range(0, 600, 2))
        await store.commit(
            [commit(item(f"{number}", lane=f"{number}")) for number in range(1, 600, 2)]
        )
    assert len(woken) == 600


async def test_a_lane_that_nobody_watched_for_a_while_is_heard_again(store: Store) -> None:
    async def wait(lane: str) -> None:
        assert await store.wait([watch(in_lane(lane))], PATIENCE)

    for _ in range(2):  # in the first round a channel each is subscribed, and let go at its end
        lanes = [f"{IDS.commit_id()}/{number}" for number in range(400)] + ["again"]
        async with anyio.create_task_group() as tasks:
            for lane in lanes:
                tasks.start_soon(wait, lane)
            await settle()
            await store.commit([commit(item(IDS.commit_id(), lane=lane)) for lane in lanes])
        await store.claim(claim(limit=1, lanes=["again"]))


async def test_hundreds_of_waiters_for_one_lane_are_all_woken(store: Store) -> None:
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await store.wait([watch(in_lane())], PATIENCE))

    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(wait)
        await settle()
        await write(store, item("a"))
    assert woken == [True] * 300


async def test_siblings_in_other_threads_share_the_records_and_no_connection(
    proxy: FaultProxy, namespace: str
) -> None:
    async with opened(proxy.url, namespace=namespace) as store:

        async def use(first: int) -> None:
            async with store.sibling() as sibling, anyio.create_task_group() as tasks:
                for number in range(first, first + 50):
                    tasks.start_soon(write, sibling, item(f"{number}"))

        def live(first: int) -> None:
            anyio.run(use, first)

        async with anyio.create_task_group() as tasks:
            for first in (100, 200, 300):
                tasks.start_soon(to_thread.run_sync, live, first)
            for number in range(50):
                tasks.start_soon(write, store, item(f"{number}"))
        assert await numbers_in(store, in_lane()) == [200]
        assert proxy.accepted == 4


async def test_who_waits_hears_of_what_a_sibling_wrote(store: Store) -> None:
    def wait() -> None:
        async def listen() -> None:
            async with store.sibling() as sibling:
                assert await sibling.wait([watch(in_lane("other"))], PATIENCE)

        anyio.run(listen)
        from_thread.run_sync(done.set)

    done = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, wait)
        number = 0
        while not done.is_set():
            number += 1
            await write(store, item(f"{number}", lane="other"))
