"""Checkpoints: when the write-ahead log is copied into the database, and how it is kept short.

After a complete checkpoint the next writer starts at the beginning of the log again and overwrites
blocks that the file already has; their syncs are cheaper than those of a growing file. So the file
keeps its length, and the next checkpoint is due when the file has grown past it. The file grows by
about one batch each time; at :data:`LONGEST` it is truncated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.store.sqlite.files import beside

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

#: The size of the write-ahead log at its first checkpoint, in bytes.
FIRST: Final = 4 * 1024 * 1024
#: The size at which its file is truncated, in bytes.
LONGEST: Final = 32 * 1024 * 1024
#: How long to wait for readers before truncating the file, in milliseconds.
_PATIENCE: Final = 50


class Checkpoints:
    """The checkpoints of one writing connection. All of them run under the writers' lock."""

    def __init__(
        self, database: Path, busy_timeout: float, *, first: int = FIRST, longest: int = LONGEST
    ) -> None:
        """Set the database; ``busy_timeout`` is in seconds, the sizes are in bytes."""
        self._wal = beside(database, "wal")
        self._busy_timeout = round(busy_timeout * 1000)
        self._first = first
        self._longest = longest
        self._mark = first

    def is_due(self) -> bool:
        """Whether the log has grown since the last checkpoint."""
        return self._size() > self._mark

    def run(self, connection: sqlite3.Connection) -> None:
        """Copy as much as possible; wait for readers only if the file is too long."""
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
            # A reader of an old snapshot keeps the rest in the log: let it grow.
            if frames == copied:
                self._mark = size

    def _size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0
