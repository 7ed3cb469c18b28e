"""One order fits the versions of all records, the log and real time, or it does not."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from cicd_core.store.records import Committed, Conflict, Delete, LogEntry, Record
from cicd_core.testing.histories import Get, History
from cicd_core.testing.histories.serial import check_serial
from cicd_core.testing.samples import ITEMS, claim, commit, event_of, item
from tests.unit.testing.histories.writing import asked, did, sequential_recording, spread

A, B = (ITEMS.name, "a"), (ITEMS.name, "b")


def put(within: tuple[int, int], **versions: int) -> Any:
    writes = [item(key, expected=max(0, version - 1)) for key, version in versions.items()]
    events = [event_of(key) for key in versions]
    given = {(ITEMS.name, key): version for key, version in versions.items()}
    return did(commit(*writes, events=events), Committed(given), *within)


def saw(key: str, version: int, within: tuple[int, int], **fields: Any) -> Any:
    record = Record(key=key, version=version, commit_id="c", body=b"", **fields)
    return did(Get(collection=ITEMS.name, key=key), record, *within)


def entry(key: str, version: int) -> LogEntry:
    return LogEntry(collection=ITEMS.name, key=key, version=version, ordinal=0, body=b"")


def refuted(*operations: Any, log: list[LogEntry] | None = None) -> tuple[Any, ...] | None:
    found = check_serial(History(operations), log)
    return None if found is None else found.operations


def test_reads_of_a_commit_that_is_under_way_may_see_it_or_not() -> None:
    both = put((0, 50), a=2, b=2)
    before = [put((0, 1), a=1), put((0, 1), b=1)]
    assert refuted(*before, both, saw("a", 1, (10, 11)), saw("b", 2, (20, 21))) is None


def test_a_commit_is_never_seen_of_one_record_and_then_not_of_another() -> None:
    both = put((0, 50), a=2, b=2)
    before = [put((0, 1), a=1), put((0, 1), b=1)]
    new, old = saw("a", 2, (10, 11)), saw("b", 1, (20, 21))
    assert refuted(*before, both, new, old) == (old, both, new)


def test_two_commits_never_happen_in_two_orders() -> None:
    one, other = put((0, 50), a=1, b=2), put((0, 50), a=2, b=1)
    chain = refuted(one, other)
    assert chain is not None
    assert set(map(id, chain)) == {id(one), id(other)}


def test_versions_agree_with_real_time() -> None:
    late, early = put((20, 21), a=1), put((0, 1), a=2)
    assert refuted(early, late) == (late, early)
    assert refuted(put((0, 21), a=1), early) is None


def test_the_log_agrees_with_real_time() -> None:
    first, second = put((0, 1), a=1), put((20, 21), b=1)
    assert refuted(first, second, log=[entry("a", 1), entry("b", 1)]) is None
    assert refuted(first, second, log=[entry("b", 1), entry("a", 1)]) == (second, first)


def test_the_log_agrees_with_the_versions() -> None:
    first, second = put((0, 50), a=1), put((0, 50), a=2)
    assert refuted(first, second, log=[entry("a", 1), entry("x", 9), entry("a", 2)]) is None
    assert refuted(first, second, log=[entry("a", 2), entry("a", 1)]) is not None


def test_a_commit_is_one_moment_however_many_events_it_has() -> None:
    both, other = put((0, 50), a=1, b=1), put((0, 50), c=1)
    log = [entry("a", 1), entry("b", 1), entry("c", 1)]
    assert refuted(both, other, log=log) is None


def test_a_delete_comes_after_the_reads_of_what_it_deletes() -> None:
    delete = Delete(collection=ITEMS.name, key="a", expected=1)
    deleted = did(commit(item("b"), delete), Committed({B: 1}), 10, 11)
    assert refuted(put((0, 1), a=1), deleted, saw("a", 1, (5, 15))) is None
    late = saw("a", 1, (20, 21))
    assert refuted(put((0, 1), a=1), deleted, late) == (late, deleted)
    again = put((0, 9), a=7)
    assert refuted(put((0, 1), a=1), deleted, again) == (deleted, again)


def test_a_claim_is_taken_apart() -> None:
    before = [put((0, 1), a=1), put((0, 1), b=1)]
    records = tuple(
        Record(key=key, version=2, commit_id="c", body=b"", grant=b"g") for key in ("a", "b")
    )
    claimed = did(claim(2), records, 5, 50)
    assert refuted(*before, claimed, saw("a", 2, (10, 11)), saw("b", 1, (20, 21))) is None
    early = saw("a", 2, (2, 3))
    assert refuted(*before, claimed, early) == (claimed, early)


def test_a_claim_that_is_made_again_may_have_been_granted_to_the_call_that_was_lost() -> None:
    held = Record(key="a", version=2, commit_id="c", body=b"", grant=b"g")
    seen = saw("a", 2, (20, 21), grant=b"g")
    asked_first, again = asked(claim(claim_id="x"), 10), did(claim(claim_id="x"), (held,), 30, 31)
    assert refuted(put((0, 1), a=1), asked_first, seen, again) is None
    assert refuted(put((0, 1), a=1), seen, again) == (again, seen)
    late = asked(claim(claim_id="x"), 25)
    assert refuted(put((0, 1), a=1), seen, late, again) is not None


def test_a_commit_that_is_made_again_happened_in_one_of_its_calls() -> None:
    first = asked(put((0, 1), a=1).argument, 0)
    again = did(first.argument, Committed({A: 1}), 20, 21)
    seen = saw("a", 1, (10, 11))
    assert refuted(first, seen, again) is None
    assert refuted(seen, again) == (again, seen)
    assert refuted(first, seen) is None


def test_a_creation_may_happen_again_when_its_record_was_deleted() -> None:
    created = put((0, 1), a=1)
    delete = Delete(collection=ITEMS.name, key="a", expected=1)
    deleted = did(commit(item("b"), delete), Committed({B: 1}), 10, 11)
    again = did(created.argument, Committed({A: 2}), 20, 21)
    assert refuted(created, deleted, again, saw("a", 2, (30, 31))) is None
    early = saw("a", 2, (12, 13))
    assert refuted(created, deleted, early, again) == (again, early)


def test_a_call_that_was_refused_did_not_do_what_a_later_one_did() -> None:
    again = put((20, 21), a=1)
    refused = did(again.argument, Conflict((A,)), 0, 1)
    seen = saw("a", 1, (10, 11))
    assert refuted(refused, seen, again) == (again, seen)


def test_what_nobody_knows_to_have_written_has_an_order_too() -> None:
    new, old = saw("a", 2, (0, 1)), saw("a", 1, (10, 11))
    assert refuted(new, old) == (old, new)


@pytest.mark.parametrize("width", [4, 40, 200])
def test_what_one_order_explains_is_accepted(width: int) -> None:
    for seed in range(8):
        recording = sequential_recording(seed, 100)
        history = History(spread(recording.history.operations, Random(seed), width))
        assert check_serial(history, recording.log) is None


def test_a_log_whose_commits_changed_places_is_refuted() -> None:
    recording = sequential_recording(3, 100)
    history = History(spread(recording.history.operations, Random(3), 4))
    log = list(recording.log)
    log[2], log[9] = log[9], log[2]
    assert check_serial(history, log) is not None
