"""The calls of a test are noted, however it opens its stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.registry import open_store
from cicd_core.testing import StoreHarness
from cicd_core.testing.samples import COLLECTIONS, item, write
from cicd_core.testing.tracing import Cost, TracedStore, added_up, traced, untraced

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection

pytestmark = pytest.mark.anyio


class Harness(StoreHarness):
    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store("memory://traced", collections=collections, namespace=namespace)

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        return self.open(namespace)


async def test_calls_are_noted_of_every_store_and_its_siblings() -> None:
    harness = Harness()
    with traced(harness) as trace:
        forgetful = harness.open_forgetful("n")
        async with harness.open("n") as one, forgetful as other, other.sibling() as sibling:
            await write(one, item("a"))
            await other.get("items", ["a"])
            await sibling.counters("")
    assert [(call.verb, call.is_over) for call in trace.calls] == [
        ("commit", True),
        ("get", True),
        ("counters", True),
    ]
    assert trace.calls[1].arguments == ("items", ["a"])
    assert {verb: cost.calls for verb, cost in trace.costs.items()} == {
        "commit": 1,
        "get": 1,
        "counters": 1,
    }


async def test_a_harness_is_left_as_it_was() -> None:
    harness = Harness()
    with traced(harness):
        pass
    assert vars(harness) == {}
    async with harness.open("n") as store:
        assert not isinstance(store, TracedStore)
        assert untraced(store) is store


async def test_traces_within_each_other_note_a_call_once_each() -> None:
    harness = Harness()
    with traced(harness) as outer, traced(harness) as inner:
        async with harness.open("n") as store:
            await store.now()
    assert [len(each.calls) for each in (outer, inner)] == [1, 0]
    assert vars(harness) == {}


async def test_an_error_is_noted_and_raised() -> None:
    harness = Harness()
    with traced(harness) as trace:
        async with harness.open("n") as store:
            with pytest.raises(InvalidInput):
                await store.read_log(None, -1)
    assert isinstance(trace.calls[0].error, InvalidInput)


def test_costs_are_added_up_by_verb() -> None:
    total = added_up([{"get": Cost(2, 3.0, 2.0)}, {"get": Cost(1, 1.0, 1.0), "now": Cost(1, 0, 0)}])
    assert total == {"get": Cost(3, 4.0, 2.0), "now": Cost(1, 0, 0)}
