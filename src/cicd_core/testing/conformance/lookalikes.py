"""Texts that look alike are different, in every field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.store.records import Conflict, Increment, Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    numbers_in,
    plain,
    watch,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

#: Pairs that a collation, a padded column or a normal form treats as equal.
PAIRS = (
    ("case", "CASE"),
    ("pad", "pad "),
    ("nul", "nul\0"),
    ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ("stra\N{LATIN SMALL LETTER SHARP S}e", "strasse"),
    ("1", "1.0"),
)
BOTH_WAYS = pytest.mark.parametrize(
    ("one", "other"), [*PAIRS, *((other, one) for one, other in PAIRS)], ids=ascii
)


class LookalikePromises(Suite):
    """One text is stored, and the other one is requested."""

    @BOTH_WAYS
    async def test_a_partition_with_a_similar_value_is_empty(
        self, store: Store, harness: StoreHarness, one: str, other: str
    ) -> None:
        await write(store, item("a", lane=one))
        await harness.settle()
        assert await keys_in(store, in_lane(other)) == []
        assert await numbers_in(store, in_lane(other), in_lane(one)) == [0, 1]
        assert await store.claim(claim(9, lanes=[other])) == []
        assert not await store.wait([watch(in_lane(other))], 0)
        with anyio.fail_after(harness.patience):
            assert await store.wait([watch(in_lane(one))], 3600)
        assert [record.key for record in await store.claim(claim(9, lanes=[one]))] == ["a"]

    @BOTH_WAYS
    async def test_a_claim_with_a_similar_id_has_no_records_of_the_other(
        self, store: Store, harness: StoreHarness, one: str, other: str
    ) -> None:
        await write(store, item("a", rank="1"), item("b", rank="2"))
        await harness.settle()
        (first,) = await store.claim(claim(claim_id=one))
        assert await store.claim(claim(0, claim_id=other)) == []
        stolen = Renewal(collection="items", key=first.key, claim_id=other, duration=60 * SECOND)
        assert await store.renew([stolen]) == [None]
        (second,) = await store.claim(claim(claim_id=other))
        assert {first.key, second.key} == {"a", "b"}
        assert [record.key for record in await store.claim(claim(claim_id=one))] == [first.key]

    @BOTH_WAYS
    async def test_a_commit_with_a_similar_id_is_not_a_repetition(
        self, store: Store, one: str, other: str
    ) -> None:
        await write(store, item("a"), commit_id=one)
        answer = await apply(store, commit(item("a"), commit_id=other))
        assert answer == Conflict((("items", "a"),))

    @BOTH_WAYS
    async def test_counters_and_events_with_similar_names_are_different(
        self, store: Store, harness: StoreHarness, one: str, other: str
    ) -> None:
        increments = [Increment(one, 1), Increment(other, 2)]
        events = [event_of(key, version=7) for key in (one, other)]
        await write(store, plain("p"), events=events, increments=increments)
        await harness.settle()
        assert dict((await store.counters("")).values) == {one: 1, other: 2}
        assert sorted(entry.key for entry in await whole_log(store)) == sorted((one, other))
