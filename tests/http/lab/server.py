"""A server of the lab, as a process that can be killed, and as what starts and ends it.

    python -m tests.http.lab.server sqlite:////tmp/lab.db

serves the store on a free port with the settings of the crash lab, or with those that `--settings`
names, and prints its URL; it ends when its standard input does, so that it never outlives what
started it.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import anyio
from attrs import define, field

from cicd_core import ControlPlane, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.http.server import Listening, serve
from cicd_core.testing.crash.access import wrapped
from cicd_core.testing.workers.worker import named
from tests.lifeline import Guarded
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core import Settings

#: Of the crash lab.
SETTINGS: Final = "cicd_core.testing.crash.plan:SETTINGS"


@define(eq=False)
class ServerProcess:
    """Starts a server, ends it, and starts it again."""

    store: str
    #: Where it writes what goes wrong.
    errors: Path
    #: ``module:function`` that is given the server's store; see ``LabPlan``.
    wrap: str = ""
    #: ``module:name`` of its settings.
    settings: str = SETTINGS
    #: How the servers before ended, that were not killed.
    codes: list[int] = field(factory=list[int])
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, and return its port when it listens."""
        options = ["--settings", self.settings, "--wrap", self.wrap]
        command = [sys.executable, "-m", __name__, self.store, *options]
        with self.errors.open("ab") as errors:
            self._process = Guarded(
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


async def _serve(store: str, wrap: str | None, settings: Settings) -> None:
    async with open_store(store, collections=COLLECTIONS) as opened:
        plane = ControlPlane(wrapped(opened, wrap), settings=settings)
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


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--wrap", default="")
    parser.add_argument("--settings", default=SETTINGS)
    given = parser.parse_args()
    threading.Thread(target=_end_with_input, daemon=True).start()
    anyio.run(_serve, given.store, given.wrap or None, cast("Settings", named(given.settings)))


if __name__ == "__main__":
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    _main()
