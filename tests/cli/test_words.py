"""Words that people try: in any place, in either spelling, in the wrong place."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cicd_core.cli.main import json_first

if TYPE_CHECKING:
    from tests.cli.person import Person


@pytest.mark.parametrize(
    ("given", "wanted", "as_json"),
    [
        (["--json", "jobs"], ["jobs", "--json"], True),
        (["agents", "--json", "show", "a1"], ["agents", "show", "a1", "--json"], True),
        (["jobs", "--json", "--json"], ["jobs", "--json"], True),
        (
            ["enqueue", "shell", "--", "make", "--json"],
            ["enqueue", "shell", "--", "make", "--json"],
            False,
        ),
        (["--json", "enqueue", "--", "x"], ["enqueue", "--json", "--", "x"], True),
        (
            ["pools", "set", "p", "--max", "1", "--json"],
            ["pools", "set", "p", "--json", "--max", "1"],
            True,
        ),
        (["jobs", "--pool", "--json"], ["jobs", "--json", "--pool"], True),
        (["--json", "--version"], ["--version"], True),
        ([], [], False),
    ],
)
def test_json_may_stand_anywhere(given: list[str], wanted: list[str], as_json: bool) -> None:
    assert json_first(given) == (wanted, as_json)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue", "--json", "--shell"], "Option '--shell' requires an argument."),
        (["pools", "set", "--json"], "Missing argument 'POOL'."),
        (["--json"], "give a command; `cicd-core --help` lists them"),
    ],
)
def test_json_stands_for_no_value_that_is_missing(
    person: Person, words: list[str], message: str
) -> None:
    answer = person.types(*words)
    assert (answer.code, answer.error["message"]) == (2, message)
    assert person.asks("jobs")["items"] == []


def test_json_before_the_command_answers_in_json(person: Person) -> None:
    person.types("enqueue", "build")
    assert [job["job_type"] for job in person.types("--json", "jobs").json["items"]] == ["build"]
    assert person.types("--json", "agents").json["items"] == []


@pytest.mark.parametrize(
    "words", [["jobs", "--colour"], ["enquue"], ["job"], ["jobs", "--limit", "many"]]
)
def test_a_wrong_word_is_reported_as_json(person: Person, words: list[str]) -> None:
    answer = person.types(*words, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.error["error"] == "UsageError"
    assert answer.error["message"]


def test_help_is_help_with_json_too(person: Person) -> None:
    answer = person.types("jobs", "--json", "--help")
    assert answer.code == 0
    assert "List jobs" in answer.out


def test_the_version_is_an_option_too(person: Person) -> None:
    found = person.asks("version")["cicd-core"]
    assert person.types("--version").out == f"cicd-core {found}\n"


def test_the_package_runs_as_a_module(person: Person) -> None:
    run = [sys.executable, "-m", "cicd_core", "version", "--json"]
    found = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(found) == person.asks("version")


def test_a_priority_is_changed_in_either_spelling(person: Person) -> None:
    job = person.enqueues("build")
    for spelling, priority in (("reprioritise", "high"), ("reprioritize", "low")):
        person.types(spelling, job, priority)
        assert person.asks("job", job)["priority"] == priority


def test_dead_letters_are_a_status_too(person: Person) -> None:
    person.enqueues("build")
    assert person.asks("jobs", "--status", "dead_lettered")["items"] == []
    assert person.types("jobs", "--status", "dead_lettered", "--pool", "default").code == 2


def test_nothing_is_made_in_a_store_that_ends_with_the_command(person: Person) -> None:
    for words in (["enqueue", "build"], ["pools", "put", "linux"], ["keys", "create", "ci"]):
        answer = person.types(*words, "--store", "memory://", "--json")
        assert (answer.code, answer.error["field"]) == (2, "store")
        assert "sqlite:///" in answer.error["message"]
