"""An answer that too few replicas would still give after a failover is not given."""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from cicd_core.errors import StoreFull, StoreUnavailable
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    event_of,
    in_lane,
    item,
    keys_in,
    read,
    write,
)
from tests.patience import PATIENCE
from tests.redis.sentinels import open_replicated
from tests.redis.stores import (
    SOON,
    insist,
    number_of_events,
    one_commit,
    opened,
    refused,
    sum_of_ones,
)
from tests.redis.test_store_refusals import empty, fill
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server
    from tests.redis.sentinels import Replicated

pytestmark = pytest.mark.anyio


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
def replicated(engine: Engine) -> Iterator[Replicated]:
    """A server of each engine with a replica, both of this test's own."""
    with open_replicated(engine, appendonly=True) as servers:
        yield servers


@pytest.fixture
def server(replicated: Replicated) -> Server:
    """The one of them that takes writes."""
    return replicated.primary


@pytest.fixture
def words(namespace: str) -> dict[str, Any]:
    """How a store is opened that waits for a replica, but not for long."""
    return {"namespace": namespace, "durability": "replicated", "replica_timeout": SOON}


@contextmanager
def standing_still(replicated: Replicated) -> Generator[None, None, None]:
    """Let the replica be there, and confirm nothing."""
    (replica,) = replicated.replicas
    replica.pause()
    try:
        yield
    finally:
        replica.resume()


async def patiently(url: str, words: dict[str, Any], stack: AsyncExitStack) -> Store:
    """Open a store whose replica may need a moment."""
    return await insist(lambda: stack.enter_async_context(opened(url, **words)))


async def test_a_write_that_too_few_servers_confirm_is_unknown_however_often_it_is_repeated(
    replicated: Replicated, namespace: str, words: dict[str, Any]
) -> None:
    one = one_commit("new")
    url = replicated.primary.url
    async with AsyncExitStack() as stack:
        store = await patiently(url, words, stack)
        with standing_still(replicated):
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                    await apply(store, one)
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                await store.claim(claim())
    async with opened(url, namespace=namespace) as store:
        assert (await read(store, "new")).commit_id == one.commit_id
        assert await sum_of_ones(store) == await number_of_events(store) == 1


async def test_what_others_wrote_and_nobody_confirmed_is_not_told(
    replicated: Replicated, namespace: str, words: dict[str, Any]
) -> None:
    """Who acts on it, or reads on behind it, must not see it undone."""
    url = replicated.primary.url
    async with AsyncExitStack() as stack:
        store = await patiently(url, words, stack)
        with standing_still(replicated):
            async with opened(url, namespace=namespace) as unconfirmed:
                await apply(unconfirmed, one_commit("new"))
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                await read(store, "new")
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                await store.read_log(None, 10)
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                await store.counters("ones|")
        assert await insist(lambda: sum_of_ones(store)) == 1


async def test_a_store_whose_replicas_do_not_confirm_does_not_open(
    server: Server, replicated: Replicated, words: dict[str, Any]
) -> None:
    with standing_still(replicated):
        error = await refused(server.url, **words)
    assert isinstance(error, StoreUnavailable)
    assert "0 of 1 replicas confirmed it" in str(error)
    assert "check the replicas" in str(error)


async def test_a_server_without_replicas_is_refused_who_wants_some(
    start: Callable[..., Server], words: dict[str, Any]
) -> None:
    error = await refused(start(appendonly=True).url, **words)
    assert isinstance(error, StoreUnavailable)
    assert "0 of 1 replicas confirmed it" in str(error)


async def test_a_refusal_is_told_where_writes_are_confirmed_too(
    server: Server, replicated: Replicated, words: dict[str, Any]
) -> None:
    async with AsyncExitStack() as stack:
        store = await patiently(server.url, words, stack)
        await insist(lambda: apply(store, one_commit("old")))
        fill(server)
        for _ in range(2):
            with pytest.raises(StoreFull):
                await apply(store, one_commit("new"))
        # Nothing is told of a commit but what is true of it, and reading goes on.
        assert (await insist(lambda: read(store, "old"))).key == "old"
        assert await insist(lambda: sum_of_ones(store)) == 1
        empty(server)
        server.ask("SCRIPT", "FLUSH")
        with (
            standing_still(replicated),
            pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"),
        ):
            await apply(store, one_commit("new"))


async def test_a_server_that_fills_up_keeps_what_was_confirmed_and_nothing_that_it_refused(
    server: Server, words: dict[str, Any]
) -> None:
    words["replica_timeout"] = PATIENCE
    async with opened(server.url, **words) as store:
        used = int(server.info("memory")["used_memory"])
        server.ask("CONFIG", "SET", "maxmemory", used + 1_000_000)
        kept: list[str] = []
        with suppress(StoreFull):
            while True:
                key = f"{len(kept):04}"
                await write(store, item(key, body=b"x" * 20_000), events=[event_of(key)])
                kept.append(key)
        assert await keys_in(store, in_lane()) == kept
        assert await number_of_events(store) == len(kept)


async def test_a_write_whose_server_becomes_a_replica_before_it_is_confirmed_is_unknown(
    server: Server, replicated: Replicated, words: dict[str, Any]
) -> None:
    words["replica_timeout"] = PATIENCE
    one = one_commit("new")
    async with opened(server.url, **words) as store:
        with standing_still(replicated):
            async with anyio.create_task_group() as tasks:

                async def ask() -> None:
                    with pytest.raises(StoreUnavailable, match=r"is unknown|may undo"):
                        await apply(store, one)

                tasks.start_soon(ask)
                await to_thread.run_sync(until, lambda: has_blocked_clients(server))
                server.ask("REPLICAOF", "127.0.0.1", 1)
        server.ask("REPLICAOF", "NO", "ONE")


def has_blocked_clients(server: Server) -> bool:
    """Whether somebody waits for replicas."""
    return int(server.info("clients")["blocked_clients"]) > 0
