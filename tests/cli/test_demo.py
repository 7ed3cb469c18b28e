"""The demo, as a person runs it: on repositories of many kinds, to its end, or interrupted."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.cli.demo import runner
from tests.patience import PATIENCE
from tests.runtime.repositories import WITHOUT_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.person import Person

AUTHOR = ("-c", "user.name=Ada Löve", "-c", "user.email=ada@example.org")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *AUTHOR, *arguments],
        env=os.environ | WITHOUT_SETTINGS,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def commit(folder: Path, message: str, **files: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a demo makes its folder; nothing may be left there, and no process that knows of it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it was looked up before
    # Wherever the tests' own folder is: git takes no repository above it for that of a test.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    yield folder
    assert processes_of(folder) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A work tree with three commits; its name has a space."""
    folder = tmp_path / "a project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "trunk")
    commit(folder, "Begin", **{"one.py": "print(1)\n"})
    commit(folder, "Break it\n\nWith a body.", **{"two.py": "print(\n"})
    commit(folder, "Mend it", **{"two.py": "print(2)\n"})
    return folder


def processes_of(folder: Path) -> list[str]:
    """Return the command lines that name a folder."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def state_of(folder: Path) -> tuple[list[str], str, str]:
    """Return what a demo must leave as it is."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return files, git(folder, "worktree", "list"), git(folder, "for-each-ref")


def test_a_demo_plays_every_scene_and_leaves_nothing_behind(
    person: Person, repository: Path, temporary: Path
) -> None:
    before = state_of(repository)
    answer = person.runs("demo", str(repository), "--fast", "--json")
    assert (answer.code, answer.err) == (0, ""), answer.out
    told = answer.json
    assert told["ok"] is True
    check_repository(told["repository"])
    check_work(told)
    check_kill(told)
    check_the_other_scenes(told["scenes"])
    check_audit(told)
    assert state_of(repository) == before
    assert list(temporary.iterdir()) == []


def check_repository(told: Any) -> None:
    assert told["branch"] == "trunk"
    assert [each["subject"] for each in told["commits"]] == ["Mend it", "Break it", "Begin"]
    assert told["commits"][0]["author"] == "Ada Löve <ada@example.org>"


def check_work(told: Any) -> None:
    newest, broken, _ = (each["sha"] for each in told["repository"]["commits"])
    compiled = {each["commit"]: each for each in told["jobs"] if each["name"].startswith("compile")}
    assert (compiled[newest]["state"], compiled[newest]["exit_code"]) == ("success", 0)
    assert (compiled[broken]["state"], compiled[broken]["exit_code"]) == ("failed", 1)
    assert told["scenes"]["work"]["verdicts"] == {"success": 5, "failed": 1}
    assert len({each["priority"] for each in told["jobs"]}) > 2


def check_kill(told: Any) -> None:
    kill = told["scenes"]["kill"]
    assert kill["exit_code"] == -signal.SIGKILL
    assert kill["new_fence"] > kill["old_fence"]
    assert kill["new_agent_id"] != kill["agent_id"]
    assert str(kill["old_fence"]) in kill["refused"]
    (job,) = [each for each in told["jobs"] if each["job_id"] == kill["job_id"]]
    assert job["state"] == "success"
    assert (job["fences"][0], job["fences"][-1]) == (kill["old_fence"], kill["new_fence"])
    assert {each["agent_id"]: each["exit_code"] for each in told["agents"]} == {
        kill["agent_id"]: -signal.SIGKILL,
        kill["new_agent_id"]: 0,
    }


def check_the_other_scenes(scenes: Any) -> None:
    assert {name: scene["result"] for name, scene in scenes.items()} == dict.fromkeys(
        ("work", "kill", "dead_letter", "deployment", "cancel", "delay", "same_key", "drain"),
        "done",
    )
    assert scenes["dead_letter"]["attempts_before"] == 3
    assert scenes["dead_letter"]["state"] == "success"
    assert scenes["deployment"]["path"] == [
        *("pending", "staging", "staged", "production", "live", "rolled_back")
    ]
    assert None not in scenes["deployment"]["jobs"].values()
    assert scenes["deployment"]["rollback_target"] is not None
    assert scenes["cancel"]["state"] == "cancelled"
    assert scenes["delay"]["claimed_at"] >= scenes["delay"]["run_at"]
    assert scenes["drain"]["exit_code"] == 0
    assert scenes["drain"]["agent_status"] == "terminated"


def check_audit(told: Any) -> None:
    audit = told["audit"]
    assert audit["ok"] is True
    assert {check["result"] for check in audit["checks"]} == {"ok"}
    assert audit["jobs"] == len(told["jobs"])
    assert audit["lost_leases"] >= 1
    assert set(audit["jobs_by_state"]) == {"success", "failed", "cancelled"}


@pytest.mark.thorough
def test_without_a_terminal_a_demo_tells_its_story_and_what_is_kept_can_be_looked_at(
    person: Person, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    kept = tmp_path / "kept"
    words = ("--fast", "--commits", "1", "--test-command", "test -f one.py", "--keep", str(kept))
    answer = person.runs("demo", *words)
    assert answer.code == 0, answer.out + answer.err
    check_story(answer.out)
    lines = answer.out.splitlines()
    assert f"kept: {kept}" in lines
    (url,) = [line.removeprefix("store: ") for line in lines if line.startswith("store: ")]
    audit = person.asks("audit", "--store", url)
    assert audit["ok"] is True
    jobs = person.asks("jobs", "--store", url, "--limit", "500")["items"]
    assert len(jobs) == audit["jobs"]
    assert {job["git"]["commit_message"] for job in jobs} == {"Mend it"}
    assert sorted(path.name for path in kept.iterdir()) == ["demo.db", "logs", "marks", "site"]


def check_story(told: str) -> None:
    story = [line.split(maxsplit=1)[1] for line in told.splitlines() if line[:6].strip()]
    for said in ("got SIGKILL while it runs the job", "dead letter: 3 of 3", "got SIGTERM"):
        assert any(said in line for line in story), told
    assert any(line.startswith("test ") and "succeeded on agent-" in line for line in story)
    assert "ok: every enqueued job is accounted for" in told.splitlines()
    assert "\x1b" not in told


@pytest.mark.thorough
def test_a_terminal_shows_a_picture_and_gets_its_own_screen_back(repository: Path) -> None:
    said, code = on_a_terminal("demo", str(repository), "--fast", "--commits", "1")
    assert code == 0, said
    picture, _, after = said.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in picture
    for seen in ("cicd-core demo", "agent-a", "killed", "in the queue", "started on agent-"):
        assert seen in picture
    assert "every enqueued job is accounted for" in after


@pytest.mark.crash
def test_a_terminal_of_few_letters_gets_what_it_can_show(repository: Path) -> None:
    commit(repository, "Über " * 40)
    ascii_only = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    said, code = on_a_terminal(
        "demo", str(repository), "--fast", "--commits", "1", environment=ascii_only
    )
    assert code == 0, said
    assert said.isascii()
    assert "\x1b[3" not in said
    assert " +  real work" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)


def on_a_terminal(*words: str, environment: dict[str, str] | None = None) -> tuple[str, int]:
    """Run a command on a terminal of 80 columns and 24 lines; return what it wrote."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "cicd_core.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
    )
    os.close(theirs)
    said = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):  # its end is an error
        while part := terminal.read(4096):
            said += part
    return said.decode(errors="replace"), process.wait(timeout=PATIENCE)


@pytest.mark.crash
def test_a_bare_repository_with_one_commit_and_without_python_will_do(
    person: Person, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "--quiet")
    commit(source, "All of it", **{"read me": "hello\n"})
    git(source, "checkout", "--quiet", "--detach")
    git(tmp_path, "clone", "--quiet", "--bare", str(source), "bare.git")
    answer = person.runs("demo", str(tmp_path / "bare.git"), "--fast", "--json")
    assert answer.code == 0, answer.out + answer.err
    scenes = answer.json["scenes"]
    assert scenes["work"]["verdicts"] == {"success": 1}
    assert scenes["deployment"]["rollback_target"] is None


@pytest.mark.crash
def test_a_shallow_clone_on_a_detached_head_will_do(
    person: Person, repository: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), "shallow")
    shallow = tmp_path / "shallow"
    git(shallow, "checkout", "--quiet", "--detach")
    commit(shallow, "On no branch", **{"three.py": "print(3)\n"})
    answer = person.runs("demo", str(shallow), "--fast", "--json")
    assert answer.code == 0, answer.out + answer.err
    assert answer.json["repository"]["branch"] is None
    assert len(answer.json["repository"]["commits"]) == 2


@pytest.mark.crash
def test_another_store_is_shared_with_what_is_there(
    person: Person, repository: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/ours.db"
    person.types("enqueue", "build", "--store", url)
    for _ in range(2):
        answer = person.runs(
            "demo", str(repository), "--fast", "--json", "--commits", "1", "--store", url
        )
        assert answer.code == 0, answer.out + answer.err
    ours = person.asks("jobs", "--store", url, "--pool", "default")["items"]
    assert [job["state"] for job in ours] == ["queued"]


@pytest.mark.crash
def test_a_scene_that_fails_is_told_and_the_logs_are_kept(
    person: Person, repository: Path, temporary: Path
) -> None:
    sabotage = 'rm -rf "$MARKS"'
    answer = person.runs(
        "demo", str(repository), "--fast", "--commits", "1", "--test-command", sabotage
    )
    assert answer.code == 1, answer.out + answer.err
    assert answer.out.splitlines()[-1].startswith("FAILED: ")
    (kept,) = temporary.iterdir()
    assert str(kept / "logs") in answer.err
    assert (kept / "logs" / "agent-a.log").read_text()


def test_agents_that_do_not_start_are_told_with_what_they_said(
    person: Person, repository: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = temporary.parent / "broken"
    broken.write_text("#!/bin/sh\necho 'this Python is broken'\nexit 9\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    answer = person.types("demo", str(repository), "--fast")
    assert answer.code == 1
    assert "ended with exit code 9 before it had a job" in answer.err
    assert "this Python is broken" in answer.err
    (kept,) = temporary.iterdir()
    assert str(kept / "logs") in answer.err


def test_a_demo_says_where_it_can_not_run(
    person: Person, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POSIX", False)
    answer = person.types("demo", str(repository))
    assert (answer.code, "needs Linux" in answer.err) == (2, True)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(
    person: Person, repository: Path, temporary: Path, number: signal.Signals
) -> None:
    process = person.starts("demo", str(repository))
    assert process.stdout is not None
    while "runs on agent-" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    answer = person.awaits(process)
    assert answer.code == 128 + number
    assert answer.err == ""
    assert list(temporary.iterdir()) == []


@pytest.mark.thorough
def test_a_reader_that_goes_away_ends_the_demo(
    person: Person, repository: Path, temporary: Path
) -> None:
    process = person.starts("demo", str(repository), "--fast")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=PATIENCE) == 141
    assert list(temporary.iterdir()) == []


def test_a_demo_needs_a_repository(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    answer = person.types("demo", str(nowhere))
    assert (answer.code, "no such folder" in answer.err) == (2, True)
    answer = person.types("demo", str(tmp_path))
    assert answer.code == 2
    assert "REPO" in answer.err
    assert "cicd-core demo REPO" in answer.err
    monkeypatch.chdir(tmp_path)
    answer = person.types("demo", "--json")
    assert answer.code == 2
    assert answer.error["field"] == "REPO"


def test_a_demo_needs_a_commit(person: Person, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    answer = person.types("demo", str(tmp_path / "empty"))
    assert (answer.code, "it has no commit" in answer.err) == (2, True)


def test_a_demo_keeps_nothing_in_a_folder_that_holds_something(
    person: Person, repository: Path
) -> None:
    answer = person.types("demo", str(repository), "--keep", str(repository))
    assert (answer.code, "not empty" in answer.err) == (2, True)
    assert not (repository / "demo.db").exists()


def test_a_demo_refuses_a_store_that_processes_cannot_share(
    person: Person, repository: Path, temporary: Path
) -> None:
    answer = person.types("demo", str(repository), "--store", "memory://")
    assert (answer.code, "other processes" in answer.err) == (2, True)
    assert list(temporary.iterdir()) == []
