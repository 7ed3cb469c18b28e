"""Workloads make clients that get in each other's way, again and again the same."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Claim, Commit, Committed, Conflict, Delete, Record
from cicd_core.testing import VirtualClock
from cicd_core.testing.histories import UNKNOWN, Get, Workload, record
from cicd_core.testing.samples import COLLECTIONS, in_lane, keys_in

if TYPE_CHECKING:
    from cicd_core.testing.histories import History


def history_of(seed: int, **plan: Any) -> History:
    async def run() -> History:
        store = MemoryBackend(COLLECTIONS, clock=VirtualClock())
        return (await record(store, Workload(seed=seed, **plan))).history

    return anyio.run(run)


def asked(history: History) -> list[Any]:
    return sorted(
        (each.client, each.number, each.kind, str(each.argument)) for each in history.operations
    )


def test_a_seed_gives_the_same_history_again() -> None:
    assert asked(history_of(7)) == asked(history_of(7))
    assert asked(history_of(7)) != asked(history_of(8))


def test_clients_overlap() -> None:
    ends = 0
    overlapping = 0
    for operation in history_of(1).operations:
        overlapping += operation.invoked <= ends
        ends = max(ends, operation.ends if operation.is_known else 0)
    assert overlapping > 20


def test_every_kind_of_answer_occurs() -> None:
    kinds: Counter[Any] = Counter()
    for seed in range(20):
        seen: set[str] = set()
        for operation in history_of(seed).operations:
            argument, result = operation.argument, operation.result
            kinds[operation.kind, type(result).__name__] += 1
            if isinstance(argument, Claim):
                kinds["claim again", argument.claim_id in seen] += 1
                kinds["claimed", result is UNKNOWN or bool(result)] += 1
                seen.add(argument.claim_id)
            if isinstance(argument, Commit):
                kinds["commit again", argument.commit_id in seen] += 1
                kinds["writes", len(argument.writes)] += 1
                kinds["deletes", any(isinstance(each, Delete) for each in argument.writes)] += 1
                seen.add(argument.commit_id)
    expected = [
        ("get", "Record"),
        ("get", "NoneType"),
        ("commit", "Committed"),
        ("commit", "Conflict"),
        ("commit", "Unknown"),
        ("claim", "Unknown"),
        ("renewal", "Renewed"),
        ("renewal", "NoneType"),
        ("claim again", True),
        ("claimed", True),
        ("claimed", False),
        ("commit again", True),
        ("writes", 2),
        ("deletes", True),
    ]
    assert [each for each in expected if kinds[each] < 5] == []


def test_at_the_end_the_queue_is_empty_and_everything_was_read() -> None:
    async def run() -> None:
        store = MemoryBackend(COLLECTIONS, clock=VirtualClock())
        history = (await record(store, Workload(seed=3))).history
        for lane in ("red", "blue"):
            assert await keys_in(store, in_lane(lane)) == []
        last = [each for each in history.operations if each.client == "last"]
        read = {each.argument.key for each in last if isinstance(each.argument, Get)}
        written = {
            write.key
            for each in history.operations
            if isinstance(each.argument, Commit) and isinstance(each.result, Committed)
            for write in each.argument.writes
        }
        assert written <= read

    anyio.run(run)


def test_without_hot_records_nobody_fights_over_one() -> None:
    history = history_of(5, hot_records=0)
    assert not [each for each in history.operations if "hot" in str(each.argument)]
    last = [each for each in history.operations if isinstance(each.argument, Get)]
    assert last
    assert {each.client for each in last} == {"last"}
    assert all(isinstance(each.result, Record | None) for each in last)


@pytest.mark.parametrize("share", [0, 0.5])
def test_calls_are_cancelled_as_often_as_is_asked(share: float) -> None:
    history = history_of(5, cancelled=share)
    unknown = sum(not each.is_known for each in history.operations)
    assert (unknown > 5) == (share > 0)
    assert any(isinstance(each.result, Conflict) for each in history.operations)
