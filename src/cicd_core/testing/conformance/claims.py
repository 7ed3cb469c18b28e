"""Claims: they take the first records over some partitions, each for one owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import sort_key
from cicd_core.store.records import Index
from cicd_core.testing.conformance.pages import IN_ORDER
from cicd_core.testing.conformance.suite import Suite, require
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import (
    NOTES,
    ON_SHELF,
    SECOND,
    TIMERS,
    claim,
    in_lane,
    in_state,
    item,
    keys_in,
    note,
    read,
    write,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Record
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


def keys(records: list[Record]) -> list[str]:
    """Return the keys of some records, in their order."""
    return [record.key for record in records]


class ClaimPromises(Suite):
    """The records that a claim takes, and its writes."""

    @pytest.fixture
    async def queue(self, store: Store, harness: StoreHarness) -> None:
        """Six items in three lanes; their ranks are their keys, "1" to "6"."""
        lanes = {"1": "red", "2": "blue", "3": "red", "4": "green", "5": "blue", "6": "red"}
        order = ["4", "1", "6", "2", "5", "3"]  # not the order of their ranks
        await write(store, *(item(key, lane=lanes[key], rank=key) for key in order))
        await harness.settle()

    async def test_a_claim_takes_the_smallest_of_its_partition(
        self, store: Store, harness: StoreHarness, queue: None
    ) -> None:
        require(harness, Capability.STRICT_ORDER)
        assert keys(await store.claim(claim(2, lanes=["red"]))) == ["1", "3"]

    async def test_a_claim_takes_the_smallest_over_all_of_its_partitions(
        self, store: Store, harness: StoreHarness, queue: None
    ) -> None:
        require(harness, Capability.STRICT_ORDER)
        assert keys(await store.claim(claim(3, lanes=["blue", "green", "red"]))) == ["1", "2", "3"]
        assert keys(await store.claim(claim(9, lanes=["red", "green", "blue"]))) == ["4", "5", "6"]

    async def test_a_claim_takes_many_from_one_of_its_partitions(
        self, store: Store, harness: StoreHarness
    ) -> None:
        many = [f"{number:02}" for number in range(30)]
        for at in range(0, 30, 10):
            await write(store, *map(item, many[at : at + 10]))
        await write(store, item("x", lane="other"), item("y", lane="third"))
        await harness.settle()
        taken = await store.claim(claim(40, lanes=["other", "main", "third"]))
        assert sorted(keys(taken)) == [*many, "x", "y"]

    async def test_a_claim_takes_nothing_from_other_partitions(
        self, store: Store, queue: None
    ) -> None:
        assert sorted(keys(await store.claim(claim(9, lanes=["green", "blue"])))) == ["2", "4", "5"]
        assert sorted(await keys_in(store, in_lane("red"))) == ["1", "3", "6"]

    async def test_a_claim_takes_no_more_than_its_limit(
        self, store: Store, harness: StoreHarness, queue: None
    ) -> None:
        for left in (4, 2, 0):
            assert len(await store.claim(claim(2, lanes=["red", "blue", "green"]))) == 2
            await harness.settle()
            taken = await keys_in(store, in_state("held"))
            assert len(taken) == 6 - left

    async def test_a_claim_with_limit_0_takes_nothing(self, store: Store, queue: None) -> None:
        assert await store.claim(claim(0, lanes=["red"])) == []

    async def test_a_claim_of_nothing_answers_nothing(self, store: Store) -> None:
        assert await store.claim(claim(5, lanes=["empty"])) == []
        assert await store.claim(claim(5, lanes=[])) == []

    async def test_a_partition_named_twice_gives_each_record_once(
        self, store: Store, queue: None
    ) -> None:
        assert sorted(keys(await store.claim(claim(9, lanes=["red", "red"])))) == ["1", "3", "6"]

    async def test_a_claim_answers_the_records_as_they_are_now(
        self, store: Store, queue: None
    ) -> None:
        for record in await store.claim(claim(3, lanes=["red"])):
            assert record == await read(store, record.key)

    async def test_a_claim_writes_version_grant_lease_and_patch(
        self, store: Store, clock: StoreClock, queue: None
    ) -> None:
        before = await read(store, "4")
        earliest = await clock.earliest()
        mine = claim(lanes=["green"], grant=b"\0to me", duration=30 * SECOND)
        (record,) = await store.claim(mine)
        latest = await clock.latest()
        lease = record.lease
        assert lease is not None
        assert lease.claim_id == mine.claim_id
        assert earliest <= lease.granted <= latest
        assert lease.renewed == lease.granted
        assert lease.expires == lease.granted + 30 * SECOND
        assert record == evolve(
            before,
            version=before.version + 1,
            grant=b"\0to me",
            lease=lease,
            attributes={
                "rank": "4:4",
                "made-at": "0:4",
                "state": "held",
                "due": sort_key(lease.expires, "4"),
            },
        )

    async def test_a_claim_moves_a_record_into_the_partitions_of_its_patch(
        self, store: Store, harness: StoreHarness, queue: None
    ) -> None:
        patch = {"lane": None, "state": "held", "timer": "leased"}
        (record,) = await store.claim(claim(lanes=["green"], patch=patch))
        await harness.settle()
        timers = evolve(in_lane(), index=TIMERS, value="leased")
        assert await keys_in(store, in_lane("green")) == []
        assert await keys_in(store, in_state("held")) == [record.key]
        assert await keys_in(store, timers) == [record.key]

    async def test_a_claim_adds_no_attribute_without_a_lease_sort(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, note("n"))
        await harness.settle()
        of_notes = evolve(
            claim(lanes=["top"]), collection=NOTES.name, index=ON_SHELF, patch={"shelf": "desk"}
        )
        (record,) = await store.claim(of_notes)
        assert record.lease is not None
        assert record.attributes == {"shelf": "desk", "place": ":n"}

    async def test_a_claim_takes_a_record_in_the_index_even_with_a_lease(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (first,) = await store.claim(claim(patch={}))
        await harness.settle()
        (second,) = await store.claim(heir := claim(patch={}))
        assert second.version == first.version + 1
        assert second.lease is not None
        assert second.lease.claim_id == heir.claim_id

    async def test_a_released_record_is_claimed_again(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (first,) = await store.claim(claim())
        await write(store, item("a", expected=first.version, lease=None))
        await harness.settle()
        (second,) = await store.claim(claim())
        assert second.version == first.version + 2

    async def test_a_claim_over_a_lease_gives_the_record_a_new_lease(
        self, store: Store, clock: StoreClock, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (first,) = await store.claim(claim(patch={}, grant=b"1", lease_limit=50 * SECOND))
        assert first.lease is not None
        await harness.settle()
        later = await clock.now() + clock.brief
        await clock.reach(later)
        (second,) = await store.claim(claim(patch={}, grant=b"2", lease_limit=40 * SECOND))
        lease = second.lease
        assert lease is not None
        assert (second.grant, second.version) == (b"2", first.version + 1)
        assert lease.claim_id != first.lease.claim_id
        assert first.lease.granted < later <= lease.granted == lease.renewed
        assert lease.limit == lease.granted + 40 * SECOND

    async def test_a_claim_takes_in_the_order_of_code_points(
        self, store: Store, harness: StoreHarness
    ) -> None:
        require(harness, Capability.STRICT_ORDER)
        await write(store, *(item(key, rank="") for key in reversed(IN_ORDER)))
        await harness.settle()
        half = len(IN_ORDER) // 2
        mine = claim(half)
        taken = keys(await store.claim(mine)) + keys(await store.claim(claim(half)))
        assert taken == list(IN_ORDER[: 2 * half])
        assert keys(await store.claim(mine)) == taken[:half]

    @pytest.mark.parametrize(
        ("of_claim", "of_record", "limit"),
        [
            (None, None, None),
            (60, None, 60),
            (None, 50, 50),
            (60, 50, 50),
            (50, 60, 50),
            (5, 60, 5),  # earlier than the duration
            (None, 5, 5),
        ],
    )
    async def test_a_lease_ends_at_the_smaller_limit_at_the_latest(
        self,
        store: Store,
        harness: StoreHarness,
        of_claim: int | None,
        of_record: int | None,
        limit: int | None,
    ) -> None:
        await write(store, item("a", lease_limit=of_record and of_record * SECOND))
        await harness.settle()
        of_claim = of_claim and of_claim * SECOND
        (record,) = await store.claim(claim(duration=30 * SECOND, lease_limit=of_claim))
        lease = record.lease
        assert lease is not None
        hundred_years = 100 * 365 * 86400 * SECOND
        assert lease.expires == lease.granted + min(30, limit or 30) * SECOND
        if limit is None:
            assert lease.limit > lease.granted + hundred_years
        else:
            assert lease.limit == lease.granted + limit * SECOND

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("limit", {"limit": -1}),
            ("limit", {"limit": 1001}),
            ("duration", {"duration": 0}),
            ("lease_limit", {"lease_limit": 0}),
            ("index", {"index": Index("lane", "made-at")}),
            ("collection", {"collection": "jobz"}),
            ("patch", {"patch": {"rank": "1"}}),
            ("patch", {"patch": {"colour": "red"}}),
            ("patch.state", {"patch": {"state": ""}}),
            ("claim_id", {"claim_id": ""}),
            ("partitions", {"partitions": ("red", "")}),
        ],
        ids=str,
    )
    async def test_a_malformed_claim_is_refused(
        self, store: Store, field: str, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.claim(evolve(claim(), **wrong))
        assert refused.value.field == field


class ClaimRepetitionPromises(Suite):
    """A repeated claim returns its records that are still held."""

    @pytest.fixture
    async def mine(self, store: Store, harness: StoreHarness) -> Claim:
        """A claim that was answered with items "1" to "3" of "1" to "5"."""
        await write(store, *(item(key, rank=key) for key in "54321"))
        await harness.settle()
        mine = claim(3)
        assert sorted(keys(await store.claim(mine))) == ["1", "2", "3"]
        return mine

    async def test_a_repeated_claim_answers_the_same_and_takes_nothing(
        self, store: Store, harness: StoreHarness, mine: Claim
    ) -> None:
        before = await store.get("items", list("123"))
        again = await store.claim(mine)
        assert keys(again) == ["1", "2", "3"]
        assert {record.key: record for record in again} == before
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["4", "5"]

    async def test_a_repeated_claim_takes_nothing_even_if_it_asks_for_more(
        self, store: Store, mine: Claim
    ) -> None:
        assert keys(await store.claim(evolve(mine, limit=5))) == ["1", "2", "3"]

    @pytest.mark.parametrize("limit", [0, 1])
    async def test_a_repeated_claim_answers_all_held_records_with_any_limit(
        self, store: Store, mine: Claim, limit: int
    ) -> None:
        assert keys(await store.claim(evolve(mine, limit=limit))) == ["1", "2", "3"]

    async def test_a_repeated_claim_leaves_out_finished_records(
        self, store: Store, harness: StoreHarness, mine: Claim
    ) -> None:
        record = await read(store, "2")
        await write(store, item("2", expected=record.version, lane=None, lease=None))
        assert keys(await store.claim(mine)) == ["1", "3"]
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["4", "5"]

    async def test_a_repeated_claim_answers_a_record_that_its_holder_wrote(
        self, store: Store, mine: Claim
    ) -> None:
        record = await read(store, "2")
        await write(store, item("2", expected=record.version, lane=None, rank="2", body=b"begun"))
        assert [record.body for record in await store.claim(mine)][1] == b"begun"

    async def test_a_repeated_claim_answers_records_without_the_sort_attribute_first(
        self, store: Store, mine: Claim
    ) -> None:
        for key in "32":
            record = await read(store, key)
            attributes = {"state": "held", "made-at": record.attributes["made-at"]}
            await write(store, item(key, expected=record.version, attributes=attributes))
        assert keys(await store.claim(mine)) == ["2", "3", "1"]

    async def test_a_repeated_claim_leaves_out_records_of_another_claim(
        self, store: Store, harness: StoreHarness, mine: Claim
    ) -> None:
        record = await read(store, "2")
        await write(store, item("2", expected=record.version, rank="0", lease=None))
        await harness.settle()
        await store.claim(claim(9))
        assert keys(await store.claim(mine)) == ["1", "3"]

    async def test_a_repeated_claim_answers_an_expired_lease_that_no_claim_took(
        self, store: Store, clock: StoreClock, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), item("b"))
        await harness.settle()
        mine = claim(2, duration=clock.brief)
        for record in await store.claim(mine):
            assert record.lease is not None
            await clock.outlast(record.lease)
        assert sorted(keys(await store.claim(mine))) == ["a", "b"]

    async def test_similar_claim_ids_are_different_claims(self, store: Store, mine: Claim) -> None:
        other = evolve(mine, claim_id=mine.claim_id.upper() + "0", limit=9)
        assert sorted(keys(await store.claim(other))) == ["4", "5"]
