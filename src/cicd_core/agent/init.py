"""What the first process of a container does for the others: it buries them, and hands on signals.

A process whose parent has ended becomes a child of process 1. One that does not ask for its exit
code leaves it in the process table for ever, and a job's background processes fill that. Process 1
has no default actions of signals, either.

An agent can't do it beside its own work: what it buries could be a child whose exit code something
else waits for. So the program begins twice: process 1 stays behind with nothing else to do, and the
agent lives in its child, a process like any other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import NoReturn

#: What can't be handled, and what the kernel sends to a process because of itself.
_OWN: Final = ("KILL", "STOP", "SEGV", "BUS", "FPE", "ILL", "ABRT", "TRAP")


def leave_process_one() -> None:
    """Let another process be the first one of the container, if this is it; return in its child.

    The process that stays behind hands every signal on to this one, buries what others leave
    behind, and ends as this one does: with its exit code, or 128 and the number of the signal that
    it died of. In any process but the first this does nothing.

    Call it before there are threads and event loops, at the beginning of the program: they do not
    live on in a child. The child has a session of its own: Ctrl-C at a terminal reaches it once,
    by way of its parent.
    """
    if os.name != "posix" or os.getpid() != 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    caught = signal.valid_signals() - {getattr(signal, f"SIG{name}") for name in _OWN}
    # Held back from here on, so that none is lost between the fork and the first wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    child = os.fork()
    if child != 0:
        _stay_behind(child, caught)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stay_behind(child: int, caught: set[signal.Signals]) -> NoReturn:
    while True:
        # The dead first: one that ended before signals were held back sends none any more.
        status = _bury(child)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        number = signal.sigwait(caught)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


def _bury(child: int) -> int | None:
    """Take the exit codes of all that have ended; return that of the child, if it is among them."""
    found: int | None = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                found = ended[1]
    return found
