"""One command under its guard: started, watched, stopped."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.answers import SetupFailed
from cicd_core.agent.shell.environment import guard_environment
from cicd_core.model.instants import SECOND
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from anyio.abc import ByteReceiveStream, Process

#: While entered, calls a function in any thread with the time by which all work must have ended.
Followed = Callable[[Callable[[float], object]], AbstractContextManager[None]]

_log = logging.getLogger("cicd_core.agent")

_GUARD: Final = Path(__file__).with_name("guard.py")
#: How long the guard may take to end after SIGKILL was sent, in seconds.
_DEATH_SECONDS: Final = 10.0
#: The errors of a system without room for another process.
_NO_PROCESS: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


@frozen
class Ended:
    """How a command ended: with an exit code, by a signal, or without a start."""

    #: ``exited``, ``signalled``, ``refused``, ``overdue`` if the lease was about to end, or
    #: ``lost`` if the guard itself was killed.
    how: str
    #: The exit code, or the number of the signal or error.
    number: int = 0

    def outcome(self, name: str) -> Outcome:
        """Return the outcome of the command; messages call it ``name``.

        The exit code after a signal is 128 plus its number, as in shells.
        """
        if self.how == "exited":
            return _exited(self.number, f"{name} exited with code {self.number}")
        if self.how == "signalled":
            return _exited(128 + self.number, f"{name} was killed by {_signal_name(self.number)}")
        if self.how == "refused":
            return Outcome.error(f"{name} can't be started: {os.strerror(self.number)}")
        if self.how == "overdue":
            return Outcome.error(f"{name} was killed: the lease was about to end, not renewed")
        return Outcome.error(f"the guard of {name} was killed; the command was killed after it")


def _exited(code: int, why: str) -> Outcome:
    if code == 0:
        return Outcome.exited(0)
    return Outcome(verdict=Verdict.FAILED, exit_code=code, error_message=why)


def _followed_by_nothing(_: Callable[[float], object]) -> AbstractContextManager[None]:
    """Set no end."""
    return contextlib.nullcontext()


async def run_guarded(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: BinaryIO,
    kill_after: float,
    followed: Followed = _followed_by_nothing,
) -> Ended:
    """Run a command to its end, in a session of its own.

    If this call is cancelled, the command's process group gets SIGTERM, and SIGKILL ``kill_after``
    seconds later; the command has ended when the cancellation is passed on. The guard kills the
    group when this process dies, or when the lease is about to end, even if this process hangs.

    Args:
        argv: the command and its arguments; the command is found on the PATH of ``env``.
        cwd: the working directory.
        env: the complete environment.
        output: receives both output streams.
        kill_after: seconds between SIGTERM and SIGKILL.
        followed: tells by when the command must have ended, as
            :meth:`cicd_core.agent.JobRun.lease_followed` does.

    Raises:
        SetupFailed: this machine can't start any process; the command has not begun.
    """
    guarded = [sys.executable, "-I", "-S", str(_GUARD), *argv]
    try:
        orders, process = await _opened(
            guarded, cwd=cwd, env=guard_environment(os.environ, env), output=output
        )
    except OSError as refused:
        if refused.errno == errno.E2BIG or refused.filename == str(cwd):  # the command's own fault
            return Ended("refused", refused.errno or errno.EIO)
        raise SetupFailed(f"no process can be started: {refused.strerror}") from refused
    facts = _Facts(process)
    with followed(orders.end_by):
        try:
            await facts.read()
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process, facts, orders, kill_after)
    return _checked(facts)


def _checked(facts: _Facts) -> Ended:
    """Return how the command ended, if the machine could start it."""
    ended = facts.ended
    if ended.how == "refused" and ended.number in _NO_PROCESS:
        raise SetupFailed(f"cannot start a process: {os.strerror(ended.number)}")
    if ended.how == "lost" and facts.leader is None:
        raise SetupFailed("the guard process of commands does not start")
    return ended


async def _opened(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: BinaryIO
) -> tuple[_Orders, Process]:
    theirs, ours = os.pipe()
    orders = _Orders(ours)
    try:
        with anyio.CancelScope(shield=True):  # otherwise a half-open process would have no owner
            process = await anyio.open_process(
                argv,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
            return orders, process
    except BaseException:
        orders.close()
        raise
    finally:
        os.close(theirs)
    raise AssertionError("an uncancelled scope was cancelled")


class _Orders:
    """Sends orders to a guard. Safe to use from any thread; nothing here waits."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe: int | None = pipe
        self._lock = threading.Lock()

    def end_by(self, instant: float) -> None:
        """Have the group killed at an instant of the lease clock; a later call replaces it."""
        self.send(f"u {math.floor(instant * SECOND)}")

    def send(self, order: str) -> None:
        """Write a line, if the guard still reads."""
        with self._lock:
            if self._pipe is not None:
                with contextlib.suppress(OSError):
                    os.write(self._pipe, f"{order}\n".encode())

    def close(self) -> None:
        """End the orders."""
        with self._lock:
            pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)


class _Facts:
    """The reports of a guard so far."""

    def __init__(self, process: Process) -> None:
        self._stream: ByteReceiveStream | None = process.stdout
        self._said = b""
        #: Whether the guard has reported all, and the command has ended.
        self.complete = False

    async def read(self) -> None:
        """Read until the guard has nothing more to report."""
        if self._stream is not None:
            with contextlib.suppress(anyio.EndOfStream):
                while True:
                    self._said += await self._stream.receive()
        self.complete = True

    @property
    def leader(self) -> int | None:
        """The id of the command's process and its group; None: it never started."""
        for how, number in self._lines():
            if how == "started":
                return number
        return None

    @property
    def ended(self) -> Ended:
        """How the command ended, from the last report."""
        how, number = (self._lines() or [("lost", 0)])[-1]
        return Ended("lost") if how == "started" else Ended(how, number)

    def _lines(self) -> list[tuple[str, int]]:
        words = (line.split() for line in self._said.decode().splitlines())
        return [(how, int(number)) for how, number in words]


async def _end(process: Process, facts: _Facts, orders: _Orders, kill_after: float) -> None:
    """Make sure that the command, its group and its guard end; usually they have ended already."""
    for order, seconds in (("t", kill_after), ("k", _DEATH_SECONDS)):
        if not facts.complete:
            with anyio.move_on_after(seconds):
                orders.send(order)
                await facts.read()
    if not facts.complete:
        _log.error("the command's group %s does not die after SIGKILL", facts.leader)
        process.kill()
    if facts.ended.how == "lost" and facts.leader is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(facts.leader, signal.SIGKILL)
    orders.close()
    await process.aclose()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
