"""A mutation run of the suite finds mutants, is continued, and knows its list of equivalents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required import skip_without

skip_without("mutmut", "mutmut is not installed: it makes the mutants")

from tests.mutation.__main__ import drawn  # noqa: E402 - it needs mutmut
from tests.mutation.equivalents import listed, reason_by_rule  # noqa: E402 - it needs mutmut
from tests.mutation.generating import MODULES, PACKAGE, Mutant, generate  # noqa: E402 - it needs mutmut
from tests.mutation.judging import Verdict  # noqa: E402 - it needs mutmut
from tests.mutation.results import Results, Score  # noqa: E402 - it needs mutmut

ROOT = Path(__file__).parents[2]


def mutant(place: str, old: str, new: str) -> Mutant:
    return Mutant(name=f"{PACKAGE}.{place}__mutmut_1", change=(f"- {old}", f"+ {new}"))


def test_sql_in_another_case_and_words_of_messages_are_equivalent() -> None:
    sql = mutant("sqlite.log.x_read", '"SELECT id FROM log"', '"select id from log"')
    assert reason_by_rule(sql) is not None
    text = mutant(
        "sqlite.log.x_read",
        'raise InvalidCursor(cursor, "no")',
        "raise InvalidCursor(cursor, None)",
    )
    assert reason_by_rule(text) is not None


def test_another_text_and_another_argument_of_an_error_are_no_equivalents() -> None:
    text = mutant("sqlite.log.x_read", '"a_lease"', '"A_LEASE"')
    assert reason_by_rule(text) is None
    field = mutant(
        "sqlite.log.x_read", 'raise InvalidCursor(cursor, "no")', 'raise InvalidCursor(None, "no")'
    )
    assert reason_by_rule(field) is None


def test_a_score_counts_what_was_tried_and_leaves_equivalents_out(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    ends = ("killed", "killed", "hung", "survived")
    mutants = [mutant("sqlite.log.x_read", "1", f"{number}") for number in range(5)]
    for each, outcome in zip(mutants, ends, strict=False):
        results.note(each, Verdict(outcome, "a test", 1))
    same = mutant("sqlite.log.x_read", '"SELECT 1"', '"select 1"')
    results.note(same, Verdict("survived", None, 0))
    score = Score.of([*mutants, same], Results(tmp_path / "results.jsonl"))
    assert (score.size, score.killed, score.hung, score.equivalent) == (6, 2, 1, 1)
    assert score.survivors == (mutants[3],)
    assert score.value == 0.75


def test_a_sample_stays_the_same_when_other_code_changes() -> None:
    mutants = [mutant("sqlite.log.x_read", "1", f"{number}") for number in range(50)]
    sample = drawn(mutants, 10, 1)
    assert drawn(mutants[::-1], 10, 1) == sample
    assert drawn(mutants, 10, 2) != sample
    more = mutant("sqlite.log.x_read", "1", "more")
    assert len({*drawn([*mutants, more], 10, 1)} - {*sample}) <= 1


@pytest.mark.thorough
def test_every_listed_equivalent_is_a_mutant_of_today(tmp_path: Path) -> None:
    mutants = [each for store in MODULES for each in generate(tmp_path, store)]
    known = {
        (each.place, " ".join(line[2:] for line in each.change if line[0] == "+"))
        for each in mutants
    }
    assert [entry for entry in listed() if entry not in known] == []


@pytest.mark.thorough
def test_a_run_finds_mutants_and_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for sample in (2, 3):
        options = f"--store memory --sample {sample} --seed 2 --results {path}".split()
        subprocess.run([sys.executable, "-m", "tests.mutation", *options], cwd=ROOT, check=True)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    outcomes = [line["outcome"] for line in lines if "mutant" in line]
    assert outcomes == ["killed"] * 3
    assert sum("control" in line for line in lines) == 2
