"""What a cancelled call leaves behind: a store that works, and no half of anything (I7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.store.records import Query, Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    claim,
    commit,
    in_lane,
    item,
    keys_in,
    note,
    numbers_in,
    read,
    told,
    watch,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

#: A call of each verb.
CALLS: dict[str, Callable[[Store], Coroutine[Any, Any, Any]]] = {
    "now": lambda store: store.now(),
    "get": lambda store: store.get("items", ["a"]),
    "commit": lambda store: store.commit([commit(item("new"), events=[told("new")])]),
    "claim": lambda store: store.claim(claim()),
    "renew": lambda store: store.renew(
        [Renewal(collection="items", key="a", claim_id="nobody", duration=SECOND)]
    ),
    "page": lambda store: store.page(Query(partition=in_lane(), limit=5)),
    "count": lambda store: store.count([in_lane()]),
    "counters": lambda store: store.counters(""),
    "read_log": lambda store: store.read_log(None, 5),
    "wait": lambda store: store.wait([watch(in_lane("empty"))], 60),
}


class CancellationPromises(Suite):
    """Cancelled at any moment, the store stays usable."""

    @pytest.mark.parametrize("verb", CALLS)
    async def test_a_store_is_usable_after_a_call_that_was_cancelled_before_it_began(
        self, store: Store, verb: str
    ) -> None:
        await write(store, item("a"))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await CALLS[verb](store)
        assert (await read(store, "a")).body == b"body of a"
        await write(store, item("b"))

    @pytest.mark.parametrize("turns", [0, 1, 3, 6])
    @pytest.mark.parametrize("verb", CALLS)
    async def test_a_store_is_usable_after_a_call_that_was_cancelled_under_way(
        self, store: Store, verb: str, turns: int
    ) -> None:
        await write(store, item("a"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(CALLS[verb], store))
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert (await read(store, "a")).body == b"body of a"
        await write(store, item("b"))

    @pytest.mark.parametrize("turns", range(8))
    async def test_no_half_of_a_commit_remains(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        async def pair(key: str) -> None:
            await store.commit([commit(item(key), note(key), events=[told(key)])])

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(pair, f"{number}")
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await write(store, item("last"), note("last"), events=[told("last")])
        await harness.settle()
        keys = [*map(str, range(10)), "last"]
        there = set(await store.get("items", keys))
        assert there == set(await store.get("side-notes", keys))
        assert there == {entry.key for entry in await whole_log(store)}
        assert sorted(there) == await keys_in(store, in_lane())
        assert await numbers_in(store, in_lane()) == [len(there)]
