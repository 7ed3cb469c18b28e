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

from cicd_core.cli.demo.place import Place
from cicd_core.cli.demo.polling import eventually
from cicd_core.cli.demo.repository import environment
from cicd_core.store.default import STORE_VARIABLE
from cicd_core.values import frozen

#: Interval of checks of an awaited process, in seconds.
_LOOK: Final = 0.02
#: Number of lines of an agent's log shown after a failure.
_TAIL: Final = 12


@frozen(kw_only=True)
class AgentTerms:
    """The settings of all agents of a demo."""

    store_url: str
    pool_name: str
    slots: int
    #: Seconds.
    lease_seconds: float
    #: Time that a drain waits for running jobs, in seconds.
    grace_seconds: float


class AgentProcess:
    """An agent: ``cicd-core agent`` in its own process and session."""

    def __init__(self, agent_id: str, terms: AgentTerms, place: Place) -> None:
        """Start it; its output goes to a file."""
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
            # A Ctrl-C at the terminal reaches only the demo, which controls the agents.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Arguments are public, and the URL may contain a password.
                env=environment() | {STORE_VARIABLE: terms.store_url, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code; a negative number is a signal; None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._end_group()
        return code

    def kill(self) -> None:
        """``kill -9`` only the agent: its child processes must end by themselves."""
        self._process.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to drain."""
        self._process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""

        async def look() -> int | None:
            return self.exit_code

        return await eventually(look, every=_LOOK)

    async def stop(self, seconds: float) -> None:
        """Stop it as soon as possible: it releases its jobs at once; SIGKILL after ``seconds``."""
        for _ in range(2):  # the first one drains, the second one stops all jobs
            self.terminate()
            with anyio.move_on_after(_LOOK * 5):
                await self.wait()
        with anyio.move_on_after(seconds):
            await self.wait()
        self.destroy()

    def destroy(self) -> None:
        """Remove all of it, including the git processes that it started."""
        if self.exit_code is None:
            self.kill()
            self._process.wait()
        self._end_group()

    def _end_group(self) -> None:
        """Kill the rest of its process group: once, since its number may be reused later."""
        if not self._group_ended:
            self._group_ended = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL:])
