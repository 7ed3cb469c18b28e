"""The Redis store keeps the contract, on a real server; each test in a namespace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.registry import open_store
from cicd_core.testing import StoreConformance, StoreHarness, store_machine
from cicd_core.testing.samples import COLLECTIONS
from tests.redis.clusters import shared_cluster
from tests.redis.engines import oldest, shared_server
from tests.redis.stored_records import lose_the_body
from tests.redis.stores import cluster_url, set_clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from tests.redis.engines import Server


class RedisHarness(StoreHarness):
    """Stores on one server, whose clock no test can move."""

    def __init__(self, url: str, server_of: Callable[[str], Server]) -> None:
        """Take the URL, and which server holds a key."""
        self._url = f"{url}?durability=none"
        self._server_of = server_of
        self._namespaces: set[str] = set()

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        self._namespaces.add(namespace)
        return open_store(self._url, collections=collections, namespace=namespace)

    async def set_wall_clock(self, seconds: float) -> bool:
        for namespace in self._namespaces:
            set_clock(self._server_of(f"cicd:{{{namespace}}}:meta"), namespace, seconds)
        return True

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        name = f"cicd:{{{namespace}}}:r:{collection}:{key}"
        with self._server_of(name).client(decode=False) as client:
            lose_the_body(client, name)
        return True

    def work(self) -> int | None:
        """Return how many commands the servers have run, those in scripts among them."""
        servers = {self._server_of(f"cicd:{{{each}}}:meta") for each in self._namespaces}
        stats = [server.info("commandstats") for server in servers]
        return sum(int(each["calls"]) for commands in stats for each in commands.values())

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(
            self._url, collections=COLLECTIONS, namespace=namespace, log_retention=self.brief
        )


def shared_harness() -> RedisHarness:
    """The harness of every test and example in this process."""
    return harness_of(shared_server())


def harness_of(server: Server) -> RedisHarness:
    return RedisHarness(server.url, lambda _: server)


def oldest_server() -> Server:
    """Return the server of this process that runs the oldest engine that must do."""
    return shared_server(oldest())


class TestRedisStore(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return shared_harness()


@pytest.mark.thorough
class TestStoreOnTheOldestServer(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return harness_of(oldest_server())


@pytest.mark.cluster
class TestStoreOnACluster(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        cluster = shared_cluster()
        return RedisHarness(cluster_url(cluster.nodes), cluster.owner_of)


TestRedisInLockstep = store_machine(shared_harness).TestCase
