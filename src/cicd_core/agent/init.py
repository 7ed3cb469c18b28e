"""What process 1 of a container does for the others: it reaps children and forwards signals.

A process whose parent has ended becomes a child of process 1. If process 1 does not read its exit
code, it stays in the process table for ever, and the background processes of jobs fill that table.
Signals also have no default action in process 1.

The agent can't do this beside its own work: it might reap a child whose exit code other code waits
for. So the program forks: process 1 only reaps and forwards, and the agent runs in its child, an
ordinary process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import NoReturn

#: Signals that can't be handled, and those that the kernel sends for faults of the process.
_OWN: Final = ("KILL", "STOP", "SEGV", "BUS", "FPE", "ILL", "ABRT", "TRAP")


def leave_process_one() -> None:
    """If this is process 1, fork and return in the child; otherwise do nothing.

    The parent stays process 1. It forwards every signal to the child, reaps orphaned processes, and
    ends as the child does: with its exit code, or with 128 plus the number of the signal that
    killed it.

    Call it at the start of the program, before it has threads or event loops: they do not survive
    the fork. The child has a session of its own, so Ctrl-C at a terminal reaches it once, through
    its parent.
    """
    if os.name != "posix" or os.getpid() != 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    caught = signal.valid_signals() - {getattr(signal, f"SIG{name}") for name in _OWN}
    # Blocked from here on, so that no signal is lost between the fork and the first wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    child = os.fork()
    if child != 0:
        _stay_behind(child, caught)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stay_behind(child: int, caught: set[signal.Signals]) -> NoReturn:
    while True:
        # Reap first: a child that ended before signals were blocked sends no further signal.
        status = _bury(child)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        number = signal.sigwait(caught)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


def _bury(child: int) -> int | None:
    """Read the exit codes of all ended children; return the child's status if it is among them."""
    found: int | None = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                found = ended[1]
    return found
