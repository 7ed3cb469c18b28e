"""What a fork of this process must not inherit: locks of files, and connections.

A child that ``os.fork`` or ``multiprocessing`` makes has a copy of every open file. A lock that
belongs to the open file (``flock``) lasts until its last copy is closed: it would outlive a parent
that dies, for as long as the child lives. So the child closes its copies as its first act.

It also has copies of the objects that the parent uses connections with. What it must not run is
their end, which speaks to the other side, or takes a mutex that a thread of the parent held at the
fork. So the child keeps those objects for ever.

And it is a copy of the program in the middle of what that does. A child that the embedder's code
forked, and that comes back out of that code, must not go on with ours.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from pathlib import Path

#: Held around each change of what stands below, and by the thread that forks: no fork sees a file
#: that is open and not noted. A signal's handler may fork while its thread holds it.
_changing: Final = threading.RLock()
_files: Final[set[int]] = set()
_connections: Final[WeakSet[object]] = WeakSet()


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
    """Close a file of :func:`open_unshared`; in a forked child, where it is closed, do nothing."""
    with _changing:
        if file in _files:
            _files.remove(file)
            os.close(file)


def never_end_in_a_child(connection: object) -> None:
    """Let a forked child keep its copy of an object for ever, instead of finalizing it."""
    with _changing:
        _connections.add(connection)


def end_if_forked(process: int, error: BaseException | None = None) -> None:
    """End this process if it is a fork of ``process``, as a program ends; else do nothing.

    To be called where the embedder's code returns: in a child there is no thread, no task and no
    connection that would take what it returned, and its event loop is a copy that the parent feels.

    Args:
        process: the one that called the embedder's code.
        error: what that raised.
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


def _leave_to_the_parent() -> None:
    """Close the copies of files and keep the copies of objects; runs in the child."""
    for file in _files:
        os.close(file)
    _files.clear()
    for connection in _connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _connections.clear()
    _changing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_changing.acquire,
        after_in_parent=_changing.release,
        after_in_child=_leave_to_the_parent,
    )
