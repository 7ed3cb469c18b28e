"""The writers' lock: one process at a time holds it, to write or to checkpoint a database.

SQLite from 3.7.0 to 3.51.2 may lose pages of a WAL when a commit that resets it races with a
checkpoint (https://sqlite.org/wal.html#walresetbug). The connections of this package do not
checkpoint automatically, so this lock around every write transaction and every checkpoint keeps
the two apart.

It is held with every version of SQLite, because processes with different versions may share a
file. It is also fairer than SQLite's own waiting, whose pauses grow with the time waited. The
kernel releases the lock of a process that dies: no forked child keeps the file open (forks.py).
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.forks import close_unshared, open_unshared
from cicd_core.store.sqlite.failures import Locked
from cicd_core.store.sqlite.files import beside, identity, identity_of, share_as

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: How long to sleep between two tries, in seconds: at first, and at most. No file lock that all
#: systems have can wait with a timeout.
_FIRST_PAUSE: Final = 0.0001
_LONGEST_PAUSE: Final = 0.0005


class WritersLock:
    """The lock of one database, for one connection: a file beside it, created when first used."""

    def __init__(self, database: Path, timeout: float) -> None:
        """Wait for at most ``timeout`` seconds each time."""
        self._database = database
        self._path = beside(database, "lock")
        self._timeout = timeout
        self._file: int | None = None

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Hold the lock in the block.

        Raises:
            Locked: another process held it for longer than the timeout.
            OSError: the file cannot be created.
        """
        file = self._acquire()
        try:
            yield
        finally:
            _unlock(file)

    def remove(self) -> None:
        """Remove the file, while the lock is held; the next process that needs it creates it."""
        with suppress(OSError):  # Windows keeps a file that any process has open
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            close_unshared(self._file)
            self._file = None

    def _acquire(self) -> int:
        deadline = monotonic_seconds() + self._timeout
        pause = _FIRST_PAUSE
        while (file := self._try()) is None:
            if monotonic_seconds() >= deadline:
                raise Locked(self._path.name)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return file

    def _try(self) -> int | None:
        """Return the locked file; None: another process holds it.

        If the file under the name is not the open one any more, open that one.
        """
        while True:
            if self._file is None:
                self._file = self._open()
            if not _lock(self._file):
                return None
            if identity_of(os.fstat(self._file)) == identity(self._path):
                return self._file
            self.close()  # removed or replaced since: its lock excludes no process

    def _open(self) -> int:
        with suppress(FileNotFoundError):
            return open_unshared(self._path, os.O_RDONLY)
        file = open_unshared(self._path, os.O_RDONLY | os.O_CREAT)
        share_as(self._database, file)
        return file


if sys.platform == "win32":

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
