"""Runs one command, and kills its whole process group when the agent that wanted it has gone.

Run by its path, in a Python that imports nothing of ours: ``python -I -S guard.py COMMAND …``. It
begins in a few milliseconds, since it imports next to nothing at all.

- Its standard input comes from the agent, a line an order: ``t`` sends SIGTERM to the group, ``k``
  SIGKILL; ``u MICROS`` sends SIGKILL when the clock of this boot has come so far, unless another
  instant is given before that: an agent that hangs or is stopped renews no lease. The end of the
  input means that the agent has died, however that came about: SIGKILL.
- Its standard output goes to the agent, a line a fact: ``started PID``, then ``exited CODE``,
  ``signalled NUMBER``, ``overdue 0`` when its time was over, or ``refused ERRNO`` when the command
  can't be started.
- Its standard error is the command's output, both streams of it.

Whatever the command left behind in its group dies with it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module of that name takes longer to import than all of this
    from typing import NoReturn

#: Python and this guard ignore these; the command begins with what the system does with them.
_RESET = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ]
#: What the names of the command's variables begin with in this guard's own environment, where
#: nothing reads them: the loader and Python would obey some of them (see `environment.py`).
_COMMANDS = b"JOB_"
#: How often the guard looks who its parent is, in seconds: a copy of the agent (a fork) may hold
#: the pipe open when the agent itself is gone. And what time it is: a machine that was suspended
#: wakes up with its timers late.
_LOOK_SECONDS = 0.5


def main(command: list[str]) -> int:
    """Run the command to its end and return 0; 1 if it can't be started."""
    agent = os.getppid()
    woken = _listen_for_children()
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    leader, refused = _start(command)
    if refused:
        _tell(f"refused {refused}")
        return 1
    _tell(_watch(leader, agent, woken))
    return 0


def _start(command: list[str]) -> tuple[int, int]:
    """Start the command as the leader of a process group of its own.

    It does not begin before the agent was told which group that is: a guard that is killed here
    takes it along.

    Returns:
        The leader's id, and the number of the error that kept it from starting, or 0.
    """
    may_begin, let_begin = os.pipe()
    failure, fail = os.pipe()
    try:
        leader = os.fork()
    except OSError as no_process:
        return 0, no_process.errno or 1
    if leader == 0:
        os.close(let_begin)
        _become(command, may_begin, fail)
    os.setpgid(leader, leader)
    os.close(may_begin)
    os.close(fail)
    _tell(f"started {leader}")
    os.write(let_begin, b"b")
    os.close(let_begin)
    refused = os.read(failure, 16)  # nothing, and the end of it, when the command has begun
    os.close(failure)
    return leader, int(refused or 0)


def _become(command: list[str], may_begin: int, fail: int) -> NoReturn:
    """Turn into the command, in the child, with the environment of the command alone."""
    length = len(_COMMANDS)
    environ = {k[length:]: v for k, v in os.environb.items() if k.startswith(_COMMANDS)}
    try:
        os.setpgid(0, 0)
        if os.read(may_begin, 1):
            os.dup2(2, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number in _RESET:
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(command[0], command, environ)  # noqa: S606 - no shell is wanted
    except OSError as refused:
        os.write(fail, str(refused.errno).encode())
    finally:
        os._exit(127)


def _listen_for_children() -> int:
    """Return a descriptor that can be read when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _watch(leader: int, agent: int, woken: int) -> str:
    """Obey the agent until the leader has ended; return how it did."""
    orders = _Orders(leader)
    overdue = False
    while True:
        look_in = min(_LOOK_SECONDS, max(0.0, orders.seconds_left))
        ready, _, _ = select.select([*orders.source, woken], [], [], look_in)
        if woken in ready:
            os.read(woken, 512)
        ended, status = os.waitpid(leader, os.WNOHANG)
        if ended:
            _kill(leader, signal.SIGKILL)  # what the leader left behind
            killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            return "overdue 0" if overdue and killed else _described(status)
        if 0 in ready:
            orders.obey()
        if os.getppid() != agent:
            orders.stop_listening()
        # The order that moves the instant may have come while everything stood still.
        if orders.source and orders.seconds_left <= 0:
            overdue = True
            orders.stop_listening()


class _Orders:
    """What the agent wants of a process group."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._rest = b""
        self._until = -1
        #: What to read them from; nothing once the group was killed for good.
        self.source = [0]

    @property
    def seconds_left(self) -> float:
        """Until the group is killed unless the agent says otherwise."""
        if self._until < 0 or not self.source:
            return _LOOK_SECONDS
        return self._until / 1_000_000 - _boot_seconds()

    def obey(self) -> None:
        """Carry out what the agent wrote."""
        said = os.read(0, 4096)
        if not said:
            self.stop_listening()
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            if line == b"t":
                _kill(self._leader, signal.SIGTERM)
            elif line == b"k":
                _kill(self._leader, signal.SIGKILL)
            else:
                self._until = int(line[2:])

    def stop_listening(self) -> None:
        """Kill the group; nothing that the agent says is of use any more."""
        _kill(self._leader, signal.SIGKILL)
        self.source = []


def _boot_seconds() -> float:
    """Return seconds on the agent's clock for leases: it goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _kill(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody, or nobody of ours


def _described(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exited {code}" if code >= 0 else f"signalled {-code}"


def _tell(line: str) -> None:
    try:
        os.write(1, f"{line}\n".encode())
    except OSError:
        return  # nobody is left to be told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
