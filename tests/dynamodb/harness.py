"""How the suites open the store on an engine: one set of tables, each test in its namespace."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from cicd_core.store.registry import open_store
from cicd_core.testing import StoreHarness
from cicd_core.testing.samples import COLLECTIONS
from tests.dynamodb.engines import running

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.testing.harness import Capability


class DynamoDBHarness(StoreHarness):
    """Stores on one engine."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    brief = 0.2

    def __init__(self, engine: str) -> None:
        self.endpoint = running(engine).endpoint

    @property
    def url(self) -> str:
        """How another process opens the same store."""
        return (
            f"dynamodb://?prefix=suite-&region=us-east-1&endpoint={self.endpoint}"
            "&create_tables=true&shards=3&log_shards=2&count_seconds=0&poll_seconds=0.1&timeout=10"
        )

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS, **options: Any
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(self.url, collections=collections, namespace=namespace, **options)

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return open_store(
            self.url, collections=COLLECTIONS, namespace=namespace, log_retention=self.brief
        )


@cache
def harness_of(engine: str) -> DynamoDBHarness:
    """The harness of all tests in this process that run on an engine."""
    return DynamoDBHarness(engine)
