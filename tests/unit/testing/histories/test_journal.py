"""A history that is written is read again as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput
from cicd_core.store.records import (
    Claim,
    Commit,
    Committed,
    Conflict,
    Guard,
    Increment,
    Lease,
    Record,
    Renewal,
    Renewed,
)
from cicd_core.testing.histories import Get, History, load, save
from cicd_core.testing.recording.journal import Journal, from_line, to_line
from cicd_core.testing.samples import READY, claim, commit, event_of, item, plain
from tests.unit.testing.histories.writing import asked, did, sequential_recording

if TYPE_CHECKING:
    from pathlib import Path

LEASE = Lease(claim_id="c", granted=1, renewed=1, expires=2, limit=3)
RECORD = Record(key="k", version=1, commit_id="c", body=bytes(range(256)), lease=LEASE)
COMMIT = commit(
    item("a\0\N{SNOWMAN}", lease=LEASE, guard=Guard.LEASE_EXPIRED),
    plain("b", lease=None),
    events=[event_of("a", version=7, body=b"\xff")],
    increments=[Increment("group|x", -3)],
)
OPERATIONS = [
    did(Get(collection="items", key="k"), RECORD, 1, 2),
    did(Get(collection="items", key="k"), None, 1, 2),
    did(COMMIT, Committed({("items", "a"): 1, ("plain", "b"): 2}), 1, 2),
    did(COMMIT, Conflict((("items", "a"), ("plain", "b"))), 1, 2),
    did(claim(3, patch={"lane": None, "state": "held"}), (RECORD,), 1, 2),
    did(claim(3), (), 1, 2),
    did(Renewal(collection="i", key="k", claim_id="c", duration=1), None, 1, 2),
    asked(Renewal(collection="i", key="k", claim_id="c", duration=1), 5),
    did(
        Renewal(collection="i", key="k", claim_id="c", duration=1),
        Renewed(version=1, renewed=1, expires=2, limit=3),
        1,
        2,
    ),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.kind)
def test_an_operation_is_a_line(operation: Any) -> None:
    line = to_line(operation)
    assert line.count("\n") == 1
    assert from_line(line) == operation


def test_types_come_back_too() -> None:
    commit, claim = (
        from_line(to_line(OPERATIONS[2])),
        from_line(to_line(OPERATIONS[4])),
    )
    assert isinstance(commit.argument, Commit)
    assert isinstance(commit.argument.writes, tuple)
    assert isinstance(claim.argument, Claim)
    assert claim.argument.index == READY


def test_a_history_is_a_file(tmp_path: Path) -> None:
    history = sequential_recording(1, 60).history
    save(history, tmp_path / "history.jsonl")
    assert load([tmp_path / "history.jsonl"]) == history


def test_the_files_of_several_clients_are_one_history(tmp_path: Path) -> None:
    history = sequential_recording(1, 60).history
    one, other = tmp_path / "one", tmp_path / "other"
    save(History(history.operations[::2]), one)
    save(History(history.operations[1::2]), other)
    assert load([other, one]) == history


def test_a_journal_is_read_with_the_answers_that_came(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    answered, unanswered = OPERATIONS[2], OPERATIONS[7]
    with path.open("w", encoding="utf-8") as file:
        journal = Journal(file)
        journal(evolve(asked(COMMIT, 1), client=answered.client))
        journal(unanswered)
        journal(answered)
        # Each line is in the file at once.
        assert load([path]) == History([answered, unanswered])


def test_a_last_line_without_its_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text(to_line(OPERATIONS[0]) + to_line(OPERATIONS[2])[:-20], encoding="utf-8")
    assert load([path]) == History([OPERATIONS[0]])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"": "Get"}',
        '{"": "Nothing"}',
        '{"": "Index", "partition": "a", "sort": "b"}',
    ],
)
def test_a_line_that_is_no_operation_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="not a recorded operation"):
        load([path])
