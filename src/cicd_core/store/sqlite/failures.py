"""The translation of errors from SQLite and the file system to those of this library."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING, Final

from cicd_core.errors import (
    CicdError,
    CorruptRecord,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreReplaced,
    StoreUnavailable,
    UnrecognizedDatabase,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The low byte of an extended result code (https://sqlite.org/rescode.html) is the primary one.
_PRIMARY: Final = 0xFF
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Locked(Exception):
    """Another process held the writers' lock for too long. Internal to this package."""


def is_of_the_engine(cause: Exception) -> bool:
    """Whether a batch failed for a reason that is independent of its requests."""
    if isinstance(cause, sqlite3.Error):
        return _primary_code(cause) in _OF_THE_ENGINE
    return isinstance(cause, Locked | OSError | StoreReplaced)


def closed(path: Path) -> StoreClosed:
    """Return the error of a call to a store that was closed."""
    return StoreClosed(f"the store on {str(path)!r} is closed: open it again; nothing was written")


def abandoned(path: Path) -> StoreUnavailable:
    """Return the error of a call whose event loop was shut down before it ended."""
    return StoreUnavailable(
        f"the event loop of the store on {str(path)!r} was shut down during the call: whether it "
        f"took effect is unknown; repeat it with the same id"
    )


def translated(cause: BaseException, path: Path, busy_timeout: float) -> BaseException:
    """Return the library's error for ``cause``, with ``cause`` as its cause.

    An error of this library, a cancellation, or any other exception that no driver raised is
    returned unchanged.
    """
    error: BaseException
    if isinstance(cause, CicdError):
        return cause
    if isinstance(cause, Locked):
        error = _locked(path, busy_timeout)
    elif isinstance(cause, sqlite3.Error):
        error = _of_sqlite(cause, path, busy_timeout)
    elif isinstance(cause, OSError):
        error = _of_system(cause, path)
    else:
        return cause
    error.__cause__ = cause
    return error


def _of_sqlite(cause: sqlite3.Error, path: Path, busy_timeout: float) -> StoreError:
    code = _primary_code(cause)
    if code in _BUSY:
        return _locked(path, busy_timeout)
    if code == sqlite3.SQLITE_CORRUPT or "Could not decode to UTF-8" in str(cause):
        return CorruptRecord("database", str(path), str(cause))
    return _MEANINGS.get(code, _refused)(path, cause)


def _primary_code(cause: sqlite3.Error) -> int:
    """Return the primary result code; 0: the error is the driver's own."""
    return int(getattr(cause, "sqlite_errorcode", 0)) & _PRIMARY


def _of_system(cause: OSError, path: Path) -> StoreError:
    if cause.errno in _NO_RIGHT:
        return _read_only(path, cause)
    if cause.errno in _NO_ROOM:
        return _full(path, cause)
    return StoreUnavailable(
        f"the files beside {str(path)!r} cannot be used ({cause}); nothing was written"
    )


def _locked(path: Path, busy_timeout: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"another process has locked {str(path)!r} for longer than busy_timeout "
        f"({busy_timeout:g} s): nothing was written; try again, end the process that holds the "
        f"lock, or set a longer busy_timeout in the URL"
    )


def _full(path: Path, cause: Exception) -> StoreFull:
    return StoreFull(
        f"no space left for {str(path)!r} ({cause}): nothing was written; free space on its disk"
    )


def _no_database(path: Path, _: Exception) -> UnrecognizedDatabase:
    return UnrecognizedDatabase(
        f"{str(path)!r} is not a SQLite database; it was not changed; choose another path"
    )


def _unusable(path: Path, cause: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"SQLite could not use {str(path)!r} ({cause}): whether the call took effect is unknown; "
        f"check the disk, then repeat the call with the same id"
    )


def _refused(path: Path, cause: Exception) -> StoreError:
    return StoreError(f"SQLite refused the operation on {str(path)!r}: {cause}")


def _read_only(path: Path, cause: Exception) -> StoreReadOnly:
    return StoreReadOnly(
        f"{str(path)!r} cannot be written ({cause}): nothing was written; make the file and its "
        f"folder writable"
    )


_MEANINGS: Final[dict[int, Callable[[Path, Exception], StoreError]]] = {
    sqlite3.SQLITE_ABORT: _unusable,
    sqlite3.SQLITE_CANTOPEN: _unusable,
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_INTERRUPT: _unusable,
    sqlite3.SQLITE_IOERR: _unusable,
    sqlite3.SQLITE_NOMEM: _unusable,
    sqlite3.SQLITE_NOTADB: _no_database,
    sqlite3.SQLITE_PERM: _read_only,
    sqlite3.SQLITE_PROTOCOL: _unusable,
    sqlite3.SQLITE_READONLY: _read_only,
    sqlite3.SQLITE_SCHEMA: _unusable,
}
#: Conditions of the file or the machine, in which any other request would fail too.
_OF_THE_ENGINE: Final = (*_BUSY, *_MEANINGS)
