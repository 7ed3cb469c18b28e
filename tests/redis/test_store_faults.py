"""What a network and a server may do to a call: it is answered, or unknown; never done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Committed, Renewal
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    event_of,
    in_lane,
    item,
    keys_in,
    numbers_in,
    plain,
    read,
    write,
)
from tests.patience import PATIENCE
from tests.redis.fault_proxy import open_proxy
from tests.redis.stores import (
    ONE,
    SOON,
    insist,
    number_of_events,
    one_commit,
    opened,
    opened_hasty,
    settle,
    sum_of_ones,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Record
    from tests.redis.engines import Engine, Server
    from tests.redis.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hasty(proxy: FaultProxy, store: Store, namespace: str) -> AsyncGenerator[Store, None]:
    """Another one on the same records, which gives a call up soon."""
    async with opened_hasty(proxy.url, namespace=namespace) as hasty:
        await insist(lambda: read(hasty, "first", "plain"))
        yield hasty


async def applied_once(store: Store, one: Commit) -> bool:
    """Whether a repetition is answered as the first time, and has left nothing twice."""
    first, second = await apply(store, one), await apply(store, one)
    assert isinstance(first, Committed)
    assert first == second
    version = (await read(store, "a")).version
    assert first.versions == {("items", "a"): version}
    return await sum_of_ones(store) == await number_of_events(store) == 1


# ------------------------------------------------------------------------------- one lost exchange


@pytest.mark.parametrize("keep", [0, 1, 7, 20])
async def test_a_commit_whose_answer_is_cut_was_applied_and_says_so_when_it_is_repeated(
    proxy: FaultProxy, store: Store, keep: int
) -> None:
    one = one_commit()
    fault = proxy.cut_answer("EVALSHA", keep=keep)
    with pytest.raises(StoreUnavailable, match="whether the call took effect is unknown"):
        await apply(store, one)
    assert fault.has_struck
    assert (await read(store, "a")).commit_id == one.commit_id
    assert await applied_once(store, one)


async def test_a_commit_whose_answer_is_swallowed_is_given_up_and_may_be_repeated(
    proxy: FaultProxy, store: Store, hasty: Store
) -> None:
    one = one_commit()
    fault = proxy.swallow_answers("EVALSHA")
    with pytest.raises(StoreUnavailable):
        await apply(hasty, one)
    assert fault.has_struck
    await insist(lambda: apply(hasty, one))
    assert await applied_once(store, one)


@pytest.mark.parametrize("keep", [0, 1, 30, 200])
async def test_a_commit_that_is_cut_on_its_way_did_nothing_and_may_be_repeated(
    proxy: FaultProxy, store: Store, keep: int
) -> None:
    one = one_commit()
    fault = proxy.cut_request("EVALSHA", keep=keep)
    with pytest.raises(StoreUnavailable, match="whether the call took effect is unknown"):
        await apply(store, one)
    assert fault.has_struck
    assert await keys_in(store, in_lane()) == []
    assert await applied_once(store, one)


async def test_a_claim_whose_answer_is_cut_is_answered_with_what_it_gave(
    proxy: FaultProxy, store: Store
) -> None:
    await write(store, item("a"), item("b"), item("c"))
    one = claim(2)
    proxy.cut_answer("EVALSHA", keep=9)
    with pytest.raises(StoreUnavailable):
        await store.claim(one)
    first, second = await store.claim(one), await store.claim(one)
    assert [record.key for record in first] == ["a", "b"]
    assert first == second
    assert all(record.lease and record.lease.claim_id == one.claim_id for record in first)
    assert await keys_in(store, in_lane()) == ["c"]


async def test_a_renewal_whose_answer_is_cut_may_be_repeated(
    proxy: FaultProxy, store: Store
) -> None:
    await write(store, item("a"))
    one = claim()
    (held,) = await store.claim(one)
    renewal = Renewal(collection="items", key="a", claim_id=one.claim_id, duration=60 * SECOND)
    await store.renew([renewal])
    proxy.cut_answer("EVALSHA")
    with pytest.raises(StoreUnavailable):
        await store.renew([renewal])
    (renewed,) = await store.renew([renewal])
    assert renewed is not None
    assert held.lease is not None
    assert (renewed.version, renewed.expires > held.lease.expires) == (held.version, True)


@pytest.mark.parametrize("skip", [0, 1, 2])
async def test_of_many_calls_under_way_none_is_lost_and_none_is_done_twice(
    proxy: FaultProxy, store: Store, skip: int
) -> None:
    commits = [one_commit(f"{number:03}") for number in range(200)]
    fault = proxy.cut_answer("EVALSHA", skip=skip, keep=3)
    failed: list[Commit] = []

    async def ask(one: Commit) -> None:
        try:
            assert isinstance(await apply(store, one), Committed)
        except StoreUnavailable:
            failed.append(one)

    async with anyio.create_task_group() as tasks:
        for one in commits:
            tasks.start_soon(ask, one)
    assert fault.has_struck
    assert failed
    for answer in await store.commit(failed):
        assert isinstance(answer, Committed)
    assert await numbers_in(store, in_lane()) == [200]
    assert await sum_of_ones(store) == await number_of_events(store) == 200


# ------------------------------------------------------------------------------------ late answers


async def test_an_answer_that_is_late_is_given_up_and_never_taken_for_that_of_another_call(
    proxy: FaultProxy, store: Store, hasty: Store
) -> None:
    one = one_commit()
    fault = proxy.hold_answers("EVALSHA")
    with pytest.raises(StoreUnavailable):
        await apply(hasty, one)
    fault.release()
    record = await insist(lambda: read(hasty, "first", "plain"))
    assert record.key == "first"
    assert await applied_once(store, one)


async def test_answers_that_are_slow_are_waited_for(proxy: FaultProxy, store: Store) -> None:
    proxy.delay(0.02)
    assert await applied_once(store, one_commit())


async def test_a_server_that_goes_on_answers_what_it_was_asked_before(
    start: Callable[..., Server],
) -> None:
    server = start()
    one = one_commit()
    async with opened(server.url, call_timeout=PATIENCE) as store:
        async with anyio.create_task_group() as tasks:
            server.pause()
            tasks.start_soon(apply, store, one)
            await settle()
            server.resume()
        assert await applied_once(store, one)


async def test_a_server_that_stands_still_is_unavailable_until_it_goes_on(
    start: Callable[..., Server], namespace: str
) -> None:
    server = start()
    one = one_commit()
    async with (
        opened(server.url, namespace=namespace, call_timeout=PATIENCE) as store,
        opened_hasty(server.url, namespace=namespace, connect_timeout=SOON) as hasty,
    ):
        server.pause()
        for _ in range(2):  # the first one was sent, for the second no connection comes
            with pytest.raises(StoreUnavailable):
                await apply(hasty, one)
        server.resume()
        await insist(lambda: apply(hasty, one))
        assert await applied_once(store, one)


# -------------------------------------------------------------------------------- lost connections


async def test_calls_ride_out_that_the_server_is_away_for_a_while(
    proxy: FaultProxy, namespace: str
) -> None:
    async with opened(proxy.url, namespace=namespace, call_timeout=PATIENCE) as store:
        await write(store, plain("first"))
        await proxy.refuse()
        await proxy.cut_all()
        await settle()
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, store, item(f"{number}"))
            await settle()
            await proxy.heal()
        assert await numbers_in(store, in_lane()) == [20]


async def test_a_server_that_stays_away_is_unavailable_and_nothing_was_written(
    proxy: FaultProxy, store: Store, hasty: Store
) -> None:
    await proxy.refuse()
    await proxy.cut_all()
    await settle()
    with pytest.raises(StoreUnavailable, match="nothing was written"):
        await apply(hasty, one_commit())
    await proxy.heal()
    assert await insist(lambda: keys_in(store, in_lane())) == []


async def test_a_server_that_is_killed_keeps_what_it_acknowledged_and_is_found_again(
    engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, appendonly=True, appendfsync="always")
    async with opened(server.url, durability="always", call_timeout=PATIENCE) as store:
        before = await write(store, item("before"), events=[event_of("before")], increments=[ONE])
        (held,) = await store.claim(claim())
        await to_thread.run_sync(server.kill)
        await settle()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, store, item("after"))
            await settle()
            await to_thread.run_sync(server.start)
        assert await read(store, "before") == held
        assert held.version == before["before"] + 1
        assert await sum_of_ones(store) == await number_of_events(store) == 1
        assert await keys_in(store, in_lane()) == ["after"]


async def test_a_call_under_way_is_unknown_when_the_server_is_killed(
    start: Callable[..., Server],
) -> None:
    server = start(appendonly=True, appendfsync="always")
    one = one_commit()
    async with opened(server.url, call_timeout=PATIENCE) as store:
        server.pause()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(StoreUnavailable, match="took effect is unknown"):
                    await apply(store, one)

            tasks.start_soon(ask)
            await settle()
            await to_thread.run_sync(server.kill)
        await to_thread.run_sync(server.start)
        assert await applied_once(store, one)


# ----------------------------------------------------------------------------- forgotten scripts


async def test_scripts_that_a_server_has_forgotten_are_sent_again(
    start: Callable[..., Server],
) -> None:
    server = start()
    async with open_proxy(server.port) as proxy, opened(proxy.url) as store:
        await write(store, item("a"), item("b"))
        await store.claim(claim())
        await read(store, "a")
        server.ask("SCRIPT", "FLUSH")
        proxy.requests.clear()
        commits = [one_commit(f"{number:02}") for number in range(10)]
        claims: list[Record] = []

        async def take() -> None:
            claims.extend(await store.claim(claim(lanes=["main"])))

        async with anyio.create_task_group() as tasks:
            for one in commits:
                tasks.start_soon(apply, store, one)
            for _ in range(3):
                tasks.start_soon(take)
                tasks.start_soon(read, store, "a")
        assert proxy.requests["EVAL"] == 3  # once for each script
        assert len({record.key for record in claims}) == 3
        assert await sum_of_ones(store) == await number_of_events(store) == 10


async def test_an_answer_that_is_cut_while_the_script_itself_is_sent_is_unknown_too(
    start: Callable[..., Server],
) -> None:
    server = start()
    one = one_commit()
    async with open_proxy(server.port) as proxy, opened(proxy.url) as store:
        fault = proxy.cut_answer("EVAL")
        with pytest.raises(StoreUnavailable):
            await apply(store, one)
        assert fault.has_struck
        assert await applied_once(store, one)
