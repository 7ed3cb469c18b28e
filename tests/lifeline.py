"""Processes end with the tests that started them, even if those are killed."""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, Final

#: It reads "+PID" and "-PID" until its input ends, which the end of the other process does.
_GUARD: Final = """
import os, shutil, signal, sys
running = set()
for line in sys.stdin:
    (running.add if line[0] == "+" else running.discard)(int(line[1:]))
for pid in running:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Lifeline:
    """A guard beside this process: when this one is gone, it ends what still runs.

    Killed tests (a time limit, a broken terminal) run no teardown; their servers would stay.
    """

    def __init__(self) -> None:
        #: For the files of processes; short, since the path of a Unix socket must be.
        self.folder: Final = Path(tempfile.mkdtemp(prefix="cicd-tests-"))
        self._lock: Final = threading.Lock()
        self._guard: Final = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self.folder)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the tests, which then tear down
        )

    def watch(self, pid: int) -> None:
        """End this process too, when the time comes."""
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        """It has ended; its number may be somebody else's soon."""
        self._tell(f"-{pid}")

    def end(self) -> None:
        """Let the guard do its work now."""
        assert self._guard.stdin
        self._guard.stdin.close()
        self._guard.wait()

    def _tell(self, line: str) -> None:
        assert self._guard.stdin
        with self._lock:
            self._guard.stdin.write(line + "\n")
            self._guard.stdin.flush()


@cache
def lifeline() -> Lifeline:
    """Return the lifeline of this process."""
    line = Lifeline()
    atexit.register(line.end)
    return line


class Guarded(subprocess.Popen[bytes]):
    """A process that ends with this one, at the latest."""

    def __init__(self, command: list[str], **options: Any) -> None:
        """Start it; the options are those of ``Popen``."""
        super().__init__(command, **options)
        lifeline().watch(self.pid)

    def poll(self) -> int | None:
        """Return how it ended; None: it runs."""
        return self._noted(super().poll())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return how it ended."""
        code = super().wait(timeout)
        self._noted(code)
        return code

    def _noted(self, code: int | None) -> int | None:
        if code is not None:
            lifeline().forget(self.pid)
        return code
