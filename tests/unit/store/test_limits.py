"""What a store refuses when it is made; what its verbs refuse is in the conformance suite."""

from __future__ import annotations

import pytest

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.store.collections import COLLECTIONS
from cicd_core.store.limits import Limits, check_key
from cicd_core.store.records import MAX_KEY_BYTES, Collection, Index
from cicd_core.testing.samples import COLLECTIONS as SAMPLES
from cicd_core.testing.samples import commit, item, plain


def collection(name: str = "things", *indexes: Index, lease_sort: str | None = None) -> Collection:
    return Collection(name=name, indexes=indexes, lease_sort=lease_sort)


def test_the_domains_collections_are_within_the_limits() -> None:
    assert Limits(COLLECTIONS).collections == COLLECTIONS


def test_a_collection_is_found_by_its_name() -> None:
    assert Limits(SAMPLES).collection("items") is SAMPLES[0]


@pytest.mark.parametrize(
    ("field", "collections"),
    [
        ("collections", [collection("twice"), collection("twice")]),
        ("collections", [collection("Upper")]),
        ("collections", [collection("dotted.name")]),
        ("collections", [collection("")]),
        ("collections", [collection("x" * 65)]),
        ("collections", [collection("things", Index("lane", "by rank"))]),
        ("collections", [collection("things", Index("a", "b"), Index("b", "c"))]),
        ("lease_sort", [collection("things", Index("a", "b"), lease_sort="a")]),
        ("lease_sort", [collection("things", lease_sort="due")]),
    ],
)
def test_collections_that_no_store_could_keep_are_refused(
    field: str, collections: list[Collection]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        Limits(collections)
    assert refused.value.field == field


def test_a_key_is_measured_in_bytes_of_utf8() -> None:
    assert check_key("key") == 3
    assert check_key("\N{SNOWMAN}") == 3
    with pytest.raises(TooLarge):
        check_key("\N{SNOWMAN}" * 342)


def test_a_key_leaves_room_for_the_sort_value_that_a_claim_makes_of_it() -> None:
    limits = Limits(SAMPLES)
    longest = "k" * (MAX_KEY_BYTES - 17)
    limits.check_commit(commit(item(longest, attributes={})))
    limits.check_commit(commit(plain("k" * MAX_KEY_BYTES)))
    with pytest.raises(TooLarge) as refused:
        limits.check_commit(commit(item(longest + "k", attributes={})))
    assert refused.value.limit == MAX_KEY_BYTES - 17


def test_a_refusal_says_what_there_is_instead() -> None:
    with pytest.raises(InvalidInput, match=r"'items' use due, lane, made-at, rank, state, timer"):
        Limits(SAMPLES).check_commit(commit(item("a", attributes={"colour": "red"})))
    with pytest.raises(InvalidInput, match="items, plain, side-notes"):
        Limits(SAMPLES).collection("jobz")
