"""The files of a database: created for their owner only, and checked while they are open.

SQLite keeps using the files that it opened, even if other files have their names now. If the
database was replaced (by a restore, say) or removed, commits would still succeed, but no other
process would ever see them. So each batch and each read checks the files.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput, StoreReplaced
from cicd_core.forks import undisturbed_by_forks

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: A file on this host: its device and its inode number. None: no file has that name.
Identity = tuple[int, int] | None

#: Closing a descriptor drops all locks that this process has on the file, so no thread may open a
#: database between its creation and that close.
_making: Final = threading.Lock()


class DatabaseFiles:
    """The files of one database, as one store opened them."""

    def __init__(self, path: Path, name: Path) -> None:
        """Watch the database at ``path``; ``name`` is the path that was given, perhaps a link.

        Raises:
            InvalidInput: there is no such file.
        """
        self._path = path
        #: The file that each name had when the store was opened.
        self._known = {str(item): identity(item) for item in (path, name)}
        if None in self._known.values():
            raise InvalidInput("url", str(name), f"there is no file {str(path)!r}; check the path")

    def watch_log(self) -> None:
        """Watch the write-ahead log and its index too; they exist from now on."""
        for path in (beside(self._path, "wal"), beside(self._path, "shm")):
            self._known[str(path)] = identity(path)

    def check(self) -> None:
        """Check that the open files are those that other processes see.

        Raises:
            StoreReplaced: a file was replaced or removed since the store was opened.
            OSError: a folder of the path cannot be read.
        """
        for name, known in self._known.items():
            if identity(name) != known:
                raise StoreReplaced(str(self._path), name)

    @contextmanager
    def checked(self) -> Generator[None, None, None]:
        """Check the files after the block: its work is valid only if they are still there.

        Raises:
            StoreReplaced, OSError: as :meth:`check`; they take precedence over the block's error.
        """
        try:
            yield
        finally:
            self.check()


def make(path: Path) -> None:
    """Create an empty file that only its owner may use, unless the file exists.

    Raises:
        OSError: the file cannot be created.
    """
    with undisturbed_by_forks(), _making, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def beside(database: Path, suffix: str) -> Path:
    """Return the path of a file beside a database: ``wal``, ``shm`` or ``lock``."""
    return database.with_name(f"{database.name}-{suffix}")


def share_as(database: Path, file: int) -> None:
    """Give a new file beside a database the database's mode and, as root, its owner.

    SQLite does the same. A lock file owned by root would lock out the service that owns the
    database.
    """
    if sys.platform == "win32" or not database.exists():
        return
    found = database.stat()
    with suppress(PermissionError):  # another process created it meanwhile
        os.fchmod(file, found.st_mode & 0o666)
        if os.geteuid() == 0:
            os.fchown(file, found.st_uid, found.st_gid)


def identity(path: Path | str) -> Identity:
    """Return which file has a name."""
    try:
        found = os.stat(path)  # noqa: PTH116 - around each batch: no Path for each
    except (FileNotFoundError, NotADirectoryError):
        return None
    return identity_of(found)


def identity_of(found: os.stat_result) -> Identity:
    """Return which file a result of ``stat`` describes."""
    return found.st_dev, found.st_ino
