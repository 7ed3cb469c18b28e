"""A store that comes back to another server uses it only if that keeps what was asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import pytest
from anyio import to_thread

from cicd_core.errors import CicdError, SchemaTooNew, StoreUnavailable, UnsupportedCapability
from cicd_core.store.records import Committed
from cicd_core.testing.samples import IDS, apply, find, in_lane, item, plain, watch, write
from cicd_core_redis.handshake import SCHEMA
from tests.patience import PATIENCE
from tests.redis.stores import one_commit, opened
from tests.redis.test_store_users import MINIMAL, allow

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

#: Settings with which a server does less than `durability=everysec` asks for, and how it is told.
WEAKER: Final[list[tuple[dict[str, Any], str]]] = [
    ({"appendonly": False}, "no append-only file"),
    ({"appendfsync": "no"}, "appendfsync 'no'"),
    ({"maxmemory": 100_000_000, "maxmemory_policy": "allkeys-random"}, "maxmemory-policy"),
]


async def restart(server: Server, **options: Any) -> None:
    await to_thread.run_sync(server.kill)
    await to_thread.run_sync(lambda: server.start(**options))


async def first_answer(store: Store) -> object:
    """Return what a commit meets when the connection that was lost has been noticed."""
    while True:
        try:
            return await apply(store, one_commit(IDS.commit_id()))
        except StoreUnavailable:
            continue  # the connection ended under way
        except CicdError as refused:
            return refused


@pytest.mark.parametrize(("options", "says"), WEAKER)
async def test_a_server_that_keeps_less_after_a_restart_is_given_nothing(
    options: dict[str, Any], says: str, start: Callable[..., Server]
) -> None:
    server = start(appendonly=True)
    url, words = server.url, {"durability": "everysec", "call_timeout": PATIENCE}
    async with opened(url, **words) as store:
        await write(store, plain("before"))
        await restart(server, **options)
        for _ in range(2):
            refused = await first_answer(store)
            assert isinstance(refused, UnsupportedCapability)
            assert says in str(refused)
            with pytest.raises(UnsupportedCapability):
                await store.wait([watch(in_lane())], PATIENCE)
        assert server.ask("KEYS", "*:r:items:*") == []
        await restart(
            server, appendonly=True, appendfsync="everysec", maxmemory_policy="noeviction"
        )
        assert isinstance(await first_answer(store), Committed)


async def test_rights_that_went_are_noticed_by_the_next_connection(
    start: Callable[..., Server],
) -> None:
    server = start()
    async with opened(allow(server, MINIMAL, "a"), namespace=None) as store:
        await write(store, item("a"))
        server.ask("ACL", "SETUSER", "cicd", "-ssubscribe")
        server.ask("CLIENT", "KILL", "USER", "cicd")
        refused = await first_answer(store)
        assert isinstance(refused, UnsupportedCapability)
        assert "SSUBSCRIBE" in str(refused)
        server.ask("ACL", "SETUSER", "cicd", "+ssubscribe")
        assert isinstance(await first_answer(store), Committed)


async def test_a_namespace_of_a_newer_layout_is_left_alone_after_a_reconnect(
    start: Callable[..., Server], namespace: str
) -> None:
    server = start()
    async with opened(server.url, namespace=namespace) as store:
        await write(store, item("a"))
        key = f"cicd:{{{namespace}}}:meta"
        server.ask("HSET", key, "schema", SCHEMA + 1)
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert isinstance(await first_answer(store), SchemaTooNew)
        server.ask("HSET", key, "schema", SCHEMA)
        assert isinstance(await first_answer(store), Committed)


async def test_a_server_that_lost_its_data_is_marked_again_and_logged(
    start: Callable[..., Server], namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    async with opened(server.url, namespace=namespace, call_timeout=PATIENCE) as store:
        await write(store, item("a"))
        with caplog.at_level(logging.ERROR, "cicd_core_redis"):
            await restart(server)
            assert isinstance(await first_answer(store), Committed)
        assert "lost its data" in caplog.text
        assert await find(store, "a") is None
        assert server.ask("HGET", f"cicd:{{{namespace}}}:meta", "schema") == str(SCHEMA)


async def test_a_node_of_a_cluster_is_refused_as_a_single_server(
    start: Callable[..., Server],
) -> None:
    server = start(cluster_enabled=True)
    server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    with pytest.raises(UnsupportedCapability, match=r"redis\+cluster://127.0.0.1"):
        async with opened(server.url):
            pass
