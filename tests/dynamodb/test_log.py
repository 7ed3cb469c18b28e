"""How the log comes about: whoever reads it writes it on, and all of them write the same one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from anyio import create_task_group

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import InvalidCursor, UnsupportedCapability
from cicd_core.increments import Increment
from cicd_core.testing.samples import event_of, item, plain, remove, whole_log, write
from cicd_core_dynamodb import counters, sequencer
from cicd_core_dynamodb.applied_commits import MANY
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import LogEntry
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

#: In microseconds.
HOUR = 3_600_000_000


async def test_many_who_read_at_once_write_one_log(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    logs: list[list[LogEntry]] = []

    async def read() -> None:
        async with dynamodb.open(namespace) as mine:
            await whole_log(mine)
            logs.append(await whole_log(mine))

    async with dynamodb.open(namespace) as store:
        for number in range(30):
            await write(store, item(f"k{number}"), events=[event_of(f"k{number}")])
        async with create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(read)
        assert all(log == logs[0] for log in logs)
        assert sorted(entry.key for entry in logs[0]) == sorted(f"k{n}" for n in range(30))


async def test_a_store_that_is_opened_anew_goes_on_where_the_log_ends(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(4):
        async with dynamodb.open(namespace) as store:
            await write(store, item(f"{turn}"), events=[event_of(f"{turn}")])
            page = await store.read_log(cursor, 100)
            seen += [entry.key for entry in page.entries]
            cursor = page.cursor
    assert seen == ["0", "1", "2", "3"]


async def test_a_record_that_is_written_for_ever_keeps_few_proofs(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        version, most = 0, 0
        for number in range(2 * MANY):
            put = item("a", expected=version)
            version = (await write(store, put, events=[event_of("a", number)]))["a"]
            await store.read_log(None, 1)
            most = max(most, await proofs(client, namespace))
        assert [entry.ordinal for entry in await whole_log(store)] == [*range(2 * MANY)]
        assert 0 < most <= MANY + 1


async def proofs(client: Any, namespace: str) -> int:
    answer = await client.client.get_item(
        TableName="suite-items", Key={"K": {"S": f"{namespace}|a"}}
    )
    return len(answer["Item"].get("E", {}).get("BS", []))


async def test_what_a_deleted_record_told_is_told_in_order_with_what_comes_after(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with dynamodb.open(namespace) as store:
        for turn in range(3):
            version = (await write(store, item("a"), events=[event_of("a", turn)]))["a"]
            await remove(store, "a", version)
        assert [entry.ordinal for entry in await whole_log(store)] == [0, 1, 2]


async def test_who_did_not_look_for_long_does_not_read_all_that_was_written_since(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        await store.counters("n")
        for number in range(8):
            put, increments = plain(f"{number}"), [Increment("n")]
            await write(other, put, increments=increments)
            await other.counters("n")
        later = monotonic_seconds() + 60
        monkeypatch.setattr(sequencer, "monotonic_seconds", lambda: later)
        client.calls.clear()
        await store.read_log(None, 1)
        forward = [words["ScanIndexForward"] for _, words in client.calls if is_of_log(words)]
        assert False in forward
        await write(store, plain("mine"), increments=[Increment("n")])
        assert dict((await store.counters("n")).values) == {"n": 9}


def is_of_log(words: dict[str, Any]) -> bool:
    return "ScanIndexForward" in words and "IndexName" not in words


async def test_counters_are_whole_when_they_were_folded(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "FOLD", 8)
    version, commits = 0, 2 * 8 + 6
    async with dynamodb.open(namespace) as store, dynamodb.open(namespace) as other:
        for number in range(commits):  # of one record, so that all of them are in one shard
            some = [Increment("g|a"), Increment(f"g{number % 2}|b", 2), Increment("none", -1)]
            put = plain("a", expected=version)
            version = (await write(store, put, increments=some))["a"]
            await (other if number % 2 else store).counters("g|")
        async with dynamodb.open(namespace) as late:
            expected = {"g|a": commits, "g0|b": commits, "g1|b": commits, "none": -commits}
            for each in (store, other, late):
                assert dict((await each.counters("")).values) == expected
                assert dict((await each.counters("g1|b")).values) == {"g1|b": commits}


async def test_many_who_count_at_once_count_the_same(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async def work(store: Store, name: str) -> None:
        for number in range(8):
            increments = [Increment("n"), Increment("m|x", number)]
            await write(store, plain(f"{name}-{number}"), increments=increments)
            await store.counters("n")

    async with dynamodb.open(namespace) as one, dynamodb.open(namespace) as other:
        async with create_task_group() as tasks:
            for name, store in (("a", one), ("b", other), ("c", one), ("d", other)):
                tasks.start_soon(partial(work, store, name))
        for store in (one, other):
            assert dict((await store.counters("")).values) == {"n": 32, "m|x": 4 * 28}


async def test_a_reader_that_loses_race_after_race_sums_all_that_was_applied(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_LATER", HOUR)  # all of it may have been there before the call
    monkeypatch.setattr(sequencer, "_LONGEST_PAUSE", 0.0)
    async with overtaken(dynamodb, namespace, races=25) as (reader, written):
        await written()
        assert dict((await reader.counters("n")).values) == {"n": 26}


async def test_a_reader_does_not_wait_for_what_came_after_its_call(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_LATER", -HOUR)  # none of it was there before the call
    async with overtaken(dynamodb, namespace, races=1000) as (reader, written):
        await written()
        await reader.counters("n")
        assert await written() < 10


@asynccontextmanager
async def overtaken(
    dynamodb: DynamoDBHarness, namespace: str, races: int
) -> AsyncGenerator[tuple[Store, Callable[[], Awaitable[int]]]]:
    """A store, before whose appends another one writes and appends; and how the other writes.

    That returns how often it did.
    """
    version = writes = 0  # of one record, so that all of its commits are in one shard

    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as reader,
        dynamodb.open(namespace) as other,
    ):

        async def written() -> int:
            nonlocal version, writes
            put = plain("a", expected=version)
            version = (await write(other, put, increments=[Increment("n")]))["a"]
            writes += 1
            return writes

        async def overtake() -> None:
            nonlocal races
            await other.read_log(None, 1)
            await written()
            races -= 1
            if races:
                client.before("put_item", overtake)

        client.before("put_item", overtake)
        yield reader, written


async def test_counters_that_others_fold_meanwhile_are_whole(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "FOLD", 1)
    version = writes = 0
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as reader,
        dynamodb.open(namespace) as other,
    ):

        async def fold() -> None:
            nonlocal version, writes
            put = plain("a", expected=version)
            version = (await write(other, put, increments=[Increment("n")]))["a"]
            writes += 1
            await other.counters("")
            client.before("get_item", fold)

        await reader.counters("")
        await fold()
        counted = await reader.counters("n")
        del client.first["get_item"]
        # All that was written before is counted; what came later, where its shard was read after.
        assert 1 <= dict(counted.values)["n"] <= writes
        assert writes > 1
        assert not (await reader.read_log(counted.cursor, 100)).truncated
        assert dict((await reader.counters("n")).values) == {"n": writes}


async def test_a_large_commit_is_told_whole(dynamodb: DynamoDBHarness, namespace: str) -> None:
    bodies = [bytes([number]) * 150_000 for number in range(6)]
    async with dynamodb.open(namespace) as store:
        events = [event_of("a", number, body=body) for number, body in enumerate(bodies)]
        await write(store, item("a"), events=events)
        assert [entry.body for entry in await whole_log(store)] == bodies


async def test_a_cursor_of_another_number_of_shards_is_refused(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with dynamodb.open(namespace) as store:
        for wrong in ("0.0", "0.0_0.0_0.0", "99999999999999999.0_0.0", "0.1_0.0"):
            with pytest.raises(InvalidCursor):
                await store.read_log(wrong, 10)


async def test_a_store_without_a_log_says_so(dynamodb: DynamoDBHarness, namespace: str) -> None:
    async with dynamodb.open(namespace, log=False) as store:
        await write(store, item("a"), events=[event_of("a")], increments=[Increment("n")])
        with pytest.raises(UnsupportedCapability, match="log=off"):
            await store.read_log(None, 1)
        with pytest.raises(UnsupportedCapability, match="log=off"):
            await store.counters("")
    async with dynamodb.open(namespace) as store:
        assert await whole_log(store) == []
