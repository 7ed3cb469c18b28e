"""Locks on files and folders of logs, held while they are open."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
        """Do nothing: Windows does not remove an open file."""

else:
    import fcntl

    def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
        """Lock a file or a folder until it is closed.

        Args:
            descriptor: the descriptor of the open file.
            shared: whether others may hold a shared lock too.
            wait: whether to wait until the lock is free.

        Raises:
            OSError: another holder has the lock, or the file system does not support locks.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
