"""Each kind of end has its exit code, and each error its one line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cicd_core.cli.exits import MEANINGS, ExitCode, code_of
from cicd_core.errors import (
    AlreadyExists,
    CicdError,
    CorruptRecord,
    IdempotencyConflict,
    IllegalTransition,
    InvalidCursor,
    InvalidInput,
    LeaseLost,
    NotFound,
    SchemaTooNew,
    SchemaTooOld,
    SessionRejected,
    StoreClosed,
    StoreFull,
    StoreReadOnly,
    StoreReplaced,
    StoreUnavailable,
    TooLarge,
    TooManyConflicts,
    TooManyLanes,
    UnknownScheme,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.model.principal import NotAuthenticated, NotPermitted
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from tests.cli.person import Person

ERRORS: list[tuple[CicdError, int]] = [
    (InvalidInput("field", 1, "reason"), 2),
    (TooLarge("field", 2, 1), 2),
    (InvalidCursor("x", "damaged"), 2),
    (UnknownScheme("foo", ["memory"]), 2),
    (UnsupportedCapability("no"), 2),
    (NotFound("job", "j1"), 3),
    (IllegalTransition("job", "j1", "cancel", "success", []), 4),
    (LeaseLost("j1", 1, "another owner"), 4),
    (IdempotencyConflict("key", "j1"), 4),
    (AlreadyExists("deployment", "d1"), 4),
    (TooManyLanes("default", 5), 4),
    (SessionRejected("expired"), 4),
    (NotAuthenticated("expired"), 4),
    (NotPermitted("ci", "it does not have the scope jobs:read"), 4),
    (StoreUnavailable("locked"), 5),
    (StoreFull("full"), 5),
    (StoreReadOnly("read-only"), 5),
    (TooManyConflicts(["a"], 3), 5),
    (CorruptRecord("jobs", "j1", "no JSON"), 6),
    (UnrecognizedDatabase("not ours"), 6),
    (SchemaTooNew("file", 9, 1), 6),
    (SchemaTooOld("file", 1, 2), 6),
    (StoreClosed("closed"), 5),
    (StoreReplaced("store", "file"), 5),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda each: type(each).__name__)
def test_every_error_has_its_exit_code(error: CicdError, code: int) -> None:
    assert code_of(error) == code


def test_every_exit_code_is_explained_in_the_help(person: Person) -> None:
    told = person.types("--help").out
    for code in ExitCode:
        assert f"{code:d}: {MEANINGS[code]}" in told


def test_a_command_that_does_what_it_should_ends_with_0(person: Person) -> None:
    person.enqueues("build")
    answer = person.runs("jobs")
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [["jobs", "--nonsense"], ["jobs", "--limit", "0"], ["nonsense"], ["job"], ["agents", "lst"]],
)
def test_a_wrong_word_ends_with_2(person: Person, words: list[str]) -> None:
    answer = person.types(*words)
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err


def test_a_wrong_value_ends_with_2_and_one_line(person: Person) -> None:
    answer = person.types("jobs", "--status", "broken")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: status: 'broken' was refused: give one of pending, queued")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nowhere", "it has no scheme"),
        ("foo://x", "dynamodb://, memory://"),
        ("redis://localhost/jobs", "the path must be the number of a database"),
    ],
)
def test_a_store_that_cannot_be_opened_here_ends_with_2(
    person: Person, url: str, reason: str
) -> None:
    answer = person.types("jobs", "--store", url)
    assert answer.code == 2
    assert reason in answer.err


def test_what_is_not_there_ends_with_3(person: Person) -> None:
    answer = person.types("job", "nobody")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == "error: job 'nobody' not found; check the id (it may have expired)\n"


def test_what_is_not_allowed_now_ends_with_4(person: Person) -> None:
    person.types("deployments", "create", "web", "1.0", "--id", "d1")
    answer = person.types("deployments", "live", "d1")
    assert answer.code == 4
    assert answer.err == (
        "error: deployment 'd1' is pending: live is not possible now; "
        "possible: stage, fail, staged\n"
    )


def test_a_store_that_is_locked_ends_with_5(person: Person, tmp_path: Path) -> None:
    person.enqueues("build")
    with sqlite3.connect(tmp_path / "ci.db", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        url = f"sqlite:///{tmp_path}/ci.db?busy_timeout=0.01"
        answer = person.types("enqueue", "build", "--store", url, "--json")
        holder.execute("ROLLBACK")
    holder.close()
    assert answer.code == 5
    assert answer.error["error"] == "StoreUnavailable"
    assert answer.error["retryable"] is True


def test_a_database_that_is_not_ours_ends_with_6_and_stays_as_it_is(
    person: Person, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.db"
    path.write_text("this is somebody's diary, and no database at all")
    answer = person.types("jobs", "--store", f"sqlite:///{path}")
    assert answer.code == 6
    assert path.read_text() == "this is somebody's diary, and no database at all"


def test_an_error_is_an_object_for_those_who_want_json(person: Person) -> None:
    error = person.types("job", "nobody", "--json").error
    assert error == {
        "error": "NotFound",
        "message": "job 'nobody' not found; check the id (it may have expired)",
        "retryable": False,
        "kind": "job",
        "key": "nobody",
    }


def test_an_illegal_transition_tells_programs_what_is_legal(person: Person) -> None:
    person.types("deployments", "create", "web", "1.0", "--id", "d1")
    error = person.types("deployments", "production", "d1", "--json").error
    assert error["error"] == "IllegalTransition"
    assert (error["key"], error["state"], error["command"]) == ("d1", "pending", "begin_production")
    assert "begin_staging" in error["legal"]


def test_a_defect_ends_with_70_and_its_traceback(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the moon is in the way")

    monkeypatch.setattr("cicd_core.cli.app.program", lambda _name: broken)
    answer = person.types("jobs")
    assert answer.code == 70
    assert "Traceback" in answer.err
    assert "the moon is in the way" in answer.err


def test_without_its_packages_the_program_says_what_to_install(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cicd_core.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    answer = person.types("jobs")
    assert answer.code == 2
    assert answer.err == "error: typer is not installed; run pip install 'cicd-core[cli]'\n"


def test_a_module_of_ours_that_is_missing_is_a_defect(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cicd_core.cli.app", None)
    with pytest.raises(ModuleNotFoundError):  # no advice to install something would help
        person.types("jobs")


def test_a_reader_that_goes_away_ends_it_quietly(person: Person) -> None:
    for _ in range(3):
        person.enqueues("build")
    process = person.starts("events", "--follow")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    person.enqueues("build")
    assert process.wait(timeout=PATIENCE) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


def in_a_shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which ``$CICD`` is the program."""
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("$CICD", f"{sys.executable} -m cicd_core.cli")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_closed_output_is_refused_before_anything_is_done(person: Person) -> None:
    refused = in_a_shell("$CICD enqueue build >&-")
    assert (refused.returncode, refused.stderr) == (
        71,
        "error: stdout is closed, nothing was done; open it, or use >/dev/null\n",
    )
    assert person.asks("jobs")["items"] == []


def test_an_agent_needs_no_streams(person: Person) -> None:
    job = person.enqueues("shell", "--", "true")
    agent = in_a_shell("$CICD agent --once --quiet <&- >&- 2>&-")
    assert agent.returncode == 0
    assert person.asks("job", job)["state"] == "success"


@pytest.mark.parametrize(
    "words",
    [["jobs"], ["jobs", "--json"], ["version"], ["stores"], ["--help"], ["job", "--help"], []],
    ids=" ".join,
)
def test_an_output_without_room_is_the_machines_fault(
    person: Person, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    person.enqueues("build")
    with monkeypatch.context() as shell, Path("/dev/full").open("w", encoding="utf-8") as full:
        shell.setattr(sys, "stdout", full)
        refused = person.types(*words)
    assert refused.code == 71
    assert "No space left on device" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.thorough
def test_outputs_without_room_end_a_process_without_a_word_of_python(person: Person) -> None:
    person.enqueues("build")
    refused = in_a_shell("$CICD jobs >/dev/full")
    assert refused.returncode == 71
    assert "No space left on device" in refused.stderr
    assert "Exception" not in refused.stderr
    assert in_a_shell("$CICD jobs --status nope 2>/dev/full").returncode == 2


@pytest.mark.parametrize(
    "words", [["jobs"], ["jobs", "--json"], ["version"], ["stores"]], ids=" ".join
)
def test_a_reader_that_has_gone_is_the_end_of_the_command(
    person: Person, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    person.enqueues("build")
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as shell, os.fdopen(writer, "w", encoding="utf-8") as pipe:
        shell.setattr(sys, "stdout", pipe)
        ended = person.types(*words)
    assert (ended.code, ended.err) == (141, "")


def test_a_reader_that_has_gone_is_the_end_of_a_process(person: Person) -> None:
    person.enqueues("build")
    # The reader goes before the command begins, by the end of its input.
    line = "mkfifo pipe; (: <pipe) & { wait; $CICD jobs; echo $? >code; } >pipe; cat code"
    ended = in_a_shell(f"cd $(mktemp -d); {line}")
    assert (ended.stdout, ended.stderr) == ("141\n", "")


@pytest.mark.parametrize("option", ["--log-dir", "--workdir"])
def test_a_folder_that_cannot_be_used_is_the_machines_fault(
    person: Person, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").touch()
    job = person.enqueues("shell", "--", "true")
    refused = person.types("agent", "--once", "--quiet", option, str(tmp_path / "file" / "x"))
    assert refused.code == 71
    assert refused.err.startswith("error: the ")
    assert "file/x: Not a directory" in refused.err
    assert person.asks("job", job)["attempts_used"] == 0


def test_a_temporary_folder_that_is_missing_is_the_machines_fault(
    person: Person, tmp_path: Path
) -> None:
    places = tmp_path / "no-places.py"
    places.write_text(
        "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/nope']\n"
        "import sys\nsys.argv = ['cicd-core', 'agent', '--once', '--quiet']\n"
        "from cicd_core.cli.main import main\nmain()\n"
    )
    refused = subprocess.run(
        [sys.executable, str(places)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 71
    assert "No usable temporary directory" in refused.stderr
    assert "Traceback" not in refused.stderr
