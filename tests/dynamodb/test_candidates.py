"""Which records a claim tries: those that the index shows, though it lags or cannot answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.testing.samples import claim, commit, item, write
from cicd_core_dynamodb.claims import Claimer
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from cicd_core_dynamodb.rows import Row
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio


async def test_a_claim_takes_what_an_earlier_one_left_in_its_lane_beside_what_is_new(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with dynamodb.open(namespace) as store:
        await write(store, item("a", lane="red"), item("b", lane="blue"))
        first = await store.claim(claim(3, lanes=["red"], patch={"state": None}))
        assert [each.key for each in first] == ["a"]
        second = await store.claim(claim(3, lanes=["red", "blue"]))
        assert sorted(each.key for each in second) == ["a", "b"]


async def test_what_an_index_shows_too_long_does_not_hide_what_is_behind_it(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    keys = [f"{number:02}" for number in range(40)]
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await store.commit([commit(item(key, rank=key)) for key in keys])
        await client.freeze_index("suite-items", "lane-rank-index")
        taken = [[each.key for each in await store.claim(claim(10))] for _ in range(4)]
        assert taken == [keys[at : at + 10] for at in range(0, 40, 10)]


async def test_what_was_taken_here_and_given_back_elsewhere_is_taken_again(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with dynamodb.open(namespace) as store, dynamodb.open(namespace) as other:
        await write(store, item("a"))
        (held,) = await store.claim(claim())
        await write(other, item("a", expected=held.version, lease=None))
        assert [each.key for each in await store.claim(claim())] == ["a"]


async def test_a_shard_that_cannot_answer_does_not_keep_a_claim_from_the_others(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await store.commit([commit(item(f"{number:02}")) for number in range(30)])
        client.lose_request("query")
        assert len(await store.claim(claim(2))) == 2
        client.lose_request("query")
        with pytest.raises(StoreUnavailable):
            await store.claim(claim(30))
        assert len(await store.claim(claim(30))) == 28


async def test_a_record_that_moves_while_the_index_is_read_is_given_once(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dynamodb.open(namespace) as store:
        await write(store, *(item(key) for key in "abc"))
        rows = vars(Claimer)["_rows"]

        async def in_two_places(*arguments: Any, **options: Any) -> list[Row]:
            """Return each row twice, as a query for each of two lanes does with what moves."""
            return [row for row in await rows(*arguments, **options) for _ in range(2)]

        monkeypatch.setattr(Claimer, "_rows", in_two_places)
        taken = [[each.key for each in await store.claim(claim(2))] for _ in range(2)]
        assert taken == [["a", "b"], ["c"]]
