"""The agents of a demo: real processes, which can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from cicd_core.cli.demo.place import Place
from cicd_core.cli.demo.polling import eventually
from cicd_core.cli.demo.repository import environment
from cicd_core.cli.options import STORE_VARIABLE

#: How often a process is looked at while it is waited for, in seconds.
_LOOK: Final = 0.02
#: How much of an agent's log is shown when something went wrong, in lines.
_TAIL: Final = 12


@frozen(kw_only=True)
class AgentTerms:
    """What all agents of a demo have in common."""

    store_url: str
    pool_name: str
    slots: int
    #: Seconds.
    lease_seconds: float
    #: Seconds that a drain waits for running jobs.
    grace_seconds: float


class AgentProcess:
    """One agent: ``cicd-core agent`` in a process, and a session, of its own."""

    def __init__(self, agent_id: str, terms: AgentTerms, place: Place) -> None:
        """Start it; what it says goes to a file."""
        self.agent_id = agent_id
        self.log: Path = place.agent_log(agent_id)
        self._group_ended = False
        command = [
            *(sys.executable, "-m", "cicd_core.cli", "agent"),
            *("--pool", terms.pool_name, "--agent-id", agent_id),
            *("--slots", str(terms.slots), "--lease", f"{terms.lease_seconds:g}"),
            *("--grace", f"{terms.grace_seconds:g}"),
            *("--workdir", str(place.work / agent_id), "--log-dir", str(place.job_logs)),
            *("--cache-dir", str(place.cache), "--outside-links"),
        ]
        with self.log.open("ab") as log:
            # A Ctrl-C at the terminal is ours alone: we tell the agents what to do.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Everybody may read arguments, and the URL may hold a password.
                env=environment() | {STORE_VARIABLE: terms.store_url, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; a negative number is a signal; None while it lives."""
        code = self._process.poll()
        if code is not None:
            self._end_group()
        return code

    def kill(self) -> None:
        """``kill -9`` it, and nothing else: what it runs must take care of itself."""
        self._process.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to drain."""
        self._process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Return how it ended, when it has."""

        async def look() -> int | None:
            return self.exit_code

        return await eventually(look, every=_LOOK)

    async def stop(self, seconds: float) -> None:
        """End it as soon as possible: jobs are given back at once; SIGKILL after ``seconds``."""
        for _ in range(2):  # the first one drains, the second one drops everything
            self.terminate()
            with anyio.move_on_after(_LOOK * 5):
                await self.wait()
        with anyio.move_on_after(seconds):
            await self.wait()
        self.destroy()

    def destroy(self) -> None:
        """Leave nothing of it, and of git processes that it started."""
        if self.exit_code is None:
            self.kill()
            self._process.wait()
        self._end_group()

    def _end_group(self) -> None:
        """Kill what it left in its group: once, since its number may be somebody else's later."""
        if not self._group_ended:
            self._group_ended = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def tail(self) -> str:
        """Return the last lines that it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL:])
