"""The storm: starts, stops, kills and restarts workers until the plan is fulfilled."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CicdError
from cicd_core.testing.crash.plan import fate_of, journal_path, order_of
from cicd_core.testing.recording.journal import Acknowledgements
from cicd_core.testing.workers.fork_server import command, errors_path
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.testing.crash.plan import Fate, LabPlan

#: The longest time between two looks, and between two lines of progress, in seconds.
_LOOK: Final = 0.02
_TELL: Final = 5.0
#: How long the fork server may take to load everything or to end, and a worker to do its first
#: operation, in seconds.
_PATIENCE: Final = 60.0
_CHUNK: Final = 65_536
#: The number of workers that ended without a kill, after which the storm stops.
_TOO_MANY: Final = 20


@frozen(kw_only=True)
class Death:
    """The end of one incarnation of a worker."""

    slot: int
    generation: int
    #: When it was noticed, in microseconds since the machine started.
    at: int
    #: Its exit code; minus 9 after a SIGKILL.
    code: int
    #: Whether it killed itself, at a chosen point.
    by_itself: bool

    @property
    def was_killed(self) -> bool:
        """Whether it ended by a SIGKILL, as intended."""
        return self.code == -signal.SIGKILL


@frozen(kw_only=True)
class StormReport:
    """The observations of a storm."""

    deaths: tuple[Death, ...]
    #: How many workers were stopped until their leases had expired, and continued.
    stops: int
    #: Its duration, in seconds.
    seconds: float
    #: Whether it ended because no call was acknowledged within the plan's patience.
    stalled: bool = False

    @property
    def kills(self) -> int:
        """How many workers were killed."""
        return sum(death.was_killed for death in self.deaths)


@define
class _Alive:
    slot: int
    generation: int
    pid: int
    fate: Fate
    born: float
    acknowledged: Acknowledgements
    #: When its first operation was acknowledged; None: none was.
    effective: float | None = None
    stopped: bool = False
    revived: bool = False
    killed: bool = False

    @property
    def age(self) -> float:
        """Its age in seconds, as its fate counts them; below 0 before its first operation.

        On a busy machine, a worker may need seconds until its first operation.
        """
        begun = self.born if self.fate.at_birth else self.effective
        return monotonic_seconds() - (self.born + _PATIENCE if begun is None else begun)

    def more(self) -> int:
        """Return the number of its operations acknowledged since the last call."""
        found = self.acknowledged.more()
        if found and self.effective is None:
            self.effective = monotonic_seconds()
        return found


class Storm:
    """Runs the workers of one plan."""

    def __init__(self, plan: LabPlan, tell: Callable[[str], None]) -> None:
        """Prepare; ``tell`` is called with a line of progress at intervals."""
        self._plan = plan
        self._tell = tell
        self._alive: dict[int, _Alive] = {}
        #: The slots and generations of workers that are being started, by name.
        self._asked: dict[str, tuple[int, int]] = {}
        self._next = dict.fromkeys(range(plan.workers), 0)
        self._deaths: list[Death] = []
        self._stops = 0
        self._operations = 0
        self._input = b""
        self._began = 0.0
        #: When the last call was acknowledged.
        self._progress_at = 0.0
        self._stalled = False

    def run(self) -> StormReport:
        """Run the storm, and return after the end of the last worker.

        Raises:
            CicdError: the workers could not be started.
        """
        with errors_path(self._plan.folder).open("wb") as errors:
            fork_server = subprocess.Popen(
                command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        try:
            self._rage(fork_server)
        finally:
            with suppress(BrokenPipeError):
                fork_server.communicate(timeout=_PATIENCE)
        return StormReport(
            deaths=tuple(self._deaths),
            stops=self._stops,
            seconds=monotonic_seconds() - self._began,
            stalled=self._stalled,
        )

    def _rage(self, fork_server: subprocess.Popen[bytes]) -> None:
        self._began = reported = monotonic_seconds()
        self._progress_at = self._began + _PATIENCE  # to load everything
        while not self._is_enough():
            self._start(fork_server)
            self._strike(fork_server)
            self._hear(fork_server)
            self._count()
            if monotonic_seconds() - reported > _TELL:
                reported = monotonic_seconds()
                self._report()
        for worker in self._alive.values():
            self._kill(fork_server, worker)
        until = monotonic_seconds() + _PATIENCE
        while (self._alive or self._asked) and monotonic_seconds() < until:
            self._hear(fork_server)
            self._strike(fork_server, all_of_them=True)
        self._report()

    def _is_enough(self) -> bool:
        plan, seconds = self._plan, monotonic_seconds() - self._began
        kills = sum(death.was_killed for death in self._deaths)
        if seconds >= plan.minutes * 60 or len(self._deaths) - kills >= _TOO_MANY:
            return True
        if monotonic_seconds() - self._progress_at > plan.patience:
            self._stalled = True
            return True
        if plan.kills is None and plan.operations is None:
            return False
        return kills >= (plan.kills or 0) and self._operations >= (plan.operations or 0)

    def _start(self, fork_server: subprocess.Popen[bytes]) -> None:
        busy = {slot for slot, _ in self._asked.values()}
        busy |= {worker.slot for worker in self._alive.values()}
        for slot in self._next.keys() - busy:
            order = order_of(self._plan, slot, self._next[slot])
            self._asked[order.name] = (slot, self._next[slot])
            self._say(fork_server, order.to_json())

    def _strike(self, fork_server: subprocess.Popen[bytes], *, all_of_them: bool = False) -> None:
        """Apply to each worker its fate at this time."""
        for worker in self._alive.values():
            age, fate = worker.age, worker.fate
            if all_of_them or age >= fate.killed:
                self._kill(fork_server, worker)
            elif fate.stopped is None or fate.revived is None:
                continue
            elif age >= fate.revived and not worker.revived:
                worker.revived = True
                self._send(fork_server, worker, signal.SIGCONT)
            elif age >= fate.stopped and not worker.stopped:
                worker.stopped = True
                self._stops += 1
                self._send(fork_server, worker, signal.SIGSTOP)

    def _kill(self, fork_server: subprocess.Popen[bytes], worker: _Alive) -> None:
        if not worker.killed:
            worker.killed = True
            self._send(fork_server, worker, signal.SIGKILL)

    def _send(
        self, fork_server: subprocess.Popen[bytes], worker: _Alive, number: signal.Signals
    ) -> None:
        self._say(fork_server, json.dumps({"pid": worker.pid, "signal": int(number)}))

    def _hear(self, fork_server: subprocess.Popen[bytes]) -> None:
        """Read the starts and ends of workers."""
        assert fork_server.stdout is not None
        ready, _, _ = select.select([fork_server.stdout], [], [], _LOOK)
        if not ready:
            return
        data = os.read(fork_server.stdout.fileno(), _CHUNK)
        if not data:
            raise CicdError(f"the lab's workers cannot be started: {self._last_words()}")
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            words = json.loads(line)
            if "born" in words:
                self._welcome(words["born"], *self._asked.pop(words["name"]))
            else:
                self._bury(words)

    def _welcome(self, pid: int, slot: int, generation: int) -> None:
        self._next[slot] = generation + 1
        self._alive[pid] = _Alive(
            slot=slot,
            generation=generation,
            pid=pid,
            fate=fate_of(self._plan, slot, generation),
            born=monotonic_seconds(),
            acknowledged=Acknowledgements(journal_path(self._plan.folder, slot, generation)),
        )

    def _bury(self, words: dict[str, int]) -> None:
        worker = self._alive.pop(words["ended"])
        self._note(worker.more())
        self._deaths.append(
            Death(
                slot=worker.slot,
                generation=worker.generation,
                at=words["at"],
                code=words["code"],
                by_itself=not worker.killed,
            )
        )

    def _count(self) -> None:
        for worker in self._alive.values():
            self._note(worker.more())

    def _note(self, acknowledged: int) -> None:
        self._operations += acknowledged
        if acknowledged:
            self._progress_at = monotonic_seconds()

    def _report(self) -> None:
        seconds = max(monotonic_seconds() - self._began, 0.001)
        kills = sum(death.was_killed for death in self._deaths)
        self._tell(
            f"{seconds:6.0f} s  {kills:6} kills  {self._stops:4} stops  "
            f"{self._operations:9} operations  {self._operations / seconds:6.0f} a second"
        )

    def _last_words(self) -> str:
        return errors_path(self._plan.folder).read_text(errors="replace")[-2000:]

    def _say(self, fork_server: subprocess.Popen[bytes], line: str) -> None:
        assert fork_server.stdin is not None
        fork_server.stdin.write(line.encode() + b"\n")
        fork_server.stdin.flush()
