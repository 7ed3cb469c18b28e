"""Somebody brings the log up to date though nobody reads it: one process a minute, not all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from anyio import Event, fail_after

from cicd_core.errors import StoreUnavailable
from cicd_core.ids import IdSource
from cicd_core.store.registry import StoreURL
from cicd_core.testing.harness import checked
from cicd_core.testing.samples import event_of, item, plain, whole_log, write
from cicd_core_dynamodb import DynamoDBBackend, costs, log_leader
from cicd_core_dynamodb.location import locate
from cicd_core_dynamodb.log_leader import EVERY, LogLeader, Tender
from cicd_core_dynamodb.opening import new_calls
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.contract import Store
    from tests.dynamodb.faults import Faults
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio


class Time:
    """A time that passes when a test says so, in seconds."""

    now = 1000.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr(log_leader, "monotonic_seconds", lambda: passing.now)
    return passing


async def tell(store: Store, key: str) -> None:
    """Commit an event, and wait for what is done beside that."""
    await write(store, item(key), events=[event_of(key)])
    await tender_of(store).finished()


def tender_of(store: Store) -> Tender:
    backend = checked(store).backend
    assert isinstance(backend, DynamoDBBackend)
    return backend.tender


def looks(client: Faults) -> int:
    """How often the journal was looked into since this was asked last."""
    names = [name for name, _ in client.calls]
    client.calls.clear()
    return names.count("query")


async def test_who_writes_tends_the_log_about_once_a_minute(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await tell(store, "a")
        assert looks(client) == 0
        time.now += 2 * EVERY
        await tell(store, "b")
        assert looks(client) > 0
        for key in "cde":
            await tell(store, key)
        assert looks(client) == 0


async def test_a_commit_does_not_wait_for_the_log_to_be_tended(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        answered = Event()
        client.before("query", answered.wait)
        time.now += 2 * EVERY
        with fail_after(dynamodb.patience):
            for key in "abc":
                await write(store, item(key), events=[event_of(key)])
        answered.set()
        await tender_of(store).finished()
        assert looks(client) > 0


async def test_a_store_that_is_closed_ends_the_tending_of_its_log(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    begun, never = Event(), Event()

    async def begin() -> None:
        begun.set()
        await never.wait()

    async with faulty_client(dynamodb) as client:
        with fail_after(dynamodb.patience):
            async with dynamodb.open(namespace, client=client) as store:
                client.before("query", begin)
                time.now += 2 * EVERY
                await write(store, item("a"), events=[event_of("a")])
                await begun.wait()
    async with dynamodb.open(namespace) as other:
        assert [entry.key for entry in await whole_log(other)] == ["a"]


async def test_of_many_who_write_one_tends_the_log(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as first,
        faulty_client(dynamodb) as second,
        dynamodb.open(namespace, client=first) as store,
        dynamodb.open(namespace, client=second) as other,
    ):
        time.now += 2 * EVERY
        await tell(store, "a")
        await tell(other, "b")
        assert looks(first) > 0
        assert looks(second) == 0


@pytest.mark.thorough
async def test_of_two_who_ask_at_once_one_is_told_to(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as first,
        faulty_client(dynamodb) as second,
        dynamodb.open(namespace, client=first) as store,
        dynamodb.open(namespace, client=second) as other,
    ):
        await tell(store, "a")
        looks(first)
        time.now += 2 * EVERY

        async def meanwhile() -> None:
            await tell(other, "c")

        first.before("put_item", meanwhile, after=1)  # the first one is the journal's
        await tell(store, "b")
        assert looks(second) > 0
        assert looks(first) == 0


async def test_to_ask_whose_turn_it_is_costs_what_is_said(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    units: Counter[str] = Counter()

    def meter(operation: str, consumed: Mapping[str, Any]) -> None:
        units[operation] += consumed["CapacityUnits"]

    location = locate(StoreURL.parse(dynamodb.url), namespace=namespace, given={})
    async with faulty_client(dynamodb) as client, dynamodb.open(namespace):
        leader = LogLeader(new_calls(client, location, meter), IdSource(), namespace)
        assert not await leader.is_elected()
        assert units == Counter()
        time.now += 2 * EVERY
        assert await leader.is_elected()
        taken = costs.TURN_ASKED + costs.TURN_TAKEN
        assert (units["get_item"], units["put_item"]) == (taken.reads, taken.writes)
        time.now += 2 * EVERY
        assert not await leader.is_elected()
        assert units["get_item"] == 2 * costs.TURN_ASKED.reads
        assert units["put_item"] == costs.TURN_TAKEN.writes


async def test_who_tells_nothing_tends_nothing(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        time.now += 2 * EVERY
        await write(store, plain("a"))
        assert [name for name, _ in client.calls].count("get_item") == 1  # the settings


async def test_a_commit_that_was_applied_is_answered_though_the_log_cannot_be_tended(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await tell(store, "a")
        time.now += 2 * EVERY
        client.lose_request("query")
        await tell(store, "b")
        client.lose_request("query")
        with pytest.raises(StoreUnavailable):
            await store.counters("")
