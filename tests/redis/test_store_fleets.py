"""The store on servers that take over from one another: sentinels and replicas."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
import redis.asyncio.sentinel
from anyio import to_thread

from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Committed
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    in_lane,
    item,
    keys_in,
    numbers_in,
    plain,
    read,
    watch,
    write,
)
from tests.patience import PATIENCE
from tests.redis.fault_proxy import open_proxy
from tests.redis.sentinels import SERVICE, open_replicated, open_sentinels
from tests.redis.stores import (
    SOON,
    insist,
    number_of_events,
    one_commit,
    opened,
    sentinel_url,
    settle,
    sum_of_ones,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit
    from tests.redis.engines import Engine
    from tests.redis.sentinels import Replicated, SentinelSet

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

#: redis-py types its clients for blocking and asynchronous callers at once.
Client = Any
#: For a store that rides out a failover.
PATIENT: Final = {"call_timeout": PATIENCE}


async def works(store: Store, key: str = "kept") -> bool:
    """Whether a store keeps a record, and wakes who waits for it."""
    lane = IDS.commit_id()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert await store.wait([watch(in_lane(lane))], PATIENCE)

        tasks.start_soon(wait)
        await settle()
        await write(store, item(key, lane=lane))
    return await keys_in(store, in_lane(lane)) == [key]


async def call_until_confirmed(store: Store, one: Commit) -> None:
    assert isinstance(await insist(lambda: apply(store, one)), Committed)


# ----------------------------------------------------------------------------------------- replicas


@pytest.fixture
def replicated(engine: Engine) -> Iterator[Replicated]:
    with open_replicated(engine, replicas=1, appendonly=True) as servers:
        yield servers


async def test_a_write_that_the_replica_has_is_acknowledged(replicated: Replicated) -> None:
    async with opened(replicated.primary.url, durability="replicated") as store:
        one = one_commit("a")
        assert isinstance(await apply(store, one), Committed)
        (held,) = await store.claim(claim())
        assert held.key == "a"
        (replica,) = replicated.replicas
        assert len(replica.ask("KEYS", "cicd:*:r:items:a")) == 1


async def test_a_write_that_the_replica_has_not_is_unknown_also_when_it_is_repeated_elsewhere(
    replicated: Replicated,
) -> None:
    namespace = IDS.commit_id()
    words: dict[str, Any] = {
        "namespace": namespace,
        "durability": "replicated",
        "replica_timeout": SOON,
    }
    one, two = one_commit("a"), claim()
    (replica,) = replicated.replicas
    async with open_proxy(replicated.primary.port) as proxy, AsyncExitStack() as stack:
        store, another = [
            await insist(lambda: stack.enter_async_context(opened(proxy.url, **words)))
            for _ in range(2)
        ]
        await insist(lambda: write(store, item("first")))
        replica.pause()
        fault = proxy.cut_answer("EVALSHA")
        with pytest.raises(StoreUnavailable):
            await apply(store, one)
        assert fault.has_struck
        for _ in range(2):  # over a connection that has written nothing
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed"):
                await apply(store, one)
        async with opened(proxy.url, namespace=namespace) as unconfirmed:
            await unconfirmed.claim(two)
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed"):
            await another.claim(two)
        replica.resume()
        assert isinstance(await insist(lambda: apply(store, one)), Committed)
        assert [record.key for record in await insist(lambda: store.claim(two))] == ["a"]
        assert await insist(lambda: sum_of_ones(store)) == 1
        assert await insist(lambda: number_of_events(store)) == 1


# ---------------------------------------------------------------------------------------- sentinels


@pytest.fixture
def sentinels(engine: Engine) -> Iterator[SentinelSet]:
    with open_sentinels(engine, replicas=2, appendonly=True) as servers:
        yield servers


async def test_the_primary_is_found_while_one_sentinel_is_dead_and_one_stands_still(
    sentinels: SentinelSet,
) -> None:
    dead, mute, _ = sentinels.sentinels
    async with opened(sentinel_url(sentinels.sentinels)) as store:
        assert await works(store)
    dead.kill()
    mute.pause()
    async with opened(sentinel_url(sentinels.sentinels), **PATIENT, connect_timeout=0.6) as store:
        assert await works(store)
    mute.resume()


async def test_a_client_of_sentinels_lends_them_and_stays_its_owners(
    sentinels: SentinelSet,
) -> None:
    made: Any = redis.asyncio.sentinel.Sentinel(sentinels.addresses)  # type: ignore[no-untyped-call] # as redis-py has it
    client: Client = made.master_for(SERVICE, db=3)
    async with client:
        await client.set("mine", "yes")
        namespace = IDS.commit_id()
        async with opened("redis+sentinel://", client=client, namespace=namespace) as store:
            assert await works(store)
        assert await client.exists(f"cicd:{{{namespace}}}:meta")
        assert await client.get("mine") == b"yes"
    await made.aclose()


async def test_a_sibling_of_a_store_on_sentinels_lives_in_another_thread(
    sentinels: SentinelSet,
) -> None:
    async with opened(sentinel_url(sentinels.sentinels)) as store:

        async def use() -> None:
            async with store.sibling() as sibling:
                assert await works(sibling, "by the sibling")

        await write(store, plain("first"))
        await to_thread.run_sync(anyio.run, use)
        assert await works(store)


async def test_calls_ride_out_that_another_server_takes_over(sentinels: SentinelSet) -> None:
    commits = [one_commit(f"{number:03}") for number in range(100)]
    first = sentinels.primary
    async with opened(
        sentinel_url(sentinels.sentinels), **PATIENT, durability="replicated"
    ) as store:
        for one in commits[:50]:
            await apply(store, one)
        (held,) = await store.claim(claim())
        await to_thread.run_sync(first.kill)
        await settle()
        async with anyio.create_task_group() as tasks:
            for one in commits[50:]:
                tasks.start_soon(call_until_confirmed, store, one)
        assert (await read(store, "000")) == held
        assert await numbers_in(store, in_lane()) == [99]
        assert await sum_of_ones(store) == await number_of_events(store) == 100
        assert await works(store)


async def test_a_primary_that_was_replaced_while_it_stood_still_is_left(
    sentinels: SentinelSet,
) -> None:
    first = sentinels.primary
    async with opened(sentinel_url(sentinels.sentinels), durability="replicated") as store:
        await write(store, plain("first"))
        first.pause()
        await to_thread.run_sync(sentinels.wait_for_another, first)
        assert isinstance(await insist(lambda: apply(store, one_commit("a"))), Committed)
        first.resume()
        assert await insist(lambda: works(store))
        assert await sum_of_ones(store) == 1
