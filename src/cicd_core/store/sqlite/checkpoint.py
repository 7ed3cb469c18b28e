"""When the write-ahead log is copied into the database, and how it is kept short.

A complete checkpoint lets the next writer begin at the log's start again, over blocks that the
file has already, which makes its syncs cheaper than those of a file that grows. So the file is
left as long as it was, and a checkpoint is due when it has grown past that. It creeps up by a batch
each time; at :data:`LONGEST` it is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.store.sqlite.files import beside

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

#: The size in bytes of the write-ahead log at which it is checkpointed first.
FIRST: Final = 4 * 1024 * 1024
#: The size in bytes at which its file is cut.
LONGEST: Final = 32 * 1024 * 1024
#: How long to wait for readers when the file is to be cut, in milliseconds.
_PATIENCE: Final = 50


class Checkpoints:
    """The checkpoints of one writing connection. All is done under the writers' lock."""

    def __init__(
        self, database: Path, busy_timeout: float, *, first: int = FIRST, longest: int = LONGEST
    ) -> None:
        """Say which database; ``busy_timeout`` is in seconds, the sizes are in bytes."""
        self._wal = beside(database, "wal")
        self._busy_timeout = round(busy_timeout * 1000)
        self._first = first
        self._longest = longest
        self._mark = first

    def is_due(self) -> bool:
        """Whether the log has grown since the last checkpoint."""
        return self._size() > self._mark

    def run(self, connection: sqlite3.Connection) -> None:
        """Copy what can be copied, without waiting for readers unless the file is too long."""
        size = self._size()
        self._mark = size + self._first  # also if this fails
        if size > self._longest:
            connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
            if not busy:
                self._mark = self._first
        else:
            _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            # Somebody who reads an old snapshot keeps the rest in the log: let it grow.
            if frames == copied:
                self._mark = size

    def _size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0
