"""Servers end with the process that started them, also where that was killed."""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

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
        #: Where servers keep their files; short, since the path of a Unix socket must be.
        self.folder: Final = Path(tempfile.mkdtemp(prefix="cicd-redis-"))
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
        self._guard.stdin.write(line + "\n")
        self._guard.stdin.flush()


@cache
def lifeline() -> Lifeline:
    """Return the lifeline of this process."""
    line = Lifeline()
    atexit.register(line.end)
    return line
