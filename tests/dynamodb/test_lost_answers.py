"""What a store does when a request, or the answer to it, is lost: nothing twice, nothing half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.increments import Increment
from cicd_core.store.records import Committed, Conflict
from cicd_core.testing.samples import (
    SECOND,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    keys_in,
    note,
    numbers_in,
    read,
    remove,
    whole_log,
    write,
)
from tests.dynamodb.faults import Lost, faulty_client

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio


async def totals(store: Store) -> dict[str, int]:
    return dict((await store.counters("")).values)


async def test_a_commit_whose_answer_was_lost_is_recognised_and_told_once(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    one = commit(item("a"), events=[event_of("a")], increments=[Increment("n")])
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.lose_answer("update_item")
        with pytest.raises(StoreUnavailable) as failed:
            await store.commit([one])
        assert isinstance(failed.value.__cause__, Lost)
        (answer,) = await store.commit([one])
        assert isinstance(answer, Committed)
        assert answer.versions["items", "a"] == (await read(store, "a")).version
        assert len(await whole_log(store)) == 1
        assert await totals(store) == {"n": 1}


async def test_a_commit_of_several_writes_whose_answer_was_lost_is_recognised_and_told_once(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    one = commit(item("a"), note("b"), events=[event_of("a")], increments=[Increment("n")])
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.lose_answer("transact_write_items")
        with pytest.raises(StoreUnavailable):
            await store.commit([one])
        first = await store.commit([one])
        assert first == await store.commit([one])
        assert len(await whole_log(store)) == 1
        assert await totals(store) == {"n": 1}


@pytest.mark.thorough
@pytest.mark.parametrize("operation", ["put_item", "update_item"])
async def test_a_commit_that_was_never_sent_is_told_by_nobody(
    dynamodb: DynamoDBHarness, namespace: str, operation: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.lose_request(operation)
        with pytest.raises(StoreUnavailable):
            await store.commit([commit(item("a"), events=[event_of("a", body=b"lost")])])
        assert await find(store, "a") is None
        assert await whole_log(store) == []
        await write(store, item("a"), events=[event_of("a", body=b"kept")])
        assert [entry.body for entry in await whole_log(store)] == [b"kept"]


async def test_an_update_that_was_journalled_and_overtaken_is_told_by_nobody(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        version = (await write(store, item("a"), events=[event_of("a", body=b"1")]))["a"]
        late = commit(item("a", expected=version), events=[event_of("a", body=b"late")])
        client.lose_request("update_item")
        with pytest.raises(StoreUnavailable):
            await store.commit([late])
        await write(store, item("a", expected=version), events=[event_of("a", body=b"2")])
        assert isinstance((await store.commit([late]))[0], Conflict)
        assert [entry.body for entry in await whole_log(store)] == [b"1", b"2"]


async def test_a_journal_item_whose_answer_was_lost_is_told_once(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    one = commit(item("a"), events=[event_of("a")])
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.lose_answer("put_item")
        with pytest.raises(StoreUnavailable):
            await store.commit([one])
        assert isinstance((await store.commit([one]))[0], Committed)
        assert len(await whole_log(store)) == 1


async def test_a_step_of_the_log_whose_answer_was_lost_is_taken_once(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await write(store, item("a"), events=[event_of("a")], increments=[Increment("n")])
        client.lose_answer("put_item")
        with pytest.raises(StoreUnavailable):
            await store.read_log(None, 10)
        assert len(await whole_log(store)) == 1
        assert await totals(store) == {"n": 1}


@pytest.mark.parametrize("lost", ["put_item", "update_item"])
async def test_a_claim_whose_answer_was_lost_takes_nothing_more_in_any_process(
    dynamodb: DynamoDBHarness, namespace: str, lost: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        await write(store, *(item(key, rank=key) for key in "12345"))
        mine = claim(2)
        client.lose_answer(lost)
        with pytest.raises(StoreUnavailable):
            await store.claim(mine)
        taken = await other.claim(mine)
        assert 1 <= len(taken) <= 2
        assert await store.claim(mine) == taken
        left = await other.claim(claim(9))
        assert {each.key for each in [*taken, *left]} == set("12345")
        assert len(taken) + len(left) == 5


async def test_a_claim_that_was_under_way_takes_nothing_that_became_ready_anew(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        there = (await write(other, item("a", rank="1")))["a"]
        client.lose_request("update_item")
        with pytest.raises(StoreUnavailable):
            await store.claim(claim())
        (under_way,) = [words for name, words in client.calls if name == "update_item"]
        await write(other, item("a", expected=there, rank="2"))
        with pytest.raises(client.client.exceptions.ConditionalCheckFailedException):
            await client.client.update_item(**under_way)
        assert (await read(store, "a")).lease is None
        assert [each.key for each in await other.claim(claim())] == ["a"]


@pytest.mark.thorough
async def test_a_claim_without_marks_is_recognised_by_the_process_that_made_it(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client, claim_marks=False) as store,
    ):
        await write(store, *(item(key, rank=key) for key in "12345"))
        mine = claim(1)
        client.lose_answer("update_item")
        with pytest.raises(StoreUnavailable):
            await store.claim(mine)
        (taken,) = await store.claim(mine)
        assert taken.lease is not None
        assert taken.lease.claim_id == mine.claim_id
        assert len(await store.claim(claim(9))) == 4


async def test_a_mark_of_records_that_others_took_lets_the_claim_go_on(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await write(store, item("1", rank="1"))
        mine = claim(1)
        client.lose_request("update_item")
        with pytest.raises(StoreUnavailable):
            await store.claim(mine)
        assert [each.key for each in await store.claim(claim(1))] == ["1"]
        await write(store, item("2", rank="2"))
        assert [each.key for each in await store.claim(mine)] == ["2"]
        assert [each.key for each in await store.claim(mine)] == ["2"]


@pytest.mark.parametrize("expected", [False, True])
async def test_a_commit_that_the_driver_sent_twice_is_known_whatever_others_did_in_between(
    dynamodb: DynamoDBHarness, namespace: str, expected: bool
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        before = (await write(other, item("a")))["a"] if expected else 0
        one = commit(
            item("a", expected=before), events=[event_of("a")], increments=[Increment("n")]
        )

        async def overtake() -> None:
            there = (await read(other, "a")).version
            await write(other, item("a", expected=there, body=b"another"))

        client.repeat("update_item", overtake)
        (answer,) = await store.commit([one])
        assert isinstance(answer, Committed)
        there = await read(store, "a")
        assert there.version == answer.versions["items", "a"] + 1
        assert there.body == b"another"
        assert len(await whole_log(store)) == 1
        assert await totals(store) == {"n": 1}


async def test_a_record_that_has_expired_when_it_is_put_is_put_once_though_it_is_sent_twice(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.repeat("update_item")
        (answer,) = await store.commit([commit(item("a", expires_at=1))])
        assert isinstance(answer, Committed)
        assert await find(store, "a") is None
        assert [name for name, _ in client.calls].count("update_item") == 1


async def test_a_creation_that_was_under_way_does_not_bring_a_deleted_record_back(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        there = (await write(other, item("a")))["a"]
        client.lose_request("update_item")
        with pytest.raises(StoreUnavailable):
            await store.commit([commit(item("a"))])
        (under_way,) = [words for name, words in client.calls if name == "update_item"]
        await remove(other, "a", there)
        with pytest.raises(client.client.exceptions.ConditionalCheckFailedException):
            await client.client.update_item(**under_way)
        assert await find(store, "a") is None
        assert (await write(store, item("a")))["a"] > there


async def test_what_had_expired_long_ago_when_it_was_written_stays_until_its_log_is_written(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        now = (await store.now()).micros
        await write(store, item("a", expires_at=now - 30 * 86400 * SECOND), events=[event_of("a")])
        raw = await client.get_item(TableName="suite-items", Key={"K": {"S": f"{namespace}|a"}})
        assert int(raw["Item"]["T"]["N"]) > now / SECOND + 6 * 86400
        assert len(await whole_log(store)) == 1


async def test_what_a_retention_that_lags_has_not_dropped_is_absent_all_the_same(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        old = (await write(store, item("a", expires_at=1, rank="1")))["a"]
        await write(store, item("b", rank="2"))
        raw = await client.get_item(TableName="suite-items", Key={"K": {"S": f"{namespace}|a"}})
        assert "V" in raw["Item"]
        assert await find(store, "a") is None
        assert await keys_in(store, in_lane()) == ["b"]
        assert await numbers_in(store, in_lane()) == [1]
        assert [each.key for each in await store.claim(claim(5))] == ["b"]
        assert (await write(store, item("a", rank="3")))["a"] > old
