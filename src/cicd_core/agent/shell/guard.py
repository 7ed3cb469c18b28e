"""Runs one command, and kills its whole process group when its agent has died.

It is run by its path, in a Python that imports nothing of this library: ``python -I -S guard.py
COMMAND …``. It starts in a few milliseconds, because it imports very little.

- Its standard input comes from the agent, one order per line. ``t`` sends SIGTERM to the group,
  ``k`` SIGKILL. ``u MICROS`` sends SIGKILL when the clock of this boot reaches that time, unless
  another time is given before: an agent that hangs or is stopped renews no lease. The end of the
  input means that the agent has died, for whatever reason: SIGKILL.
- Its standard output goes to the agent, one fact per line: ``started PID``, then ``exited CODE``,
  ``signalled NUMBER``, ``overdue 0`` when its time was over, or ``refused ERRNO`` when the command
  can't be started.
- Its standard error is the command's output, both streams of it.

All processes that the command leaves in its group are killed.
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

#: Python and this guard ignore these signals; the command starts with their default actions.
_RESET = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ]
#: Prefix of the command's variables in this guard's own environment. It makes them harmless here:
#: the loader and Python would obey some of them (see `environment.py`).
_COMMANDS = b"JOB_"
#: Seconds between two checks of the parent process and of the time. A copy of the agent (a fork)
#: may keep the pipe open after the agent has died, and after a suspension of the machine, timers
#: fire late.
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

    It begins only after the agent knows its group. If this guard is killed before that, the child
    ends too.

    Returns:
        The leader's id, and the number of the error that prevented the start, or 0.
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
    refused = os.read(failure, 16)  # empty at the end of the pipe, when the command has begun
    os.close(failure)
    return leader, int(refused or 0)


def _become(command: list[str], may_begin: int, fail: int) -> NoReturn:
    """Turn into the command, in the child, with only the environment of the command."""
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
    """Return a descriptor that becomes readable when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _watch(leader: int, agent: int, woken: int) -> str:
    """Follow the agent's orders until the leader has ended; return how it ended."""
    orders = _Orders(leader)
    overdue = False
    while True:
        look_in = min(_LOOK_SECONDS, max(0.0, orders.seconds_left))
        ready, _, _ = select.select([*orders.source, woken], [], [], look_in)
        if woken in ready:
            os.read(woken, 512)
        ended, status = os.waitpid(leader, os.WNOHANG)
        if ended:
            _kill(leader, signal.SIGKILL)  # the other processes of its group
            killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            return "overdue 0" if overdue and killed else _described(status)
        if 0 in ready:
            orders.obey()
        if os.getppid() != agent:
            orders.stop_listening()
        # An order with a new time may have arrived while everything stood still.
        if orders.source and orders.seconds_left <= 0:
            overdue = True
            orders.stop_listening()


class _Orders:
    """The agent's orders for a process group."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._rest = b""
        self._until = -1
        #: The descriptors to read orders from; empty after the group was finally killed.
        self.source = [0]

    @property
    def seconds_left(self) -> float:
        """Return the time until the group is killed, unless the agent extends it."""
        if self._until < 0 or not self.source:
            return _LOOK_SECONDS
        return self._until / 1_000_000 - _boot_seconds()

    def obey(self) -> None:
        """Carry out the orders that the agent wrote."""
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
        """Kill the group; later orders do not matter."""
        _kill(self._leader, signal.SIGKILL)
        self.source = []


def _boot_seconds() -> float:
    """Return seconds on the agent's lease clock, which continues while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _kill(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # there is no such process, or it is not ours


def _described(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exited {code}" if code >= 0 else f"signalled {-code}"


def _tell(line: str) -> None:
    try:
        os.write(1, f"{line}\n".encode())
    except OSError:
        return  # the agent no longer reads


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
