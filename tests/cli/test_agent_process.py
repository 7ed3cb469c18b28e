"""Agents as processes: they run shell jobs from one file, drain, and come back from nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.person import agent_line

if TYPE_CHECKING:
    import subprocess

    from tests.cli.person import Person


def said_that(process: subprocess.Popen[str], words: str) -> None:
    """Read the agent's log up to a line with these words."""
    while words not in agent_line(process)["message"]:
        pass


def states(person: Person) -> set[str]:
    return {each["state"] for each in person.asks("jobs", "--limit", "500")["items"]}


@pytest.mark.thorough
def test_an_agent_runs_what_there_is_and_ends(person: Person, tmp_path: Path) -> None:
    good = person.enqueues("shell", "--", "echo", "hello")
    bad = person.enqueues("--shell", "echo oh no >&2; exit 3")
    agent = person.runs("agent", "--until-idle", "--agent-id", "a1", "--log-dir", "logs")
    assert agent.code == 0
    assert agent.out == ""
    done, failed = person.asks("job", good), person.asks("job", bad)
    assert (done["state"], done["exit_code"], done["agent_id"]) == ("success", 0, "a1")
    assert (failed["state"], failed["exit_code"]) == ("failed", 3)
    assert (tmp_path / "logs" / f"{good}-1.log").read_text() == "hello\n"
    assert "oh no" in person.types("job", bad).out
    assert person.asks("agents", "show", "a1")["status"] == "terminated"


def test_two_agents_share_one_file_and_run_each_job_once(person: Person, tmp_path: Path) -> None:
    line = json.dumps({"job_type": "shell", "payload": {"shell": f"echo x >> {tmp_path}/ran"}})
    (tmp_path / "jobs.jsonl").write_text(f"{line}\n" * 20)
    person.types("enqueue", "--from", "jobs.jsonl")
    agents = [person.starts("agent", "--once", "--slots", "2", "--quiet") for _ in range(2)]
    assert [person.awaits(each).code for each in agents] == [0, 0]
    assert states(person) == {"success"}
    assert (tmp_path / "ran").read_text() == "x\n" * 20
    assert person.types("audit").code == 0


def test_sigterm_lets_a_job_finish(person: Person, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = person.enqueues("--shell", f"until [ -e {go} ]; do sleep 0.02; done")
    agent = person.starts("agent", "--json", "--agent-id", "a1")
    said_that(agent, "running")
    agent.send_signal(signal.SIGTERM)
    said_that(agent, "draining")
    go.touch()
    assert person.awaits(agent).code == 0
    job = person.asks("job", job_id)
    assert (job["state"], job["attempts_used"]) == ("success", 1)


def test_sigterm_gives_back_what_does_not_finish_in_time(person: Person) -> None:
    job_id = person.enqueues("shell", "--", "sleep", "1000")
    agent = person.starts("agent", "--json", "--grace", "0")
    said_that(agent, "running")
    agent.send_signal(signal.SIGTERM)
    assert person.awaits(agent).code == 0
    job = person.asks("job", job_id)
    assert (job["state"], job["attempt"], job["attempts_used"]) == ("queued", 1, 0)


def test_a_running_job_is_cancelled_from_elsewhere(person: Person) -> None:
    job_id = person.enqueues("shell", "--", "sleep", "1000")
    agent = person.starts("agent", "--json", "--lease", "6")
    said_that(agent, "running")
    told = person.types("cancel", job_id, "--reason", "a mistake").out
    assert told == f"{job_id} cancel requested; its agent stops it soon\n"
    said_that(agent, "cancelled")
    assert person.asks("job", job_id)["state"] == "cancelled"


def test_an_agent_takes_other_types_by_name_alone(person: Person) -> None:
    mine = person.enqueues("build", "--", "true")
    theirs = person.enqueues("other", "--", "true")
    assert person.types("agent", "--once", "--type", "build", "-q").code == 0
    assert person.asks("job", mine)["state"] == "success"
    assert person.asks("job", theirs)["state"] == "queued"


def test_an_agent_gives_jobs_the_variables_that_it_was_told_to(person: Person) -> None:
    line = 'test "$TEAM" = core && test -z "$SECRET"'
    job_id = person.enqueues("--shell", line)
    agent = person.types("agent", "--once", "-q", "--env", "TEAM", TEAM="core", SECRET="x")
    assert agent.code == 0
    assert person.asks("job", job_id)["state"] == "success"


def test_an_agent_works_where_it_is_told_to(person: Person, tmp_path: Path) -> None:
    job_id = person.enqueues("shell", "--", "pwd")
    assert person.types("agent", "--once", "-q", "--workdir", "work", "--send-log-tail").code == 0
    place = Path(person.asks("job", job_id)["logs_summary"].strip())
    assert place.is_relative_to((tmp_path / "work").resolve())


def test_a_log_in_json_is_an_object_a_line(person: Person) -> None:
    answer = person.types("agent", "--once", "--json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in answer.err.splitlines()]
    assert lines
    assert all(each.keys() >= {"at", "level", "logger", "message"} for each in lines)


def test_an_agent_that_cannot_be_is_refused(person: Person) -> None:
    for words, field in (
        (["--slots", "0"], "slots"),
        (["--label", "a b"], "labels[0]"),
        (["--grace", "never"], "grace"),
        (["--agent-id", "a b"], "agent_id"),
    ):
        refused = person.types("agent", "--json", *words)
        assert (refused.code, refused.error["field"]) == (2, field)
