"""The fork server: a process that has loaded all modules, and forks a worker per order.

It has one thread and no event loop, so its forks are safe. Lines of JSON are its requests, and it
answers with lines of JSON. When its input ends, it kills its workers and exits: no worker outlives
the lab.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cicd_core.clock import boot_micros
from cicd_core.testing.workers.orders import WorkerOrder, is_sqlite
from cicd_core.testing.workers.worker import named, work

if TYPE_CHECKING:
    from pathlib import Path

#: How often it looks for workers that have ended, in seconds.
_LOOK: Final = 0.005
#: The most bytes of one read.
_CHUNK: Final = 65_536


class ForkServer:
    """Forks workers, signals them, and reports their ends."""

    def __init__(self) -> None:
        self._alive: set[int] = set()
        self._input = b""

    def run(self) -> None:
        """Handle requests until the other end of standard input is closed."""
        while self._obey():
            self._bury()
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
        while self._alive:
            self._bury(wait=True)

    def _obey(self) -> bool:
        """Handle a request; False: there are no more requests."""
        ready, _, _ = select.select([0], [], [], _LOOK)
        if not ready:
            return True
        data = os.read(0, _CHUNK)
        if not data:
            return False
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            words = json.loads(line)
            if "signal" in words:
                self._signal(words["pid"], words["signal"])
            else:
                self._fork(WorkerOrder.from_json(line))
        return True

    def _fork(self, order: WorkerOrder) -> None:
        _load(order)
        pid = os.fork()
        if not pid:
            _live(order)
        self._alive.add(pid)
        _tell(born=pid, name=order.name)

    def _signal(self, pid: int, number: int) -> None:
        if pid in self._alive:  # otherwise it has ended by itself, and its id may be reused
            os.kill(pid, number)

    def _bury(self, *, wait: bool = False) -> None:
        while self._alive:
            pid, status = os.waitpid(-1, 0 if wait else os.WNOHANG)
            if not pid:
                return
            self._alive.remove(pid)
            _tell(ended=pid, code=os.waitstatus_to_exitcode(status), at=boot_micros())


def _load(order: WorkerOrder) -> None:
    """Load the modules of a worker, once for all of them; this opens nothing."""
    named(order.task)
    if is_sqlite(order.store):
        import_module("cicd_core.testing.workers.sqlite_points")


def _live(order: WorkerOrder) -> None:
    """Run the worker in this process, then exit."""
    code = 1
    try:
        os.close(0)
        os.dup2(2, 1)  # only the fork server uses standard output
        work(order)
    except BaseException:  # noqa: BLE001 - on any error, it must not become a second server
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell(**words: Any) -> None:
    # A write of a few bytes to a pipe is atomic.
    with_end = json.dumps(words) + "\n"
    try:
        os.write(1, with_end.encode())
    except BrokenPipeError:  # the lab has ended: the end of standard input follows
        return


def command() -> list[str]:
    """Return the command that runs a fork server."""
    return [sys.executable, "-c", f"from {__name__} import ForkServer; ForkServer().run()"]


def errors_path(folder: Path) -> Path:
    """Return the file for the output of failing workers."""
    return folder / "errors.txt"
