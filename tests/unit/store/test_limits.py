"""What a store refuses when it is made; what its verbs refuse is in the conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.increments import Increment
from cicd_core.store.limits import Limits, check_key
from cicd_core.store.records import (
    MAX_KEY_BYTES,
    Claim,
    Collection,
    EventWrite,
    Index,
    Lease,
    Partition,
    Query,
    Renewal,
)
from cicd_core.testing.samples import COLLECTIONS as SAMPLES
from cicd_core.testing.samples import commit, item, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.records import Commit


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


def leased(**instants: Any) -> Commit:
    lease = evolve(Lease(claim_id="c-1", granted=1, renewed=1, expires=1, limit=3), **instants)
    return commit(evolve(item("a", attributes={}), lease=lease))


def claim(**fields: Any) -> Claim:
    index = SAMPLES[0].indexes[0]
    asked = Claim(
        claim_id="c-1",
        collection="items",
        index=index,
        partitions=("p",),
        limit=1,
        grant=b"",
        duration=1,
    )
    return evolve(asked, **fields)


def renewal(duration: Any) -> Renewal:
    return Renewal(collection="items", key="a", claim_id="c-1", duration=duration)


def query(limit: Any) -> Query:
    return Query(partition=Partition("items", SAMPLES[0].indexes[0], "p"), limit=limit)


def told(**numbers: Any) -> Commit:
    event = EventWrite(collection="items", key="a", version=1, ordinal=0, body=b"")
    return evolve(commit(item("a", attributes={})), events=(evolve(event, **numbers),))


#: Every integer of the contract's words, by the name that a refusal gives it.
INTEGERS: dict[str, Callable[[Limits, Any], None]] = {
    "expected": lambda limits, n: limits.check_commit(
        commit(evolve(item("a", attributes={}), expected=n))
    ),
    "expires_at": lambda limits, n: limits.check_commit(
        commit(evolve(item("a", attributes={}), expires_at=n))
    ),
    "lease_limit": lambda limits, n: limits.check_commit(
        commit(evolve(item("a", attributes={}), lease_limit=n))
    ),
    "lease.granted": lambda limits, n: limits.check_commit(leased(granted=n)),
    "lease.renewed": lambda limits, n: limits.check_commit(leased(renewed=n)),
    "lease.expires": lambda limits, n: limits.check_commit(leased(expires=n)),
    "lease.limit": lambda limits, n: limits.check_commit(leased(limit=n)),
    "events.version": lambda limits, n: limits.check_commit(told(version=n)),
    "events.ordinal": lambda limits, n: limits.check_commit(told(ordinal=n)),
    "amount": lambda limits, n: limits.check_commit(
        evolve(commit(item("a", attributes={})), increments=(Increment("c", n),))
    ),
    "limit": lambda limits, n: limits.check_claim(claim(limit=n)),
    "duration": lambda limits, n: limits.check_claim(claim(duration=n)),
    "lease_limit of a claim": lambda limits, n: limits.check_claim(claim(lease_limit=n)),
    "duration of a renewal": lambda limits, n: limits.check_renewals([renewal(n)]),
    "limit of a page": lambda limits, n: limits.check_query(query(n)),
    "limit of the log": lambda limits, n: limits.check_log_read(None, n),
}


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [2**70, -(2**70), 1.5, True, "1"])
def test_an_integer_that_no_store_can_keep_is_refused_by_its_name(name: str, value: Any) -> None:
    INTEGERS[name](Limits(SAMPLES), 1)
    with pytest.raises(InvalidInput, match="give a whole number") as refused:
        INTEGERS[name](Limits(SAMPLES), value)
    assert refused.value.field == name.split(" of ", maxsplit=1)[0]


def test_a_refusal_says_what_there_is_instead() -> None:
    with pytest.raises(InvalidInput, match=r"'items' use due, lane, made-at, rank, state, timer"):
        Limits(SAMPLES).check_commit(commit(item("a", attributes={"colour": "red"})))
    with pytest.raises(InvalidInput, match="items, plain, side-notes"):
        Limits(SAMPLES).collection("jobz")


@pytest.mark.parametrize(
    ("key", "rank"),
    [
        ("b", "ab"),  # what the key "ab" could have too
        ("b", "b"),
        ("b", "5.b"),
        ("b", "5:ab"),
        ("b", "a:x:b"),  # what the key "x:b" could have too
        ("b", "5:b:"),
        ("b", "5:"),
        ("a:b", "a:b"),
    ],
)
def test_a_sort_value_that_another_key_could_have_is_refused(key: str, rank: str) -> None:
    put = item(key, attributes={"lane": "main", "rank": rank})
    with pytest.raises(InvalidInput, match="first ':' must be the record's key") as refused:
        Limits(SAMPLES).check_commit(commit(put))
    assert refused.value.field == "attributes.rank"


@pytest.mark.parametrize(
    ("key", "rank"), [("b", ":b"), ("b", "5:b"), ("a:b", "5:a:b"), (":", "::"), ("b", "5\0\n:b")]
)
def test_a_sort_value_is_a_text_a_colon_and_the_key(key: str, rank: str) -> None:
    Limits(SAMPLES).check_commit(commit(item(key, attributes={"lane": "main", "rank": rank})))
