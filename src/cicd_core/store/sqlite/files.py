"""The files of a database: made for their owner alone, and watched while they are open.

SQLite goes on with the files that it opened, whatever stands under their names since. A process
whose database was replaced (by a restore, say) or removed would have its commits answered, and no
other process would ever see them. So the files are looked at around each batch and each read.
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

#: A file on this host: its device and its number there. None: there is none under that name.
Identity = tuple[int, int] | None

#: To close a descriptor drops all locks that this process has on the file: nobody may open a
#: database between the making of it and the close.
_making: Final = threading.Lock()


class DatabaseFiles:
    """The files of one database, as one store opened them."""

    def __init__(self, path: Path, name: Path) -> None:
        """Watch the database at ``path``, which was asked for by ``name``: a link to it, perhaps.

        Raises:
            InvalidInput: there is no such file.
        """
        self._path = path
        #: Under each name the file that it had when the store was opened.
        self._known = {str(item): identity(item) for item in (path, name)}
        if None in self._known.values():
            raise InvalidInput("url", str(name), f"there is no file {str(path)!r}; check the path")

    def watch_log(self) -> None:
        """Watch the write-ahead log and its index too, which are there from now on."""
        for path in (beside(self._path, "wal"), beside(self._path, "shm")):
            self._known[str(path)] = identity(path)

    def check(self) -> None:
        """Refuse to go on with files that others don't see.

        Raises:
            StoreReplaced: a file was replaced or removed since the store was opened.
            OSError: a folder on the way can't be looked into.
        """
        for name, known in self._known.items():
            if identity(name) != known:
                raise StoreReplaced(str(self._path), name)

    @contextmanager
    def checked(self) -> Generator[None, None, None]:
        """Check the files after the block: what it did counts only if they are still there.

        Raises:
            StoreReplaced, OSError: as :meth:`check`; this takes precedence over the block's error.
        """
        try:
            yield
        finally:
            self.check()


def make(path: Path) -> None:
    """Make an empty file that its owner alone may use, unless there is a file.

    Raises:
        OSError: it can't be made.
    """
    with undisturbed_by_forks(), _making, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def beside(database: Path, suffix: str) -> Path:
    """Return the path of a file beside a database: ``wal``, ``shm`` or ``lock``."""
    return database.with_name(f"{database.name}-{suffix}")


def share_as(database: Path, file: int) -> None:
    """Give a new file beside a database its mode, and its owner if this is root, as SQLite does.

    A lock file of root's own would keep out the service that the database belongs to.
    """
    if sys.platform == "win32" or not database.exists():
        return
    found = database.stat()
    with suppress(PermissionError):  # another process made it meanwhile
        os.fchmod(file, found.st_mode & 0o666)
        if os.geteuid() == 0:
            os.fchown(file, found.st_uid, found.st_gid)


def identity(path: Path | str) -> Identity:
    """Return which file stands under a name."""
    try:
        found = os.stat(path)  # noqa: PTH116 - around each batch: no Path for each
    except (FileNotFoundError, NotADirectoryError):
        return None
    return identity_of(found)


def identity_of(found: os.stat_result) -> Identity:
    """Return which file a result of ``stat`` tells of."""
    return found.st_dev, found.st_ino
