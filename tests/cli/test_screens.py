"""What people see fits their terminal, and a machine's pipe is not one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from tests.cli.person import Person

LONG = "a-name-that-is-as-long-as-names-in-large-companies-are"


@pytest.fixture
def busy(person: Person) -> list[str]:
    """The ids of jobs with short and long names, beside pools and a deployment."""
    person.types("pools", "put", LONG, "--region", "eu-west", "--description", LONG)
    person.types("deployments", "create", LONG, "1.0.0-" + LONG, "--env", LONG)
    return [
        person.enqueues("build", "--priority", "critical"),
        person.enqueues(LONG, "--pool", LONG, "--payload", f'{{"text": "{LONG * 4}"}}'),
    ]


SCREENS = [
    *(["jobs"], ["pools"], ["deployments"], ["stats"], ["summary"], ["events"], ["top", "--once"]),
    *(["pools", "show", LONG], ["pools", "scaling", LONG], ["version"]),
]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(
    person: Person, busy: list[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for words in [*SCREENS, ["job", busy[1]], ["why", busy[1]]]:
        answer = person.types(*words)
        assert answer.code == 0
        assert max(map(len, answer.out.splitlines())) <= width, words


@pytest.mark.parametrize("width", ["0", "1", "-5", "wide"])
def test_a_width_that_shows_nothing_is_ignored(
    person: Person, busy: list[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert busy[1] in person.types("jobs").out
    assert "No such command 'nothing'" in person.types("nothing").err


@pytest.mark.parametrize("width", [80, 120])
def test_an_id_is_never_cut(
    person: Person, busy: list[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for words in (["jobs"], ["events"], ["summary"]):
        told = person.types(*words).out
        assert all(job_id in told for job_id in busy), words


def test_a_pipe_gets_whole_lines(person: Person, busy: list[str]) -> None:
    told = person.types("jobs").out
    (row,) = [line for line in told.splitlines() if busy[1] in line]
    assert row.count(LONG) == 2


def seen_on_a_terminal(
    *words: str, interrupt_after: bytes = b"", **environment: str
) -> tuple[int, bytes]:
    """Run a command on a terminal of its own; return its exit code, and what was drawn there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "cicd_core.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    drawn = b""
    with process:
        try:
            with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
                while part := os.read(ours, 65536):
                    drawn += part
                    if interrupt_after and interrupt_after in drawn:
                        process.send_signal(signal.SIGINT)
                        interrupt_after = b""
            return process.wait(timeout=PATIENCE), drawn
        finally:
            os.close(ours)
            process.kill()


def test_a_terminal_is_coloured(person: Person, busy: list[str]) -> None:
    code, drawn = seen_on_a_terminal("jobs")
    assert code == 0
    assert b"\x1b[" in drawn


def test_a_terminal_without_colours_is_respected(person: Person, busy: list[str]) -> None:
    code, drawn = seen_on_a_terminal("jobs", NO_COLOR="1")
    assert code == 0
    assert b"\x1b[3" not in drawn
    assert busy[0].encode() in drawn


def test_top_leaves_the_terminal_as_it_was(person: Person, busy: list[str]) -> None:
    code, drawn = seen_on_a_terminal("top", "--interval", "0.1", interrupt_after=b"agents")
    assert code == 130
    assert b"Traceback" not in drawn
    entered, left = drawn.index(b"\x1b[?1049h"), drawn.rindex(b"\x1b[?1049l")
    assert entered < left


def test_ctrl_c_in_a_wait_says_that_the_job_goes_on(person: Person) -> None:
    words = ("enqueue", "build", "--wait")
    code, drawn = seen_on_a_terminal(*words, interrupt_after=b"queued: build")
    (job,) = person.asks("jobs")["items"]
    assert (code, job["state"]) == (130, "queued")
    assert f"job {job['job_id']} continues; `cicd-core logs".encode() in drawn
    assert b"Traceback" not in drawn


def test_end_of_a_job_stands_below_output_that_ends_in_no_line(person: Person) -> None:
    words = ("enqueue", "--key", "k1", "--wait", "--", "printf", "%s", "50 %")
    person.types(*(word for word in words if word != "--wait"))
    assert person.types("agent", "--until-idle", "--quiet").code == 0
    code, drawn = seen_on_a_terminal(*words)
    assert code == 0
    assert b"50 %\r\n" in drawn
