"""How the suites open the store on an engine: one set of tables, each test in its namespace."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final

from anyio import sleep

from cicd_core.errors import StoreUnavailable
from cicd_core.store.registry import StoreURL
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing import StoreHarness
from cicd_core.testing.harness import PATIENT
from cicd_core.testing.samples import COLLECTIONS
from cicd_core_dynamodb import open_dynamodb
from tests.dynamodb.engines import proxied, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.testing.harness import Capability

#: Into how many shards a busy partition is split.
SHARDS: Final = 2


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
            f"&create_tables=true&shards={SHARDS}&log_shards=2&count_seconds=0&poll_seconds=0.1"
            "&timeout=30&connect_timeout=30"
        )

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS, **options: Any
    ) -> AbstractAsyncContextManager[Store]:
        # As `open_store` does, but for looking through all that is installed: each test opens one.
        url = StoreURL.parse(self.url)
        return open_dynamodb(url, collections=collections, namespace=namespace, **options)

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        session = import_module("aioboto3").Session()
        async with session.client(
            "dynamodb", region_name="us-east-1", endpoint_url=self.endpoint
        ) as client:
            await client.update_item(
                TableName=f"suite-{collection}",
                Key={"K": {"S": f"{namespace}|{key}"}},
                UpdateExpression="SET D = :newer",
                ExpressionAttributeValues={":newer": {"B": b"\2of a newer version"}},
            )
        return True

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return DynamoDBHarness.open(self, namespace, log_retention=self.brief)


class FaultyHarness(DynamoDBHarness):
    """Stores behind a faulty proxy, asked again as the services do."""

    patience = 240.0

    def __init__(self, engine: str, mix: str) -> None:
        super().__init__(engine)
        self.endpoint = proxied(engine, mix).endpoint

    @property
    def url(self) -> str:
        return super().url.replace("&timeout=30&connect_timeout=30", "&timeout=1")

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS, **options: Any
    ) -> AsyncGenerator[Store, None]:
        async with self.open_once(namespace, collections, **options) as store:
            yield RetryingStore(store, attempts=PATIENT)

    def open_once(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS, **options: Any
    ) -> AbstractAsyncContextManager[Store]:
        """Open a store that is asked once for everything, and may not answer."""
        return open_patiently(partial(super().open, namespace, collections, **options))

    @asynccontextmanager
    async def open_forgetful(self, namespace: str) -> AsyncGenerator[Store, None]:
        async with open_patiently(partial(super().open_forgetful, namespace)) as store:
            yield RetryingStore(store, attempts=PATIENT)

    async def settle(self) -> None:
        async with (
            import_module("aiohttp").ClientSession() as session,
            session.get(f"{self.endpoint}/settle") as answer,
        ):
            assert answer.status == 200


@asynccontextmanager
async def open_patiently(
    opening: Callable[[], AbstractAsyncContextManager[Store]],
) -> AsyncGenerator[Store, None]:
    """Open a store, though its endpoint fails now and then."""
    async with AsyncExitStack() as stack:
        for attempt in range(PATIENT - 1):
            try:
                store = await stack.enter_async_context(opening())
                break
            except StoreUnavailable:
                await sleep(0.002 * 2**attempt)
        else:
            store = await stack.enter_async_context(opening())
        yield store


@cache
def faulty_harness_of(engine: str, mix: str) -> FaultyHarness:
    """The harness of all tests in this process that run on an engine behind a faulty proxy."""
    return FaultyHarness(engine, mix)


@cache
def harness_of(engine: str) -> DynamoDBHarness:
    """The harness of all tests in this process that run on an engine."""
    return DynamoDBHarness(engine)
