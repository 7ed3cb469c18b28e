"""``enqueue``: every option arrives in the job; what is wrong makes none."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


def test_a_job_is_told_by_its_id_and_what_matters(person: Person) -> None:
    answer = person.types("enqueue", "build", "--priority", "High", "--pool", "linux")
    (job,) = person.asks("jobs")["items"]
    assert answer.out == f"{job['job_id']} queued: build, high priority, pool linux\n"


def test_every_option_arrives_in_the_job(person: Person) -> None:
    job = person.asks(
        "enqueue",
        "build",
        *("--payload", '{"target": "all"}', "--priority", "CRITICAL", "--pool", "linux"),
        *("--label", "gpu", "--label", "arm", "--tag", "nightly", "--meta", "team=core"),
        *("--repo", "https://example.org/app.git", "--ref", "main", "--sha", "ab" * 20),
        *("--timeout", "5m", "--max-attempts", "5", "--retry-on", "failed,timeout"),
        *("--at-most-once", "--key", "build-1", "--deadline", "2099-01-01T00:00:00Z"),
    )
    expected = {
        "job_type": "build",
        "state": "queued",
        "payload": {"target": "all"},
        "priority": "critical",
        "pool_name": "linux",
        "labels": ["arm", "gpu"],
        "tags": ["nightly"],
        "metadata": {"team": "core"},
        "timeout_seconds": 300.0,
        "max_attempts": 5,
        "delivery": "at_most_once",
        "idempotency_key": "build-1",
        "deadline_at": "2099-01-01T00:00:00.000000Z",
    }
    assert expected.items() <= job.items()
    assert job["retry"]["retry_on"] == ["failed", "timeout"]
    assert job["git"]["repo"] == "https://example.org/app.git"
    assert (job["git"]["ref"], job["git"]["commit_sha"]) == ("main", "ab" * 20)
    assert job["history"][0]["actor"] == "ada"


def test_a_command_behind_two_dashes_keeps_its_own_options(person: Person) -> None:
    job = person.asks("enqueue", "shell", "--", "make", "-j2", "--json", "test")
    assert job["payload"] == {"argv": ["make", "-j2", "--json", "test"]}


def test_command_without_a_type_is_a_shell_job(person: Person) -> None:
    job = person.asks("enqueue", "--key", "build", "--priority", "high", "--", "make", "-j2", "--")
    assert (job["job_type"], job["payload"]) == ("shell", {"argv": ["make", "-j2", "--"]})
    assert (job["idempotency_key"], job["priority"]) == ("build", "high")
    other = person.asks("enqueue", "--tag", "x", "build", "--", "make")
    assert (other["job_type"], other["payload"]) == ("build", {"argv": ["make"]})


def test_shell_line_is_a_shell_job(person: Person) -> None:
    job = person.asks("enqueue", "--shell", "make | tee log")
    assert (job["job_type"], job["payload"]) == ("shell", {"shell": "make | tee log"})


@pytest.mark.parametrize("words", [["--shell", "make"], ["build", "--", "make"], ["--", "make"]])
def test_work_beside_a_payload_is_refused_before_a_store_is_made(
    person: Person, tmp_path: Path, words: list[str]
) -> None:
    given = ("--payload", '{"env": {"A": "1"}}', "--store", "sqlite:///new.db", "--json")
    refused = person.types("enqueue", *given, *words)
    assert (refused.code, refused.error["field"]) == (2, "payload")
    assert "sets the payload: omit one of them" in refused.error["message"]
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("verdicts", ["success", "sometimes", "none,failed"])
def test_advice_names_only_verdicts_to_retry_on(person: Person, verdicts: str) -> None:
    refused = person.types("enqueue", "build", "--retry-on", verdicts)
    assert refused.err.endswith("was refused: give some of failed, error, timeout, or none\n")


def test_options_beside_a_file_are_named_as_people_type_them(person: Person) -> None:
    refused = person.types("enqueue", "--from", "-", "--max-attempts", "2", "build", "--", "make")
    assert "omit the type, the command, --max-attempts" in refused.err


def test_a_delay_counts_from_now_and_a_moment_stands_as_it_is(person: Person) -> None:
    delayed = person.asks("enqueue", "build", "--delay", "90s")
    created, run_at = (datetime.fromisoformat(delayed[name]) for name in ("created_at", "run_at"))
    assert run_at - created == timedelta(seconds=90)
    later = person.asks("enqueue", "build", "--run-at", "2099-01-01T01:00:00+01:00")
    assert later["run_at"] == "2099-01-01T00:00:00.000000Z"
    assert later["ready_at"] is None


def test_the_same_key_and_fields_give_the_same_job(person: Person) -> None:
    first = person.enqueues("build", "--key", "k1")
    assert person.enqueues("build", "--key", "k1") == first
    refused = person.types("enqueue", "test", "--key", "k1", "--json")
    assert refused.code == 4
    assert refused.error["error"] == "IdempotencyConflict"
    assert refused.error["job_id"] == first


def test_a_key_whose_job_has_ended_says_so(person: Person) -> None:
    job_id = person.enqueues("build", "--key", "k1")
    person.types("cancel", job_id)
    answer = person.types("enqueue", "build", "--key", "k1")
    assert answer.out == f"{job_id} cancelled: the key exists already\n"


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ([], "type"),
        (["x y"], "job_type"),
        (["build", "--priority", "urgent"], "priority"),
        (["build", "--label", "a b"], "labels[0]"),
        (["build", "--pool", ""], "pool_name"),
        (["build", "--payload", "[]"], "payload"),
        (["build", "--timeout", "-1"], "timeout"),
        (["build", "--timeout", "8d"], "timeout_seconds"),
        (["build", "--delay", "soon"], "delay"),
        (["build", "--delay", "1", "--run-at", "2099-01-01T00:00:00Z"], "run-at"),
        (["build", "--run-at", "2099-01-01"], "run-at"),
        (["build", "--deadline", "later"], "deadline"),
        (["build", "--max-attempts", "0"], "retry.max_attempts"),
        (["--"], "type"),
        (["--", ""], "command"),
        (["--shell", " "], "shell"),
        (["build", "--repo", ""], "git.repo"),
        (["build", "--", "", "x"], "command"),
        (["build", "--retry-on", "success"], "retry-on"),
        (["build", "--retry-on", "sometimes"], "retry-on"),
        (["build", "--sha", "abc"], "sha"),
        (["build", "--meta", "x"], "meta"),
        (["build", "--key", "x" * 300], "idempotency_key"),
        (["build", "--shell", "true", "true"], "shell"),
        (["build", "--from", "jobs.jsonl"], "from"),
        (["--from", "nowhere.jsonl"], "from"),
    ],
)
def test_what_is_wrong_is_named_and_makes_no_job(
    person: Person, words: list[str], field: str
) -> None:
    refused = person.types("enqueue", "--json", *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.error["field"] == field
    assert person.asks("jobs")["items"] == []


def written(path: Path, *lines: object) -> str:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def test_a_file_makes_a_job_of_each_line_in_its_order(person: Person, tmp_path: Path) -> None:
    lines: list[Any] = [
        {"job_type": "a", "priority": "high", "labels": ["linux"], "delivery": "at-most-once"},
        "",
        {
            "job_type": "b",
            "retry": {"max_attempts": 1, "retry_on": ["Failed"]},
            "payload": {"n": 1},
        },
        {"job_type": "c", "run_at": "2099-01-01T00:00:00Z", "git": {"repo": "https://x.org/y"}},
    ]
    done = person.asks("enqueue", "--from", written(tmp_path / "jobs.jsonl", *lines))
    assert (done["count"], done["by_state"]) == (3, {"queued": 3})
    a, b, c = (person.asks("job", each["job_id"]) for each in done["items"])
    assert (a["job_type"], a["priority"], a["delivery"]) == ("a", "high", "at_most_once")
    assert (b["max_attempts"], b["retry"]["retry_on"]) == (1, ["failed"])
    assert c["run_at"] == "2099-01-01T00:00:00.000000Z"
    assert [each["job_type"] for each in person.asks("jobs")["items"]] == ["c", "b", "a"]


def test_value_that_is_missing_is_none_of_the_error(person: Person, tmp_path: Path) -> None:
    refused = person.types("enqueue", "--from", written(tmp_path / "jobs.jsonl", {}), "--json")
    assert refused.error["field"].endswith("job_type")
    assert "value" not in refused.error


def test_file_without_a_line_makes_no_job(person: Person, tmp_path: Path) -> None:
    file = written(tmp_path / "jobs.jsonl", "")
    assert person.types("enqueue", "--from", file, "--wait").out == "enqueued 0 jobs\n"


def test_more_jobs_than_one_call_to_the_store_takes(person: Person, tmp_path: Path) -> None:
    file = written(tmp_path / "jobs.jsonl", *({"job_type": "build"} for _ in range(1_100)))
    answer = person.types("enqueue", "--from", file)
    assert answer.out == "enqueued 1100 jobs\n"
    assert person.asks("stats")["depth"]["queued"] == 1_100


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not JSON"),
        ("@/etc/hostname", "it is not JSON"),
        ('"build"', "give a JSON object"),
        ({}, "job_type: JobSpec requires it"),
        ({"job_type": 5}, "job_type: 5 was refused: give a string"),
        ({"job_type": "build", "typo": 1}, "typo: 1 was refused: there is no such field"),
        (
            {"job_type": "build", "retry": {"retry_on": ["success"]}},
            "one of failed, timeout, error",
        ),
        ({"job_type": "build", "priority": "urgent"}, "give one of critical, high, normal, low"),
        ({"job_type": "build", "labels": "linux"}, "labels: 'linux' was refused: give a list"),
        (
            {"job_type": "build", "retry": {"max_attempts": "3"}},
            "retry.max_attempts: '3' was refused: give a whole number",
        ),
        (
            {"job_type": "build", "timeout_seconds": True},
            "timeout_seconds: True was refused: give a number",
        ),
        ({"job_type": "build", "timeout_seconds": -1}, "give at least 0.001"),
        ({"job_type": "build", "run_at": "2099-01-01T00:00:00"}, "with its time zone"),
        ({"job_type": "build", "run_at": "soon"}, "run_at: 'soon' was refused"),
        ({"job_type": "build", "payload": {"x": "y" * 270_000}}, "over the limit of 262144 bytes"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_no_job_is_made(
    person: Person, tmp_path: Path, line: object, reason: str
) -> None:
    file = written(tmp_path / "jobs.jsonl", {"job_type": "build"}, line)
    refused = person.types("enqueue", "--from", file, "--json")
    assert refused.code == 2
    assert refused.error["field"].startswith(f"{file}:2")
    assert reason in refused.error["message"]
    assert person.asks("jobs")["items"] == []


def test_what_was_made_before_a_refusal_is_told(person: Person, tmp_path: Path) -> None:
    lines = [{"job_type": "build"} for _ in range(500)]
    clash = [{"job_type": kind, "idempotency_key": "k1"} for kind in ("a", "b")]
    answer = person.types("enqueue", "--from", written(tmp_path / "j", *lines, *clash), "--json")
    assert answer.code == 4
    assert answer.json["count"] == 500
    assert answer.error["error"] == "IdempotencyConflict"


@pytest.mark.parametrize("words", [["--delay", "30"], ["--deadline", "2h"], ["--run-at", "1h"]])
def test_the_same_command_again_with_a_key_and_a_relative_time_gives_the_same_job(
    person: Person, words: list[str]
) -> None:
    first = person.asks("enqueue", "build", "--key", "release-1", *words)
    again = person.asks("enqueue", "build", "--key", "release-1", *words)
    assert again == first
    other = person.types("enqueue", "build", "--key", "release-1", words[0], "5m", "--json")
    assert (other.code, other.error["error"]) == (4, "IdempotencyConflict")
