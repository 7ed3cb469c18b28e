"""The writers' lock: whoever writes or checkpoints a database holds it, one process at a time.

SQLite from 3.7.0 to 3.51.2 may lose pages of a WAL when a commit that resets it races with a
checkpoint (https://sqlite.org/wal.html#walresetbug). No connection of ours checkpoints by itself,
so that with this lock around every write transaction and every checkpoint the two never meet. It is
held for every version of SQLite, since processes with several versions may share a file, and since
a queue for it is fairer than SQLite's own waiting, which sleeps longer the longer it waits.

There are two files. Who wants to write holds the turnstile (``-turn``) while waiting for the lock
(``-lock``), and gives it back when the lock is theirs: so a process that writes all the time has to
queue behind one that waits. The kernel drops the locks of a process that dies.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.store.sqlite.failures import Locked

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: How long to sleep between two tries, in seconds: at first, and at most.
_FIRST_PAUSE: Final = 0.0001
_LONGEST_PAUSE: Final = 0.002


class FileLock:
    """An exclusive lock on a file, made when it is first wanted."""

    def __init__(self, path: Path) -> None:
        """Say which file."""
        self._path = path
        self._file: int | None = None

    def acquire(self, deadline: float) -> None:
        """Wait for the lock until ``deadline`` on the monotonic clock.

        Raises:
            Locked: somebody else had it all the time.
        """
        pause = _FIRST_PAUSE
        while not self._try():
            if monotonic_seconds() >= deadline:
                raise Locked(self._path.name)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def release(self) -> None:
        """Give the lock to whoever comes first."""
        if self._file is not None:
            _unlock(self._file)

    def remove(self) -> None:
        """Remove the file; only who holds the lock may. Another process makes it anew."""
        with suppress(OSError):  # Windows keeps a file that somebody has open
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and with it give back the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try(self) -> bool:
        """Whether the lock is ours now, on the file that stands under the name."""
        while True:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o666)
            if not _lock(self._file):
                return False
            if os.fstat(self._file).st_nlink:
                return True
            self.close()  # it was removed while we waited: its lock keeps nobody out


class WritersLock:
    """The turnstile and the lock of one database, for one connection."""

    def __init__(self, database: Path, timeout: float) -> None:
        """Wait for at most ``timeout`` seconds each time."""
        self._turnstile = FileLock(database.with_name(f"{database.name}-turn"))
        self._lock = FileLock(database.with_name(f"{database.name}-lock"))
        self._timeout = timeout

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in the block.

        Raises:
            Locked: other processes held it for longer than the timeout.
            OSError: the files cannot be made.
        """
        deadline = monotonic_seconds() + self._timeout
        self._turnstile.acquire(deadline)
        try:
            self._lock.acquire(deadline)
        finally:
            self._turnstile.release()
        try:
            yield
        finally:
            self._lock.release()

    def remove(self) -> None:
        """Remove the files, while the lock is held."""
        self._turnstile.remove()
        self._lock.remove()

    def close(self) -> None:
        """Close the files."""
        self._turnstile.close()
        self._lock.close()


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
