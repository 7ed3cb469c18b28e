"""A history that is not explained is kept, and can be checked again."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.histories import History, assert_explained, check_history, load, save
from cicd_core.testing.histories.__main__ import main
from cicd_core.testing.histories.checking import MOST
from tests.unit.testing.histories.tampering import (
    a_get_misses_a_record,
    a_get_shows_what_was_overwritten,
)
from tests.unit.testing.histories.writing import sequential_recording, spread

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = sequential_recording(1, 80).history
WRONG = History(
    spread(a_get_misses_a_record(Random(1), list(RIGHT.operations)) or [], Random(1), 4)
)


def test_an_explained_history_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert_explained(RIGHT, path, check_history(RIGHT))
    assert not path.exists()


def test_one_that_is_not_explained_is_kept_and_its_path_told(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    findings = check_history(WRONG)
    with pytest.raises(AssertionError) as told:
        assert_explained(WRONG, path, findings)
    assert str(path) in str(told.value)
    assert str(findings[0]) in str(told.value)
    assert load([path]) == WRONG
    assert check_history(load([path])) == findings


def test_a_search_that_is_given_up_is_a_finding() -> None:
    undecided = check_history(WRONG, search_limit=0)
    assert any("undecided" in finding.explanation for finding in undecided)


def test_no_more_is_told_than_anybody_reads() -> None:
    # Without its commits, nothing that was seen has an explanation.
    sights = [each for each in RIGHT.operations if each.kind != "commit"]
    assert len(check_history(History(sights))) == MOST


def test_a_store_that_promises_no_order_over_records_may_differ_in_it() -> None:
    swapped = a_get_shows_what_was_overwritten(Random(1), list(RIGHT.operations)) or []
    history = History(spread(swapped, Random(1), 4))
    strict = check_history(history)
    lenient = check_history(history, strict_order=False)
    assert "the store" in {finding.subject for finding in strict}
    assert "the store" not in {finding.subject for finding in lenient}
    assert lenient


def test_the_command_checks_a_file_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    save(RIGHT, right)
    save(WRONG, wrong)
    assert main([str(right)]) == 0
    assert capsys.readouterr().out == f"{len(RIGHT)} operations: some order explains them\n"
    assert main([str(wrong), "--any-order"]) == 1
    said = capsys.readouterr().out
    assert said.endswith(f"{len(WRONG)} operations: 1 findings\n")
    assert said.startswith("record 'hot")


def test_the_command_is_a_module(tmp_path: Path) -> None:
    path = tmp_path / "right.jsonl"
    save(RIGHT, path)
    command = [sys.executable, "-m", "cicd_core.testing.histories", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "some order explains them" in done.stdout
