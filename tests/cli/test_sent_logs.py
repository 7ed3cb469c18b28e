"""Logs that agents send, as a person sets them up and reads them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_serve import url_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person

NOWHERE = "sqlite:///nowhere/ci.db"
SHELL = "echo hello; echo token is s3cr3t-value; exit 3"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command of an agent that keeps to the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return ("agent", "--until-idle", "--quiet", "--workdir", str(tmp_path / "work"))


def test_a_server_has_the_log_that_an_agent_sent_it(
    person: Person, agent: tuple[str, ...], tmp_path: Path
) -> None:
    job_id = person.enqueues("--shell", SHELL)
    server = person.starts("serve", "--port", "0", "--logs", str(tmp_path / "kept"))
    far = {"CICD_SERVER": url_of(server), "CICD_STORE": NOWHERE}
    secrets = tmp_path / "secrets"
    secrets.write_text("s3cr3t-value\n\n")
    worked = person.types(*agent, "--send-logs", "--mask-file", str(secrets), **far)
    assert worked.code == 0, worked.err
    for path in (tmp_path / "state").rglob("*.log"):
        path.unlink()  # what is shown below comes from the server
    for words in ((), ("--follow",), ("--attempt", "1"), ("--raw",)):
        shown = person.types("logs", job_id, *words, "--server", far["CICD_SERVER"])
        assert (shown.code, shown.out) == (0, "hello\ntoken is ***\n")
    server.terminate()
    assert person.awaits(server).code == 0


def test_a_log_is_followed_from_the_server_while_the_job_runs(
    person: Person, agent: tuple[str, ...], tmp_path: Path
) -> None:
    line = f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo two"
    job_id = person.enqueues("--shell", line)
    server = person.starts("serve", "--port", "0", "--logs", str(tmp_path / "kept"))
    far = {"CICD_SERVER": url_of(server), "CICD_STORE": NOWHERE}
    worker = person.starts(*agent, "--send-logs", **far)
    follower = person.starts("logs", job_id, "--follow", "--server", far["CICD_SERVER"])
    assert follower.stdout is not None
    assert follower.stdout.readline() == "one\n"
    (tmp_path / "go").touch()
    ended = person.awaits(follower)
    assert (ended.code, ended.out) == (0, "two\n")
    assert person.awaits(worker).code == 0
    server.terminate()
    assert person.awaits(server).code == 0


def test_without_a_server_logs_go_to_a_folder(
    person: Person, agent: tuple[str, ...], tmp_path: Path
) -> None:
    job_id = person.enqueues("--shell", SHELL)
    kept = str(tmp_path / "kept")
    pattern = ("--mask-pattern", r"s3\w+-value")
    assert person.types(*agent, "--send-logs-to", kept, *pattern).code == 0
    shown = person.types("logs", job_id, "--sent-to", kept)
    assert (shown.code, shown.out) == (0, "hello\ntoken is ***\n")
    # What stays with the agent is as the job printed it.
    assert person.types("logs", job_id).out == "hello\ntoken is s3cr3t-value\n"


def test_a_server_that_keeps_no_logs_leaves_the_agents_own(
    person: Person, agent: tuple[str, ...]
) -> None:
    job_id = person.enqueues("--shell", SHELL)
    server = person.starts("serve", "--port", "0")
    far = {"CICD_SERVER": url_of(server), "CICD_STORE": NOWHERE}
    worked = person.types(*agent, "--send-logs", **far)
    assert worked.code == 0
    assert "start it with --logs FOLDER" in worked.err
    assert person.asks("job", job_id)["exit_code"] == 3
    shown = person.types("logs", job_id, "--server", far["CICD_SERVER"])
    assert (shown.code, shown.out) == (0, "hello\ntoken is s3cr3t-value\n")
    server.terminate()
    assert person.awaits(server).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--send-logs",), "--send-logs-to FOLDER"),
        (("--mask-env", "CICD_NO_SUCH_VARIABLE"), "there is no such variable"),
        (("--mask-file", "/nowhere/secrets"), "can't be read"),
        (("--mask-pattern", "("), "not a regular expression"),
    ],
)
def test_what_can_t_be_sent_or_masked_is_refused(
    person: Person, agent: tuple[str, ...], words: tuple[str, ...], said: str
) -> None:
    answer = person.types(*agent, *words)
    assert answer.code == 2
    assert said in answer.err


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_a_variable_that_is_named_is_masked(
    person: Person, agent: tuple[str, ...], tmp_path: Path
) -> None:
    job_id = person.enqueues("--shell", "echo $PIN $LOGIN_TOKEN $PLACE")
    kept = str(tmp_path / "kept")
    shown = ("--env", "PIN", "--env", "LOGIN_TOKEN", "--env", "PLACE")
    variables = {"PIN": "4711", "LOGIN_TOKEN": "abcdefgh", "PLACE": "here"}
    command = (*agent, "--send-logs-to", kept, "--mask-env", "PIN", *shown)
    assert person.types(*command, **variables).code == 0
    assert person.types("logs", job_id, "--sent-to", kept).out == "*** *** here\n"
    listed = subprocess.run(["ls", "-l", kept], check=True, capture_output=True, text=True)
    assert "drwx------" in listed.stdout
