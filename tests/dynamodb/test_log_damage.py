"""An item of the log that does not decode is named, and stops nothing that is told beside it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.increments import Increment
from cicd_core.store.records import Committed
from cicd_core.testing.samples import commit, event_of, item
from cicd_core_dynamodb import counters, log_leader
from cicd_core_dynamodb.log_leader import EVERY
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.store.contract import Store
    from tests.dynamodb.faults import Faults
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

#: By what it does: the attribute, and what stands there; None: it is gone.
Damage = tuple[str, dict[str, Any] | None]
OF_DATA: Final[dict[str, Damage]] = {
    "of a newer format": ("D", {"B": b"\2newer"}),
    "cut off": ("D", {"B": b"\1"}),
    "empty": ("D", {"B": b""}),
    "not JSON": ("D", {"B": b"\0\0\0\0\4oops"}),
    "a text": ("D", {"S": "text"}),
    "gone": ("D", None),
}
OF_LOG: Final[dict[str, Damage]] = {
    "no time": ("A", None),
    "a time that is a text": ("A", {"S": "now"}),
    "not how far": ("W", None),
    "how far is a text": ("W", {"S": "far"}),
    "nothing of what is open": ("O", None),
    "names that mean nothing": ("O", {"L": [{"S": "nothing"}]}),
    "not whether it is the first": ("F", None),
}
OF_RECORD: Final[dict[str, Damage]] = {
    "a version that is a text": ("V", {"S": "one"}),
    "proofs that are a text": ("E", {"S": "proof"}),
    "an expiry that is a text": ("X", {"S": "never"}),
    "a deletion that is a text": ("Z", {"S": "then"}),
}


def each_of(damages: dict[str, Damage]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("damage", list(damages.values()), ids=list(damages))


@pytest.fixture
async def client(dynamodb: DynamoDBHarness) -> AsyncGenerator[Faults, None]:
    async with faulty_client(dynamodb) as client:
        yield client


@pytest.fixture
async def store(
    dynamodb: DynamoDBHarness, namespace: str, client: Faults
) -> AsyncGenerator[Store, None]:
    async with dynamodb.open(namespace, client=client) as store:
        yield store


async def tell(store: Store, *keys: str) -> None:
    """Commit some records, each with an event and an increment."""
    for key in keys:
        one = commit(item(key), events=[event_of(key)], increments=[Increment("g|n", 1)])
        (answer,) = await store.commit([one])
        assert isinstance(answer, Committed)


async def items_of(client: Faults, namespace: str, kind: str) -> list[dict[str, Any]]:
    """Return the items of the journal of one kind, in the order of their places."""
    found: list[dict[str, Any]] = []
    async for page in client.client.get_paginator("scan").paginate(TableName="suite-journal"):
        found += [
            each for each in page["Items"] if each["P"]["S"].startswith(f"{namespace}|{kind}|")
        ]
    return sorted(found, key=lambda each: str(each["Q"]["S"]))


async def spoil(client: Faults, table: str, key: dict[str, Any], damage: Damage) -> None:
    name, value = damage
    words: dict[str, Any] = {"ExpressionAttributeNames": {"#a": name}}
    if value is None:
        words["UpdateExpression"] = "REMOVE #a"
    else:
        words["UpdateExpression"] = "SET #a = :v"
        words["ExpressionAttributeValues"] = {":v": value}
    await client.client.update_item(TableName=table, Key=key, **words)


async def spoil_journal(client: Faults, found: dict[str, Any], damage: Damage) -> None:
    await spoil(client, "suite-journal", {"P": found["P"], "Q": found["Q"]}, damage)


async def told_by(store: Store) -> list[str]:
    """Return of which records the log tells, page by page."""
    keys: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.read_log(cursor, 2)
        if not page.entries and page.cursor == cursor:
            return sorted(keys)
        keys += [each.key for each in page.entries]
        cursor = page.cursor


@pytest.mark.thorough
@each_of(OF_DATA)
async def test_an_item_of_the_journal_that_does_not_decode_stops_no_other_one(
    *,
    dynamodb: DynamoDBHarness,
    namespace: str,
    store: Store,
    client: Faults,
    damage: Damage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await tell(store, "a", "b", "c")
    before = {each["Q"]["S"] for each in await items_of(client, namespace, "w")}
    await tell(store, "bad")
    (bad,) = [
        each for each in await items_of(client, namespace, "w") if each["Q"]["S"] not in before
    ]
    await spoil_journal(client, bad, damage)
    await tell(store, "d")
    async with dynamodb.open(namespace) as late:
        for each in (store, late):
            assert await told_by(each) == ["a", "b", "c", "d"]
            assert dict((await each.counters("")).values) == {"g|n": 4}
    assert f"{bad['P']['S']} {bad['Q']['S']}" in caplog.text


@pytest.mark.thorough
@each_of(OF_DATA)
async def test_an_item_of_the_log_that_does_not_decode_is_told_as_a_gap(
    dynamodb: DynamoDBHarness, namespace: str, store: Store, client: Faults, damage: Damage
) -> None:
    await tell(store, "a")
    cursor = (await store.read_log(None, 10)).cursor
    await tell(store, "bad")
    await store.counters("none|")
    for bad in await items_of(client, namespace, "d"):
        if bad["Q"]["S"] != "-":
            await spoil_journal(client, bad, damage)
    await tell(store, "b", "c")
    page = await store.read_log(cursor, 10)
    assert page.truncated
    assert {each.key for each in page.entries} >= {"b", "c"}
    again = await store.read_log(page.cursor, 10)
    assert (again.entries, again.truncated) == ((), False)
    async with dynamodb.open(namespace) as late:
        # Nothing tells what the damaged items had: what the journal still has is told once more.
        assert {"b", "c"} <= set(await told_by(late))
        await tell(late, "d")
        assert (await told_by(late)).count("d") == 1
        assert (await told_by(store)).count("d") == 1


@pytest.mark.thorough
@each_of(OF_LOG)
async def test_an_item_of_the_log_that_tells_its_events_alone_is_read(
    dynamodb: DynamoDBHarness, namespace: str, store: Store, client: Faults, damage: Damage
) -> None:
    await tell(store, "a", "b", "c")
    await store.counters("none|")
    for bad in await items_of(client, namespace, "d"):
        if bad["Q"]["S"] != "-":
            await spoil_journal(client, bad, damage)
    await tell(store, "d")
    async with dynamodb.open(namespace) as late:
        for each in (store, late, store):
            assert await told_by(each) == ["a", "b", "c", "d"]
            assert dict((await each.counters("")).values) == {"g|n": 4}


@pytest.mark.thorough
@each_of(OF_RECORD)
async def test_a_record_that_does_not_decode_stops_no_log(
    dynamodb: DynamoDBHarness, namespace: str, store: Store, client: Faults, damage: Damage
) -> None:
    await tell(store, "a", "bad")
    await spoil(client, "suite-items", {"K": {"S": f"{namespace}|bad"}}, damage)
    await tell(store, "b", "c")
    async with dynamodb.open(namespace) as late:
        for each in (store, late):
            keys = await told_by(each)
            assert [key for key in keys if key != "bad"] == ["a", "b", "c"]
            assert len(keys) <= 4


async def test_a_group_of_counters_that_does_not_decode_is_named_and_stops_no_other_one(
    dynamodb: DynamoDBHarness,
    namespace: str,
    store: Store,
    client: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counters, "FOLD", 1)
    await tell(store, "a", "b")
    await store.counters("none|")
    (folded,) = [each for each in await items_of(client, namespace, "c") if each["Q"]["S"] == "gg"]
    await spoil_journal(client, folded, ("Y", {"M": {".|n": {"S": "two"}}}))
    other = commit(item("c"), increments=[Increment("other|n", 3)])
    (answer,) = await store.commit([other])
    assert isinstance(answer, Committed)
    for _ in range(2):
        assert dict((await store.counters("other|")).values) == {"other|n": 3}
        with pytest.raises(CorruptRecord) as caught:
            await store.counters("g|")
        assert caught.value.key == "gg"


async def test_a_turn_that_does_not_decode_is_taken(
    dynamodb: DynamoDBHarness,
    namespace: str,
    client: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await client.client.put_item(
        TableName="suite-journal",
        Item={"P": {"S": f"{namespace}|t|0"}, "Q": {"S": "-"}, "A": {"S": "lately"}},
    )
    minutes = count(0.0, 2 * EVERY)
    monkeypatch.setattr(log_leader, "monotonic_seconds", lambda: next(minutes))
    async with dynamodb.open(namespace, client=client) as store:
        await tell(store, "a")
        await vars(store)["tender"].finished()
    (turn,) = await items_of(client, namespace, "t")
    assert turn["A"]["N"]
