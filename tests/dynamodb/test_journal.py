"""The journal loses nothing: whatever clocks do, however much there is, whoever reads it."""

from __future__ import annotations

import zlib
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.clock import wall_micros
from cicd_core.errors import StoreUnavailable
from cicd_core.increments import Increment
from cicd_core.store.records import MAX_RECORD_BYTES, Collection, EventWrite, Put
from cicd_core.testing.samples import (
    COLLECTIONS,
    commit,
    event_of,
    find,
    item,
    note,
    plain,
    whole_log,
    write,
)
from cicd_core_dynamodb import commits as commits_module
from cicd_core_dynamodb import elapsed, journal_reader, sequencer
from cicd_core_dynamodb.applied_commits import MANY
from cicd_core_dynamodb.entries import Entry, encode
from cicd_core_dynamodb.log_times import SETTLED, STALE
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.contract import Store
    from tests.dynamodb.faults import Faults
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

HALF_AN_HOUR = 30 * 60 * 1_000_000
#: What the name of one open entry takes: a moment, random digits, a point and a digit.
NAME_BYTES = 16 + 24 + 2


class Sleep:
    """What the machine's clocks have counted beside the time that really passes (µs)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def through(self, micros: int, clock: str) -> Callable[[], Any]:
        """Return what lets so much time pass at once, by one of the clocks."""
        real: Callable[[], int] = getattr(elapsed, clock)

        async def sleep() -> None:
            self._patch.setattr(elapsed, clock, lambda: real() + micros)

        return sleep


@pytest.mark.parametrize("clock", ["boot_micros", "wall_micros"])
async def test_a_machine_that_slept_while_it_journalled_sends_no_commit(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        client.repeat("put_item", Sleep(monkeypatch).through(HALF_AN_HOUR, clock))
        with pytest.raises(StoreUnavailable, match="too slow"):
            await store.commit([commit(item("a"), events=[event_of("a")])])
        assert await find(store, "a") is None
        monkeypatch.undo()
        await write(store, item("a"), events=[event_of("a", 1)])
        assert [entry.ordinal for entry in await whole_log(store)] == [1]


async def test_a_commit_whose_turn_comes_late_is_journalled_anew(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        version = (await write(store, item("a")))["a"]
        monkeypatch.setattr(commits_module, "DELAY", 0.0)
        client.calls.clear()
        one = commit(item("a", expected=version), events=[event_of("a", 1)])
        two = commit(item("a", expected=version + 1), events=[event_of("a", 2)])
        await store.commit([one, two])
        assert [name for name, _ in client.calls].count("put_item") == 1 + 2
        assert [entry.ordinal for entry in await whole_log(store)] == [1, 2]


async def test_more_than_one_look_holds_is_read_on_within_a_moment(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reader, "_LOOK_BYTES", 1)
    random = Random(1)
    commits = [
        commit(item(f"{number}"), events=[event_of(f"{number}", body=random.randbytes(60_000))])
        for number in range(50)  # of one call, so of one moment: some pages in each shard
    ]
    async with dynamodb.open(namespace) as store, dynamodb.open(namespace) as late:
        await store.commit(commits)
        await write(store, item("last"), events=[event_of("last")])
        keys = [entry.key for entry in await whole_log(late)]
    assert sorted(keys) == sorted([*(f"{number}" for number in range(50)), "last"])


async def test_a_record_that_tells_several_shards_for_ever_keeps_few_proofs(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    others = ["a", next(f"b{n}" for n in range(99) if shard(f"b{n}") != shard("a"))]
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        version, most = 0, 0
        for number in range(2 * MANY):
            events = [event_of(key, number, version=number + 1) for key in others]
            put = item("a", expected=version)
            version = (await write(store, put, events=events))["a"]
            await store.read_log(None, 1)
            answer = await client.client.get_item(
                TableName="suite-items", Key={"K": {"S": f"{namespace}|a"}}
            )
            most = max(most, len(answer["Item"]["E"]["BS"]))
        assert len(await whole_log(store)) == 2 * len(others) * MANY
    assert 0 < most <= MANY + len(others)


def shard(key: str) -> int:
    return zlib.crc32(f"items|{key}".encode()) % 2


# --------------------------------------------------------------------------------- given up


async def given_up(client: Faults, namespace: str, number: int, *, ago: int) -> None:
    """Journal creations that were never sent; ``ago`` µs before now."""
    now = wall_micros()
    for at in range(number):
        entry = Entry(
            proof=bytes([0]) + at.to_bytes(8, "big"),
            part=0,
            anchor=("items", f"never-{at}"),
            expected=0,
            increments=(Increment("never"),),
        )
        await client.client.put_item(
            TableName="suite-journal",
            Item={
                "P": {"S": f"{namespace}|w|0"},
                "Q": {"S": f"{now - ago + at:016d}{at:024x}"},
                "D": {"B": encode([entry])},
            },
        )


async def log_items(client: Faults, namespace: str) -> list[dict[str, Any]]:
    answer = await client.client.query(
        TableName="suite-journal",
        KeyConditionExpression="P = :p AND Q > :q",
        ExpressionAttributeValues={":p": {"S": f"{namespace}|d|0"}, ":q": {"S": "-"}},
    )
    found: list[dict[str, Any]] = answer["Items"]
    return found


async def test_commits_that_were_given_up_by_the_hundred_do_not_fill_the_logs_items(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "OPEN_BYTES", 10 * NAME_BYTES)
    monkeypatch.setattr(sequencer, "_LEFTOVERS", 5)
    keys = [key for key in map(str, range(20)) if shard(key) == 0][:5]
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await given_up(client, namespace, 30, ago=5 * SETTLED)
        for key in keys:
            await write(store, item(key), events=[event_of(key)])
            assert (await whole_log(store))[-1].key == key
        items = await log_items(client, namespace)
        assert max(len(each["O"]["L"]) for each in items) == 10
        for _ in range(3):
            await store.read_log(None, 1)
        assert len(await log_items(client, namespace)) == len(items)
        async with dynamodb.open(namespace) as late:
            assert [entry.key for entry in await whole_log(late)] == keys
            assert dict((await late.counters("")).values) == {}


async def test_as_much_as_may_be_open_fits_beside_the_largest_event(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    body = Random(1).randbytes(MAX_RECORD_BYTES)
    key = next(f"{'k' * 1000}{n}" for n in range(10, 99) if shard(f"{'k' * 1000}{n}") == 0)
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await given_up(client, namespace, 300, ago=5 * SETTLED)
        assert await whole_log(store) == []
        assert [len(each["O"]["L"]) for each in await log_items(client, namespace)] == [250]
        await write(store, item(key), events=[event_of(key, body=body)])
        assert [entry.body for entry in await whole_log(store)] == [body]


async def test_what_is_open_is_read_once_by_a_process(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_LEFTOVERS", 5)
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await given_up(client, namespace, 8, ago=5 * SETTLED)
        await store.read_log(None, 1)
        assert [len(each["O"]["L"]) for each in await log_items(client, namespace)] == [8]
        await store.read_log(None, 1)
        client.calls.clear()
        await store.read_log(None, 1)
        assert "get_item" not in [name for name, _ in client.calls]


async def test_what_cannot_be_applied_any_more_is_not_open(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_LEFTOVERS", 5)
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await given_up(client, namespace, 8, ago=2 * STALE)
        await store.read_log(None, 1)
        assert [len(each["O"]["L"]) for each in await log_items(client, namespace)] == [0]


# --------------------------------------------------------------------- whoever reads, however large


async def test_what_a_collection_tells_that_a_reader_does_not_know_is_read_by_it_too(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    more = Collection(name="more", indexes=())
    put = Put(collection="more", key="x", expected=0, body=b"", attributes={})
    event = EventWrite(collection="more", key="x", version=None, ordinal=0, body=b"")
    async with (
        dynamodb.open(namespace, (*COLLECTIONS, more)) as store,
        dynamodb.open(namespace) as other,
    ):
        await store.commit([commit(put, events=[event])])
        assert [entry.collection for entry in await whole_log(other)] == ["more"]


def test_an_entry_is_taken_to_be_as_large_as_it_is() -> None:
    random = Random(1)
    name = random.randbytes(400).hex()
    entry = Entry(
        proof=bytes(9),
        part=0,
        anchor=("items", name),
        expected=10**15,
        increments=tuple(Increment(f"{name}{n}", 10**15) for n in range(5)),
        ranks=((("items", name), 10**15), (("side-notes", name), 10**15)),
    )
    head = 4 + 2
    assert entry.size >= len(encode_plainly(entry)) - head


def encode_plainly(entry: Entry) -> bytes:
    packed = encode([entry])
    return zlib.decompress(packed[1:], wbits=-15) if packed[:1] == b"\1" else packed[1:]


async def test_many_counters_with_long_names_are_journalled_in_items_that_fit(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    random = Random(1)
    names = [random.randbytes(450).hex() for _ in range(5)]
    commits = [
        commit(plain(random.randbytes(450).hex()), increments=[Increment(name) for name in names])
        for _ in range(150)
    ]
    async with dynamodb.open(namespace) as store:
        await store.commit(commits)
        counted = (await store.counters("")).values
        assert dict(counted) == dict.fromkeys(names, 150)


async def told_of(store: Store, key: str) -> list[int]:
    return [entry.ordinal for entry in await whole_log(store) if entry.key == key]


async def test_a_note_beside_an_item_is_told_in_the_shard_of_each(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    event = EventWrite(collection="side-notes", key="b", version=None, ordinal=3, body=b"")
    async with dynamodb.open(namespace) as store:
        await write(store, item("a"), note("b"), events=[event_of("a"), event])
        assert (await told_of(store, "a"), await told_of(store, "b")) == ([0], [3])
