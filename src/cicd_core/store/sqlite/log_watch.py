"""Whether another process may have committed, judged by the write-ahead log's file alone.

A commit writes to the log before any reader sees it. So while that file has not changed for some
time, there is no need to ask SQLite. A check of the file is one system call, without a statement
and without a thread.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from cicd_core.store.sqlite.files import beside

if TYPE_CHECKING:
    from pathlib import Path

#: How long after a change SQLite is asked in any case, in seconds: at each look while the change
#: is fresh, then less often until it has settled, and once at the end. A commit becomes visible
#: only when its sync of the disk is done, and two commits within one tick of the file system's
#: clock (two seconds at most) leave the same trace.
FRESH: Final = 0.25
SETTLING: Final = 2.5
#: How long SQLite is asked while a change has not led to a visible commit, in seconds: the sync of
#: a slow disk may take so long. Truncating the file also changes it, without a commit.
UNANSWERED: Final = 60.0
#: How often SQLite is asked about a change that is neither fresh nor settled, in seconds.
_PAUSE: Final = 0.2
#: Windows may report a write only when the file is closed.
_TELLS: Final = sys.platform != "win32"


class LogWatch:
    """The write-ahead log of one database, as one event loop sees it."""

    def __init__(self, database: Path) -> None:
        """Begin with nothing seen: the first look reports a change."""
        self._path = str(beside(database, "wal"))
        self._seen: tuple[int, int, int] | None = None
        self._changed_at = 0.0
        self._asked_at = 0.0
        self._is_answered = False

    def saw_commit(self) -> None:
        """Note that SQLite, when asked, reported a commit."""
        self._is_answered = True

    def may_have_changed(self, now: float) -> bool:
        """Return whether there may be a new commit since the last look.

        Args:
            now: seconds on this process's clock.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116 - forty times a second: no Path for each
        except OSError:
            return True  # the next read raises the error
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._seen, self._changed_at, self._is_answered = seen, now, False
        is_fresh = now - self._changed_at < FRESH
        # Compare with the last question, not with now: a blocked event loop has asked nothing.
        longest = SETTLING if self._is_answered else UNANSWERED
        has_settled = self._asked_at - self._changed_at >= longest
        asks = is_fresh or (not has_settled and now - self._asked_at >= _PAUSE)
        if asks:
            self._asked_at = now
        return asks or not _TELLS
