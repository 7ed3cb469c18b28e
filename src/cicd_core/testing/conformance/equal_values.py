"""Indexes and collections that share values, and claims by another index than the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import Renewal
from cicd_core.testing.conformance.suite import Suite, require
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import (
    BY_STATE,
    NOTES,
    ON_SHELF,
    SECOND,
    TIMERS,
    claim,
    event_of,
    in_lane,
    in_state,
    item,
    keys_in,
    note,
    numbers_in,
    on_shelf,
    read,
    whole_log,
    write,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Index, Put
    from cicd_core.testing.harness import StoreHarness


def put(key: str, *, rank: str, made: str, due: str, **partitions: str) -> Put:
    """Return a write of an item with a distinct sort value for each index."""
    sorts = {"rank": f"{rank}:{key}", "made-at": f"{made}:{key}", "due": f"{due}:{key}"}
    return item(key, attributes={**sorts, **partitions})


class SharedValuePromises(Suite):
    """The same value in two indexes, or in two collections, is two partitions."""

    @pytest.fixture
    async def shared(self, store: Store, harness: StoreHarness) -> None:
        """Two items and a note with the value "x", each in another index."""
        await write(
            store,
            put("a", rank="1", made="1", due="1", lane="x", state="y"),
            put("b", rank="1", made="1", due="1", lane="y", state="x"),
            put("c", rank="1", made="1", due="1", timer="x"),
            note("a", shelf="x"),
        )
        await harness.settle()

    async def test_a_page_shows_only_its_own_index(self, store: Store, shared: None) -> None:
        partitions = [in_lane("x"), in_state("x"), evolve(in_lane("x"), index=TIMERS)]
        assert [await keys_in(store, partition) for partition in partitions] == [
            ["a"],
            ["b"],
            ["c"],
        ]
        assert await keys_in(store, on_shelf("x")) == ["a"]

    async def test_a_count_counts_only_its_own_index(
        self, store: Store, harness: StoreHarness, shared: None
    ) -> None:
        more = put("d", rank="1", made="1", due="1", state="x", timer="x")
        await write(store, more, put("e", rank="1", made="1", due="1", state="x"))
        await harness.settle()
        timers = evolve(in_lane("x"), index=TIMERS)
        partitions = [in_lane("x"), in_state("x"), timers, on_shelf("x"), on_shelf("y")]
        assert await numbers_in(store, *partitions) == [1, 3, 2, 1, 0]

    async def test_a_claim_takes_only_from_its_own_index(self, store: Store, shared: None) -> None:
        assert [record.key for record in await store.claim(claim(9, lanes=["x"]))] == ["a"]
        assert (await read(store, "b")).lease is None
        assert (await read(store, "a", NOTES.name)).lease is None

    async def test_one_claim_id_in_two_collections_is_two_claims(
        self, store: Store, shared: None
    ) -> None:
        of_items = claim(claim_id="c", lanes=["x"])
        of_notes = evolve(of_items, collection=NOTES.name, index=ON_SHELF, patch={"shelf": None})
        (taken,) = await store.claim(of_items)
        (beside,) = await store.claim(of_notes)
        assert "place" in beside.attributes
        assert [await store.claim(one) for one in (of_items, of_notes)] == [[taken], [beside]]
        renewals = [
            Renewal(collection=name, key="a", claim_id="c", duration=seconds * SECOND)
            for name, seconds in (("items", 60), (NOTES.name, 70), ("items", 80))
        ]
        answers = [answer for answer in await store.renew(renewals) if answer is not None]
        assert [answer.version for answer in answers] == [
            taken.version,
            beside.version,
            taken.version,
        ]
        ends = [answer.expires for answer in answers]
        assert ends == sorted(set(ends))

    async def test_events_of_one_key_in_two_collections_are_different(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, note("a")))["a"]
        events = [event_of("a"), evolve(event_of("a", 1, version=version), collection=NOTES.name)]
        await write(store, item("a"), events=events)
        await harness.settle()
        subjects = {entry.ordinal: entry.collection for entry in await whole_log(store)}
        assert subjects == {0: "items", 1: NOTES.name}

    @pytest.mark.parametrize(("index", "order"), [(BY_STATE, "bca"), (TIMERS, "cab")])
    async def test_a_claim_by_another_index_takes_by_its_partitions_and_in_its_order(
        self, store: Store, harness: StoreHarness, index: Index, order: str
    ) -> None:
        require(harness, Capability.STRICT_ORDER)
        await write(
            store,
            put("a", rank="1", made="3", due="2", lane="main", state="s", timer="s"),
            put("b", rank="2", made="1", due="3", lane="main", state="s", timer="s"),
            put("c", rank="3", made="2", due="1", lane="main", state="s", timer="s"),
            put("d", rank="0", made="0", due="0", lane="s"),
        )
        patch = {"state": None, "timer": None}
        mine = evolve(claim(2, lanes=["s"], patch=patch), index=index)
        assert "".join(record.key for record in await store.claim(mine)) == order[:2]
        rest = evolve(mine, claim_id="rest", limit=9)
        assert [record.key for record in await store.claim(rest)] == [order[2]]

    async def test_a_repetition_is_in_the_order_of_the_claims_own_index(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(
            store,
            put("a", rank="1", made="3", due="1", state="s"),
            put("b", rank="2", made="1", due="1", state="s"),
            put("c", rank="3", made="2", due="1", state="s"),
        )
        await harness.settle()
        mine = evolve(claim(3, lanes=["s"], patch={"state": None}), index=BY_STATE)
        assert len(await store.claim(mine)) == 3
        assert [record.key for record in await store.claim(mine)] == ["b", "c", "a"]
