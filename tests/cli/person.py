"""A person at a terminal: types commands, reads what they say, and looks at their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cicd_core.cli.main import main
from tests.patience import PATIENCE

if TYPE_CHECKING:
    import pytest


@frozen
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON object on stderr."""
        (line,) = self.err.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


class Person:
    """Runs commands in this process, where that is the same, or in processes of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self._started: list[subprocess.Popen[str]] = []

    def types(self, *words: str, **environment: str) -> Answer:
        """Run a command in this process, from its first word to its exit."""
        self._capsys.readouterr()
        code: object = 0
        with self._monkeypatch.context() as shell:
            shell.setattr(sys, "argv", ["cicd-core", *words])
            for name, value in environment.items():
                shell.setenv(name, value)
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        said = self._capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, said.out, said.err)

    def asks(self, *words: str) -> Any:
        """Run a command that must succeed, and return its JSON."""
        options_end = words.index("--") if "--" in words else len(words)
        answer = self.types(*words[:options_end], "--json", *words[options_end:])
        assert answer.code == 0, answer.err
        return answer.json

    def enqueues(self, *words: str) -> str:
        """Enqueue a job, and return its id."""
        job_id: str = self.asks("enqueue", *words)["job_id"]
        return job_id

    def starts(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cicd_core.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._started.append(process)
        return process

    def runs(self, *words: str, **environment: str) -> Answer:
        """Run a command in a process of its own, to its end."""
        return self.awaits(self.starts(*words, **environment))

    def awaits(self, process: subprocess.Popen[str]) -> Answer:
        """Read what a process says, to its end."""
        out, err = process.communicate(timeout=PATIENCE)
        return Answer(process.returncode, out, err)

    def leave(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


def agent_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line of a log in JSON."""
    assert process.stderr is not None
    found: dict[str, Any] = json.loads(process.stderr.readline())
    return found
