"""A server that loads its data: calls wait for it, and nothing is judged before it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread

from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Committed
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    event_of,
    item,
    plain,
    read,
    write,
)
from tests.patience import PATIENCE
from tests.redis.stores import (
    ONE,
    insist,
    one_commit,
    opened,
    opened_hasty,
    sum_of_ones,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine, of this test's own."""
    return start(engine)


@pytest.fixture
async def store(server: Server, namespace: str) -> AsyncGenerator[Store, None]:
    """A store with a record in its lane, and an event."""
    async with opened(server.url, namespace=namespace, call_timeout=PATIENCE) as store:
        await write(store, item("held"), events=[event_of("held")], increments=[ONE])
        await store.claim(HELD)
        await write(store, item("ready"))
        yield store


HELD = claim()


async def test_calls_wait_for_a_server_that_loads_its_data(
    server: Server, store: Store, namespace: str
) -> None:
    server.ask("DEBUG", "POPULATE", 300)
    server.ask("SAVE")
    await to_thread.run_sync(server.kill)
    slowly: dict[str, Any] = {"wait": False, "key_load_delay": 2000}
    await to_thread.run_sync(
        lambda: server.start(loading_process_events_interval_bytes=1024, **slowly)
    )
    async with opened(server.url, namespace=namespace, call_timeout=PATIENCE) as another:
        assert (await read(another, "held")).lease is not None
        assert await sum_of_ones(another) == 1
    assert isinstance(await apply(store, one_commit("new")), Committed)


async def test_what_a_server_keeps_is_not_judged_before_it_has_loaded_its_data(
    engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, appendonly=True, appendfsync="always", aof_use_rdb_preamble=False)
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(5000):  # after each thousand it looks at its clients
            pipeline.set(f"key:{number}", "x")
        pipeline.execute()
    await to_thread.run_sync(server.kill)
    await to_thread.run_sync(lambda: server.start(wait=False, key_load_delay=50))
    words: dict[str, Any] = {"durability": "always", "call_timeout": PATIENCE}
    async with opened(server.url, **words) as store:
        assert await sum_of_ones(store) == 0


async def test_a_server_that_loads_for_too_long_is_unavailable(
    server: Server, store: Store, namespace: str
) -> None:
    await write(store, plain("kept"))
    server.ask("DEBUG", "POPULATE", 2000)
    server.ask("SAVE")
    async with opened_hasty(server.url, namespace=namespace) as hasty:
        await insist(lambda: read(hasty, "held"))
        await to_thread.run_sync(server.kill)
        slowly: dict[str, Any] = {"wait": False, "key_load_delay": 2000}
        await to_thread.run_sync(
            lambda: server.start(loading_process_events_interval_bytes=1024, **slowly)
        )
        for _ in range(2):  # one may be lost with the connection, one waits for another
            with pytest.raises(StoreUnavailable):
                await read(hasty, "held")
        server.ask("CONFIG", "SET", "key-load-delay", 0)
        assert (await insist(lambda: read(hasty, "kept", "plain"))).key == "kept"
