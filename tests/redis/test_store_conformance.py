"""The Redis store keeps the contract, on a real server; each test in a namespace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.registry import open_store
from cicd_core.testing import StoreConformance, StoreHarness, store_machine
from cicd_core.testing.samples import COLLECTIONS
from tests.redis.engines import shared_server

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection


class RedisHarness(StoreHarness):
    """Stores on one server, whose clock no test can move."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}?durability=none"

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, collections=collections, namespace=namespace)

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(
            self._url, collections=COLLECTIONS, namespace=namespace, log_retention=self.brief
        )


def shared_harness() -> RedisHarness:
    """The harness of every test and example in this process."""
    return RedisHarness(shared_server().url)


class TestRedisStore(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return shared_harness()


TestRedisInLockstep = store_machine(shared_harness).TestCase
