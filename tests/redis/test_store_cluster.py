"""The store on a Cluster of six: its nodes take over from one another, and its slots move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
import redis.asyncio
from anyio import to_thread

from cicd_core.errors import StoreUnavailable, UnsupportedCapability
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
    write,
)
from tests.patience import PATIENCE
from tests.redis.clusters import open_cluster, seen_by
from tests.redis.stores import (
    SOON,
    cluster_url,
    insist,
    number_of_events,
    one_commit,
    opened,
    places,
    settle,
    sum_of_ones,
)
from tests.redis.test_store_fleets import PATIENT, Client, call_until_confirmed, works
from tests.redis.test_store_users import MINIMAL, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.redis.clusters import Cluster
    from tests.redis.engines import Engine, Server

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]


def key_of(namespace: str) -> str:
    """Return a key of a namespace, which tells its slot."""
    return f"cicd:{{{namespace}}}:meta"


def namespace_of(cluster: Cluster, owner: Server) -> str:
    """Return a new namespace whose slot a node has."""
    while cluster.owner_of(key_of(namespace := IDS.commit_id())) is not owner:
        pass
    return namespace


async def test_a_store_opens_by_any_node_of_a_cluster(cluster: Cluster) -> None:
    for node in cluster.nodes:
        async with opened(cluster_url([node])) as store:
            assert await works(store)


async def test_namespaces_share_the_primaries_of_a_cluster(cluster: Cluster) -> None:
    for owner in cluster.primaries:
        namespace = namespace_of(cluster, owner)
        async with opened(cluster_url(cluster.nodes), namespace=namespace) as store:
            assert await works(store)
        assert owner.ask("EXISTS", key_of(namespace)) == 1


async def test_a_sibling_of_a_store_on_a_cluster_lives_in_another_thread(cluster: Cluster) -> None:
    async with opened(cluster_url(cluster.nodes)) as store:

        async def use() -> None:
            async with store.sibling() as sibling:
                assert await works(sibling, "by the sibling")

        await to_thread.run_sync(anyio.run, use)
        assert await works(store)


async def test_a_client_of_a_cluster_lends_its_nodes_and_stays_its_owners(
    cluster: Cluster,
) -> None:
    host, port = cluster.addresses[0]
    client: Client = redis.asyncio.RedisCluster(host=host, port=port, decode_responses=True)
    async with client:
        await client.set("mine", "yes")
        for owner in cluster.primaries:
            namespace = namespace_of(cluster, owner)
            async with opened("redis+cluster://", client=client, namespace=namespace) as store:
                assert await works(store)
            assert owner.ask("EXISTS", key_of(namespace)) == 1
        assert await client.get("mine") == "yes"


async def test_a_client_of_a_cluster_lends_its_user() -> None:
    with open_cluster(replicas=0, requirepass="secret", masterauth="secret") as cluster:
        host, port = cluster.addresses[0]
        client: Client = redis.asyncio.RedisCluster(host=host, port=port, password="secret")
        async with client, opened("redis+cluster://", client=client) as store:
            assert await works(store)


async def test_one_node_alone_is_not_taken_for_the_cluster(cluster: Cluster) -> None:
    first, second, _ = cluster.primaries
    with pytest.raises(UnsupportedCapability, match=r"redis\+cluster://"):
        async with opened(first.url, namespace=namespace_of(cluster, second)):
            pass


#: What the store's user needs in a Cluster besides, to find its way.
IN_CLUSTER: Final = "+cluster|slots"


async def test_the_rights_for_a_cluster_are_enough_and_none_is_one_too_many() -> None:
    with open_cluster(replicas=0) as cluster:
        line = filled(MINIMAL, "secret", "a")
        url = f"redis+cluster://cicd:secret@{places(cluster.nodes)}"
        for node in cluster.nodes:
            node.ask(*line)
        with pytest.raises(StoreUnavailable, match=r"no permissions.*cluster\|slots"):
            async with opened(url, namespace="a", call_timeout=SOON):
                pass
        for node in cluster.nodes:
            node.ask(*line, IN_CLUSTER)
        async with opened(url, namespace="a") as store:
            assert await works(store)


@pytest.fixture
def own_cluster(engine: Engine) -> Iterator[Cluster]:
    """A Cluster that a test may harm."""
    with open_cluster(engine, appendonly=True) as cluster:
        yield cluster


async def test_calls_ride_out_that_a_node_of_a_cluster_is_killed(own_cluster: Cluster) -> None:
    namespace = IDS.commit_id()
    commits = [one_commit(f"{number:03}") for number in range(100)]
    words: dict[str, Any] = {**PATIENT, "durability": "replicated", "namespace": namespace}
    async with opened(cluster_url(own_cluster.nodes), **words) as store:
        for one in commits[:50]:
            await apply(store, one)
        (held,) = await store.claim(claim())
        first = own_cluster.owner_of(key_of(namespace))
        await to_thread.run_sync(first.kill)
        await settle()
        async with anyio.create_task_group() as tasks:
            for one in commits[50:]:
                tasks.start_soon(call_until_confirmed, store, one)
            await to_thread.run_sync(own_cluster.wait_for_another, key_of(namespace), first)
            await to_thread.run_sync(first.start)  # it is the replica that confirms
        assert (await read(store, "000")) == held
        assert await numbers_in(store, in_lane()) == [99]
        assert await sum_of_ones(store) == await number_of_events(store) == 100
        assert await works(store)


async def test_who_waits_wakes_when_another_node_takes_over_and_hears_again_after(
    own_cluster: Cluster,
) -> None:
    namespace = IDS.commit_id()
    async with opened(cluster_url(own_cluster.nodes), **PATIENT, namespace=namespace) as store:
        await write(store, plain("first"))
        ends: list[bool] = []

        async def wait() -> None:
            ends.append(await insist(lambda: store.wait([watch(in_lane())], PATIENCE)))

        for number in range(2):  # there, and back again
            await to_thread.run_sync(own_cluster.wait_ready)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await settle()
                await read(store, "first", "plain")
                await to_thread.run_sync(own_cluster.hand_over, key_of(namespace))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await settle()
                await call_until_confirmed(store, one_commit(f"{number}"))
            await store.claim(claim())
        assert ends == [True] * 4


async def test_a_slot_that_moves_key_by_key_takes_no_calls_until_it_has_moved_and_tears_no_commit(
    engine: Engine,
) -> None:
    with open_cluster(engine, replicas=0) as cluster:
        source, target, _ = cluster.primaries
        namespace = namespace_of(cluster, source)
        slot = source.ask("CLUSTER", "KEYSLOT", key_of(namespace))
        async with opened(cluster_url(cluster.nodes), namespace=namespace, **PATIENT) as store:
            versions = await write(store, item("a"), item("b"), events=[event_of("a")])
            begin_to_move(slot, source, target)
            move_keys(source, target, [key_of(namespace).replace("meta", "i:items:lane:rank:main")])
            both = commit(
                *(item(key, expected=versions[key], rank="9") for key in "ab"),
                events=[event_of("a")],
            )
            with pytest.raises(StoreUnavailable, match="namespace's slot is moving"):
                await apply(store, both)
            with pytest.raises(StoreUnavailable, match="namespace's slot is moving"):
                await read(store, "a")
            move_keys(source, target, source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000))
            end_move(slot, target, cluster)
            assert (await read(store, "a")).version == versions["a"]
            assert isinstance(await apply(store, both), Committed)
            assert await keys_in(store, in_lane()) == ["a", "b"]
            assert await number_of_events(store) == 2


def begin_to_move(slot: int, source: Server, target: Server) -> None:
    """Let a slot move from one node to another; both know of it."""
    names = {each.port: each.node_id for each in seen_by(source)}
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])


def move_keys(source: Server, target: Server, keys: Sequence[str]) -> None:
    source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


def end_move(slot: int, target: Server, cluster: Cluster) -> None:
    """Tell every node who has the slot now, the new owner first."""
    names = {each.port: each.node_id for each in seen_by(target)}
    for node in (target, *(each for each in cluster.nodes if each is not target)):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[target.port])
