"""Locks of files that all agents of a machine share.

A lock belongs to an open file: it ends with its process, even if that is killed. POSIX only.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.forks import close_unshared, open_unshared

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

#: The first wait between two tries to get a lock that another process holds, in seconds.
_FIRST_WAIT: Final = 0.01
_LONGEST_WAIT: Final = 0.25


def try_lock(path: Path, *, exclusive: bool) -> int | None:
    """Lock a file and return its descriptor; None if others hold it. A missing file is created.

    Raises:
        OSError: the file can't be opened.
    """
    while True:
        lock = open_unshared(path, os.O_RDWR | os.O_CREAT)
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            close_unshared(lock)
            return None
        except BaseException:
            close_unshared(lock)
            raise
        if os.fstat(lock).st_nlink:
            return lock
        close_unshared(lock)  # its holder has removed the file in the meantime


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Hold a file's exclusive lock, across all processes and tasks; wait until it is free.

    Raises:
        OSError: the file can't be opened.
    """
    wait = _FIRST_WAIT
    while (lock := try_lock(path, exclusive=True)) is None:
        await anyio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
    try:
        yield
    finally:
        close_unshared(lock)
