"""The writers' lock: whoever writes or checkpoints a database holds it, one process at a time.

SQLite from 3.7.0 to 3.51.2 may lose pages of a WAL when a commit that resets it races with a
checkpoint (https://sqlite.org/wal.html#walresetbug). No connection of ours checkpoints by itself,
so that with this lock around every write transaction and every checkpoint the two never meet.

It is held with every version of SQLite: processes with several versions may share a file, and to
wait for it is fairer than SQLite's own waiting, which sleeps the longer the longer it has waited.
The kernel drops the lock of a process that dies: no forked child keeps the file open (forks.py).
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

#: How long to sleep between two tries, in seconds: at first, and at most. No file lock of all
#: systems can be waited for with a timeout.
_FIRST_PAUSE: Final = 0.0001
_LONGEST_PAUSE: Final = 0.0005


class WritersLock:
    """The lock of one database, for one connection: a file beside it, made when it is wanted."""

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
            Locked: others held it for longer than the timeout.
            OSError: the file cannot be made.
        """
        file = self._acquire()
        try:
            yield
        finally:
            _unlock(file)

    def remove(self) -> None:
        """Remove the file, while the lock is held; who wants it next makes it anew."""
        with suppress(OSError):  # Windows keeps a file that somebody has open
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
        """Return the file, locked, if it is still the one that stands under the name."""
        while True:
            if self._file is None:
                self._file = self._open()
            if not _lock(self._file):
                return None
            if identity_of(os.fstat(self._file)) == identity(self._path):
                return self._file
            self.close()  # it was removed or replaced since: its lock keeps nobody out

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
