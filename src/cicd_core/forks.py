"""Keeps forked children from inheriting file locks and connections.

A child of ``os.fork`` or ``multiprocessing`` has a copy of every open file. A lock that belongs to
the open file (``flock``) lasts until its last copy is closed: if the parent dies, the lock would
last as long as the child. So the child closes its copies first.

The child also has copies of the parent's connection objects. Finalizing them may send data to the
other side, so the child keeps these objects for ever, unless it can close them safely.

A C library has its own locks and tables, and a fork copies their state at that moment. So a fork
waits until no thread is inside such a library (:func:`undisturbed_by_forks`), and a child that uses
the same library first closes its inherited connections (:func:`close_inherited`).

The child is also a copy of the running program. If the embedder's code forks, and the child returns
from that code, it must not continue in this library's code.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


class Connection(Protocol):
    """A connection to a file or a server."""

    def close(self) -> object:
        """Close it."""


#: Held around each change of the sets below, and by the thread that forks: no fork happens between
#: the opening of a file and its registration. A signal handler may fork while its thread holds it.
_changing: Final = threading.RLock()
_files: Final[set[int]] = set()
_connections: Final[WeakSet[Connection]] = WeakSet()

#: The longest time that a fork waits for threads inside a library, in seconds: longer than they
#: wait for a file lock with the default busy timeout.
_LONGEST_WAIT: Final = 10.0


class _Depth(threading.local):
    """How often the current thread has entered."""

    depth = 0


class _Gate:
    """Lets threads enter, also repeatedly, and lets a fork happen while no thread is inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._inside = 0
        self._forking = 0
        self._own = _Depth()
        #: Connections of this process's ancestors by fork.
        self.inherited: list[Connection] = []
        #: Whether a thread was inside when this process was forked.
        self.was_disturbed = False

    def enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking or self._own.depth > 0)
            self._inside += 1
            self._own.depth += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._own.depth -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until no thread is inside, and let none enter; call ``open`` or ``inherit`` next."""
        self._changed.acquire()
        self._forking += 1
        self._changed.wait_for(lambda: self._inside == self._own.depth, _LONGEST_WAIT)

    def open(self) -> None:
        self._forking -= 1
        self._changed.notify_all()
        self._changed.release()

    def inherit(self, connections: list[Connection]) -> None:
        """Reset the gate in a forked child."""
        self.was_disturbed = self.was_disturbed or self._inside > 0
        self.inherited += connections
        self._inside, self._forking = self._own.depth, 0
        self._changed.release()


_gate: Final = _Gate()


def open_unshared(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file that no child process keeps open, forked or executed; return its descriptor.

    Raises:
        OSError: as :func:`os.open`.
    """
    with _changing:
        file = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), mode)
        _files.add(file)
    return file


def close_unshared(file: int) -> None:
    """Close a file of :func:`open_unshared`; do nothing in a forked child, which has closed it."""
    with _changing:
        if file in _files:
            _files.remove(file)
            os.close(file)


def never_end_in_a_child(connection: Connection) -> None:
    """Let a forked child keep its copy of an object for ever, instead of finalizing it."""
    with _changing:
        _connections.add(connection)


def keep_for_ever(thing: object) -> None:
    """Never finalize an object, not even at the end of this process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@contextmanager
def undisturbed_by_forks() -> Generator[None]:
    """Delay every fork of this process while this thread is in the block.

    A fork waits for at most 10 seconds; if it did not wait long enough, :func:`close_inherited`
    returns False in its child.
    """
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def close_inherited() -> bool:
    """In a forked child, close the inherited connections.

    False: a thread of the parent was inside the library at the fork, so its tables and locks are
    unusable here, and the child must not call it.
    """
    if _gate.was_disturbed:
        return False
    while _gate.inherited:
        _gate.inherited.pop().close()
    return True


def end_if_forked(process: int, error: BaseException | None = None) -> None:
    """End this process, like a finished program, if it is a fork of ``process``.

    Call it when the embedder's code returns: a child has no thread, task or connection to take the
    result, and its event loop is a copy whose actions affect the parent.

    Args:
        process: the id of the process that called the embedder's code.
        error: the error that the code raised.
    """
    if os.getpid() == process:
        return
    code = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        code = error.code or 0
    elif error is not None:
        with suppress(BaseException):  # its text may raise anything, and stderr may be closed
            os.write(2, "".join(traceback.format_exception(error)).encode(errors="replace"))
    with suppress(BaseException):
        sys.stdout.flush()
    os._exit(code & 0xFF)


def _prepare_a_fork() -> None:
    _gate.close()  # first: a thread inside may be about to change the sets above
    _changing.acquire()


def _go_on_in_the_parent() -> None:
    _changing.release()
    _gate.open()


def _leave_to_the_parent() -> None:
    """Close the copies of files and keep the copies of objects; runs in the child."""
    for file in _files:
        os.close(file)
    _files.clear()
    for connection in _connections:
        keep_for_ever(connection)
    inherited = list(_connections)
    _connections.clear()
    _changing.release()
    _gate.inherit(inherited)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_prepare_a_fork,
        after_in_parent=_go_on_in_the_parent,
        after_in_child=_leave_to_the_parent,
    )
