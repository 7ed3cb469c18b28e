"""Agents of the lab: processes of the program's own command, which are killed and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import define, field

from tests.lifeline import Guarded
from tests.patience import PATIENCE
from tests.runtime.processes import processes_in
from tests.storming import Deck

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

#: How long an agent is suspended, in parts of a lease: sometimes it comes back in time.
_SUSPENDED: Final = (0.8, 1.8)
#: How long it gets before its end, and between two SIGTERMs, in seconds.
_HASTE: Final = (0.0, 0.6)


@define(eq=False)
class AgentProcess:
    """An agent with a fixed id, which is started again after each of its ends."""

    agent_id: str
    url: str
    #: For its work and its logs.
    folder: Path
    lease_seconds: float
    slots: int = 3
    #: What is run with ``python -m``.
    module: str = "cicd_core"
    #: How it ended where it was not killed.
    codes: list[int] = field(factory=list[int])
    _process: subprocess.Popen[bytes] | None = None

    @property
    def work(self) -> Path:
        """The folder that its jobs run in."""
        return self.folder / "work"

    @property
    def errors(self) -> Path:
        """What it wrote to its stderr, in all its lives."""
        return self.folder / "stderr"

    @property
    def has_ended(self) -> bool:
        """Whether no process of it runs."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start it; it registers when it can reach the server."""
        self.folder.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", self.module, "agent", "--quiet", "--server", self.url),
            *("--agent-id", self.agent_id, "--slots", str(self.slots), "--grace", "1"),
            *("--lease", str(self.lease_seconds), "--workdir", str(self.work)),
            *("--log-dir", str(self.folder / "logs"), "--cache-dir", str(self.folder / "cache")),
        ]
        with self.errors.open("ab") as errors:
            self._process = Guarded(command, stdin=subprocess.DEVNULL, stderr=errors)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._send(signal.SIGKILL)
        self._wait()

    def stop(self, *, again_after: float | None = None) -> None:
        """Let it drain; a second signal, after so many seconds, lets it give back all at once."""
        self._send(signal.SIGTERM)
        if again_after is not None:
            time.sleep(again_after)
            self._send(signal.SIGTERM)
        self.codes.append(self._wait())

    def suspend(self) -> None:
        """Let it stand still, until :meth:`resume`; its guards and its jobs go on."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def note_end(self) -> None:
        """Keep how it ended by itself."""
        self.codes.append(self._wait())

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> int:
        """Wait for its end, and until its guards have ended what its jobs ran."""
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        late = time.monotonic() + PATIENCE
        while left := processes_in(self.work):
            assert time.monotonic() < late, f"agent {self.agent_id} has ended, and left {left}"
            time.sleep(0.01)
        return code


@define(eq=False)
class Fleet:
    """Several agents, which are disturbed one at a time."""

    agents: list[AgentProcess]
    #: How often each disturbance happened.
    done: Counter[str] = field(factory=Counter[str])
    #: How often an agent ended that was left alone.
    deserters: int = 0
    _deck: Deck[Callable[[Random, AgentProcess], str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Gather what can happen."""
        self._deck = Deck(self._kill, self._kill, self._stop, self._hurry, self._suspend)

    def start(self) -> None:
        """Start all of them."""
        for agent in self.agents:
            agent.start()

    def end(self) -> None:
        """End those that still run, and what their jobs run."""
        for agent in self.agents:
            if not agent.has_ended:
                agent.kill()

    def disturb(self, random: Random) -> None:
        """Do one thing to one of them."""
        self._start_deserters()
        agent = random.choice(self.agents)
        self.done[self._deck.draw(random)(random, agent)] += 1

    def stop(self) -> None:
        """Let all of them drain, at the same time."""
        self._start_deserters()
        threads = [threading.Thread(target=agent.stop) for agent in self.agents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _start_deserters(self) -> None:
        """Start those that ended by themselves, as the supervisor of a service does."""
        for agent in self.agents:
            if agent.has_ended:
                self.deserters += 1
                agent.note_end()
                agent.start()

    @staticmethod
    def _kill(_: Random, agent: AgentProcess) -> str:
        agent.kill()
        agent.start()
        return "agent killed"

    @staticmethod
    def _stop(random: Random, agent: AgentProcess) -> str:
        time.sleep(random.uniform(*_HASTE))
        agent.stop()
        agent.start()
        return "agent stopped"

    @staticmethod
    def _hurry(random: Random, agent: AgentProcess) -> str:
        agent.stop(again_after=random.uniform(*_HASTE))
        agent.start()
        return "agent stopped twice"

    @staticmethod
    def _suspend(random: Random, agent: AgentProcess) -> str:
        agent.suspend()
        seconds = agent.lease_seconds * random.uniform(*_SUSPENDED)
        time.sleep(seconds)
        agent.resume()
        late = seconds > agent.lease_seconds
        return "agent suspended past its leases" if late else "agent suspended"
