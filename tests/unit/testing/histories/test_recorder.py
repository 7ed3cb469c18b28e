"""A recording store answers as the store does, and writes down what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Committed, Conflict, Query, Renewal
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing import VirtualClock
from cicd_core.testing.histories import UNKNOWN, Get, Recorder
from cicd_core.testing.samples import (
    COLLECTIONS,
    ITEMS,
    SECOND,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    watch,
)

if TYPE_CHECKING:
    from cicd_core.store.records import Commit
    from cicd_core.testing.recording.store_calls import StoreOperation

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend(COLLECTIONS, clock=VirtualClock())


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_each_record_of_a_get_is_an_operation(
    store: MemoryBackend, recorder: Recorder
) -> None:
    await store.commit([commit(item("a"))])
    recording = recorder.wrap(store, "ann")
    found = await recording.get(ITEMS.name, ["a", "b", "a"])
    assert found == await store.get(ITEMS.name, ["a", "b"])
    one, other = recorder.history().operations
    assert (one.argument, one.result) == (Get(collection=ITEMS.name, key="a"), found["a"])
    assert (other.argument, other.result) == (Get(collection=ITEMS.name, key="b"), None)
    assert (one.client, one.number, other.number) == ("ann", 0, 1)
    assert one.invoked <= one.ends


async def test_each_commit_of_a_list_is_an_operation(
    store: MemoryBackend, recorder: Recorder
) -> None:
    commits = [commit(item("a")), commit(item("a"))]
    answers = await recorder.wrap(store, "ann").commit(commits)
    assert [type(answer) for answer in answers] == [Committed, Conflict]
    operations = recorder.history().operations
    assert [each.argument for each in operations] == commits
    assert [each.result for each in operations] == answers


async def test_a_claim_and_each_renewal_are_operations(
    store: MemoryBackend, recorder: Recorder
) -> None:
    recording = recorder.wrap(store, "ann")
    await store.commit([commit(item("a"))])
    records = await recording.claim(claim(claim_id="mine"))
    renewals = [
        Renewal(collection=ITEMS.name, key="a", claim_id=claim_id, duration=60 * SECOND)
        for claim_id in ("mine", "yours")
    ]
    answers = await recording.renew(renewals)
    claimed, *renewed = recorder.history().operations
    assert claimed.result == tuple(records)
    assert [each.argument for each in renewed] == renewals
    assert [each.result for each in renewed] == answers
    assert answers[1] is None


async def test_everything_else_is_passed_on(store: MemoryBackend, recorder: Recorder) -> None:
    recording = recorder.wrap(store, "ann")
    await store.commit([commit(item("a"), events=[event_of("a")])])
    query = Query(partition=in_lane(), limit=5)
    assert await recording.now() == await store.now()
    assert await recording.page(query) == await store.page(query)
    assert await recording.count([in_lane()]) == await store.count([in_lane()])
    assert await recording.counters("") == await store.counters("")
    assert await recording.read_log(None, 5) == await store.read_log(None, 5)
    assert await recording.wait([watch(in_lane())], 0)
    assert len(recorder.history()) == 0


async def test_a_sibling_records_for_the_same_client(
    store: MemoryBackend, recorder: Recorder
) -> None:
    recording = recorder.wrap(store, "ann")
    await recording.claim(claim())
    async with recording.sibling() as sibling:
        await sibling.claim(claim())
    assert [(each.client, each.number) for each in recorder.history().operations] == [
        ("ann", 0),
        ("ann", 1),
    ]


async def test_a_cancelled_write_has_an_unknown_outcome(
    store: MemoryBackend, recorder: Recorder
) -> None:
    recording = recorder.wrap(store, "ann")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await recording.commit([commit(item("a"))])
    (operation,) = recorder.history().operations
    assert operation.result is UNKNOWN
    assert operation.returned is None
    assert not operation.is_known


async def test_a_cancelled_read_is_nothing(store: MemoryBackend, recorder: Recorder) -> None:
    recording = recorder.wrap(store, "ann")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await recording.get(ITEMS.name, ["a"])
    assert len(recorder.history()) == 0


async def test_an_error_is_passed_on_and_its_outcome_is_unknown(
    store: MemoryBackend, recorder: Recorder
) -> None:
    with pytest.raises(InvalidInput):
        await recorder.wrap(RetryingStore(store), "ann").claim(claim(-1))
    (operation,) = recorder.history().operations
    assert operation.result is UNKNOWN


async def test_a_sink_is_told_of_writes_before_they_are_made(store: MemoryBackend) -> None:
    heard: list[StoreOperation] = []

    class Listening(MemoryBackend):
        async def commit(self, commits: object) -> list[Committed | Conflict]:
            assert [each.result for each in heard] == [UNKNOWN]
            return [Committed({})]

    recording = Recorder(heard.append).wrap(Listening(COLLECTIONS), "ann")
    one: Commit = commit(item("a"))
    await recording.commit([one])
    await recording.get(ITEMS.name, ["a"])
    assert [each.is_known for each in heard] == [False, True, True]
    assert heard[0].number == heard[1].number
    assert heard[0].argument is heard[1].argument is one
