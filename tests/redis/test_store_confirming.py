"""An answer that too few replicas would still give after a failover is not given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import StoreFull, StoreUnavailable
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    read,
)
from tests.redis.stores import SOON, number_of_events, one_commit, opened, sum_of_ones
from tests.redis.test_store_refusals import empty, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine, of this test's own."""
    return start(engine)


async def test_a_write_that_too_few_servers_confirm_is_unknown_however_often_it_is_repeated(
    server: Server, namespace: str
) -> None:
    words: dict[str, Any] = {
        "namespace": namespace,
        "durability": "replicated",
        "replica_timeout": SOON,
    }
    one = one_commit("new")
    async with opened(server.url, **words) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
                await apply(store, one)
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
            await store.claim(claim())
        # What others wrote and nobody confirmed may be undone, too: who acts on it must not see it.
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
            await read(store, "new")
    async with opened(server.url, namespace=namespace) as store:
        assert (await read(store, "new")).commit_id == one.commit_id
        assert await sum_of_ones(store) == await number_of_events(store) == 1


async def test_a_refusal_is_told_where_writes_are_confirmed_too(
    server: Server, namespace: str
) -> None:
    async with opened(
        server.url, namespace=namespace, durability="replicated", replica_timeout=SOON
    ) as store:
        fill(server)
        for _ in range(2):
            with pytest.raises(StoreFull):
                await apply(store, one_commit("new"))
        empty(server)
        server.ask("SCRIPT", "FLUSH")
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed it"):
            await apply(store, one_commit("new"))
