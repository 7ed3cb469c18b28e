"""Locks on files and folders of logs, for as long as they are open."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
        """Do nothing: an open file can't be removed there."""

else:
    import fcntl

    def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
        """Lock a file or a folder until it is closed.

        Args:
            descriptor: of the open file.
            shared: whether others may have such a lock too.
            wait: whether to wait for those that have it.

        Raises:
            OSError: another one has the lock, or the file system has none.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
