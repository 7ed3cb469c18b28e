"""A person reads what a job printed, while it runs and afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cicd_core.job_logs.limits import HEAD_BYTES, LEAST_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of an agent that keeps to the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return ["--workdir", str(tmp_path / "work")]


def does(person: Person, folders: list[str], shell: str, *words: str) -> str:
    """Have an agent run a job, and return the job's id."""
    job_id = person.enqueues("--shell", shell)
    answer = person.types("agent", "--until-idle", "--quiet", *folders, *words)
    assert answer.code == 0, answer.err
    return job_id


def test_the_log_of_a_job_is_shown_without_escapes(person: Person, folders: list[str]) -> None:
    job_id = does(person, folders, r"printf 'a\tb\033[31mred\r\nc\377\n'")
    answer = person.types("logs", job_id)
    assert (answer.code, answer.out) == (0, "a\tb␛[31mred\nc\N{REPLACEMENT CHARACTER}\n")
    followed = person.types("logs", job_id, "--follow")
    assert (followed.code, followed.out) == (0, answer.out)


def test_raw_shows_the_bytes(person: Person, folders: list[str]) -> None:
    job_id = does(person, folders, r"printf '\033[31mred\r\n'")
    assert person.types("logs", job_id, "--raw").out == "\x1b[31mred\r\n"


def test_a_cut_is_shown_as_a_line(person: Person, folders: list[str]) -> None:
    line = f"yes | head -c {3 * LEAST_LIMIT}; echo end"
    job_id = does(person, folders, line, "--log-limit", "4M")
    shown = person.types("logs", job_id).out
    assert shown[HEAD_BYTES:].startswith("\n[cicd-core: ")
    assert shown.endswith("y\nend\n")
    assert len(shown) <= LEAST_LIMIT + 80


def fails_twice(person: Person, tmp_path: Path) -> str:
    """Enqueue a job with two attempts, one after the other as soon as there is a file ``go``."""
    retry = {"max_attempts": 2, "retry_on": ["failed"], "backoff_base": 0, "jitter": 0}
    line = f"echo try $CICD_ATTEMPT; until [ -e {tmp_path}/go ]; do sleep 0.02; done; exit 1"
    payload = {"shell": line}
    spec = {"job_type": "shell", "payload": payload, "retry": retry}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(spec))
    (made,) = person.asks("enqueue", "--from", str(tmp_path / "jobs.jsonl"))["items"]
    job_id: str = made["job_id"]
    return job_id


def test_each_attempt_has_its_log_and_a_follower_reads_them_all(
    person: Person, folders: list[str], tmp_path: Path
) -> None:
    job_id = fails_twice(person, tmp_path)
    person.starts("agent", "--quiet", *folders)
    follower = person.starts("logs", job_id, "--follow")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "try 1\n"
    (tmp_path / "go").touch()
    followed = person.awaits(follower)
    assert (followed.code, followed.out) == (0, "try 2\n")
    assert followed.err == "attempt 2\n"
    assert person.types("logs", job_id, "--follow", "--attempt", "1").out == "try 1\n"
    assert person.types("logs", job_id).out == "try 2\n"
    assert person.types("logs", job_id, "--attempt", "1").out == "try 1\n"
    refused = person.types("logs", job_id, "--attempt", "3")
    assert (refused.code, refused.out) == (2, "")


def test_a_log_that_is_followed_ends_with_the_job(person: Person, folders: list[str]) -> None:
    job_id = person.enqueues("--shell", "echo one; sleep 0.3; echo two")
    follower = person.starts("logs", job_id, "--follow")
    person.types("agent", "--until-idle", "--quiet", *folders)
    answer = person.awaits(follower)
    assert (answer.code, answer.out) == (0, "one\ntwo\n")


def test_a_job_that_no_agent_has_claimed_has_no_log(person: Person) -> None:
    answer = person.types("logs", person.enqueues("build"))
    assert answer.code == 3
    assert "no agent has claimed the job yet" in answer.err


def test_a_log_that_is_not_here_says_where_it_is(
    person: Person, folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = does(person, folders, "echo hello", "--agent-id", "worker", "--log-dir", "elsewhere")
    elsewhere = str(tmp_path / "nowhere")
    answer = person.types("logs", job_id, "--log-dir", elsewhere)
    assert answer.code == 3
    assert "agent worker ran attempt 1" in answer.err
    assert f"{elsewhere} has no log of it" in answer.err
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    answer = person.types("logs", job_id, "--log-dir", elsewhere)
    assert answer.err.endswith(f"; run `cicd-core logs {job_id}` there\n")


def test_a_job_that_does_not_exist_ends_with_3(person: Person) -> None:
    assert person.types("logs", "nobody").code == 3
