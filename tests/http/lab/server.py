"""A server of the lab, as a process that can be killed, and as what starts and ends it.

    python -m tests.http.lab.server sqlite:////tmp/lab.db

serves the store on a free port with the settings of the crash lab, and prints its URL; it ends when
its standard input does, so that it never outlives what started it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from attrs import define, field

from cicd_core import ControlPlane, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.http.server import Listening, serve
from cicd_core.testing.crash.access import wrapped
from cicd_core.testing.crash.plan import SETTINGS
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


@define(eq=False)
class ServerProcess:
    """Starts a server, ends it, and starts it again."""

    store: str
    #: Where it writes what goes wrong.
    errors: Path
    #: ``module:function`` that is given the server's store; see ``LabPlan``.
    wrap: str = ""
    #: How the servers before ended, that were not killed.
    codes: list[int] = field(factory=list[int])
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, and return its port when it listens."""
        command = [sys.executable, "-m", __name__, self.store, *filter(None, [self.wrap])]
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert line, f"the server does not start: {self.errors.read_text()[-2000:]}"
        port = urlsplit(line.strip()).port
        assert port is not None
        return port

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end in good order."""
        self.codes.append(self._end(signal.SIGTERM))

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        assert process is not None
        process.send_signal(number)
        code = process.wait(PATIENCE)
        for end in (process.stdin, process.stdout):
            assert end is not None
            end.close()
        return code


async def _serve(store: str, wrap: str | None) -> None:
    async with open_store(store, collections=COLLECTIONS) as opened:
        plane = ControlPlane(wrapped(opened, wrap), settings=SETTINGS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(plane.maintenance.run)
            await serve(plane, Listening(port=0), on_ready=_say)
            tasks.cancel_scope.cancel()


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    while os.read(0, 1):  # no lock of Python is held meanwhile
        pass
    os._exit(1)


if __name__ == "__main__":
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    threading.Thread(target=_end_with_input, daemon=True).start()
    anyio.run(_serve, sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
