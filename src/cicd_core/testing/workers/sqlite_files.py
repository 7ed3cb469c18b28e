"""Watches SQLite's changes of files: every write, sync, truncation and removal.

SQLite accesses its files through a table of functions, its VFS (https://sqlite.org/vfs.html). This
module replaces the functions in that table that change files, only in this process, by functions
that call a :class:`FileWatcher` first. So it watches the real SQLite under the real store with the
standard library alone: without a compiler, a tracer, rights to trace, or another build of SQLite.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import logging
import os
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import UnsupportedCapability

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

#: Result codes of SQLite.
OK: Final = 0
IO_ERROR: Final = 10
FULL: Final = 13

#: Flags for opening a file: it may be created; it is a journal or a write-ahead log, whose first
#: sync also syncs its folder (os_unix.c, ``UNIXFILE_DIRSYNC``).
_CREATE: Final = 0x4
_JOURNALS: Final = 0x800 | 0x4000 | 0x80000


class FileWatcher:
    """Callbacks before each change of a file; by default they allow all changes.

    Each method returns a result code of SQLite: the one of ``proceed``, which makes the change, or
    another one instead. Names are file names without their folder.
    """

    def write(self, name: str, offset: int, data: bytes, proceed: Callable[[int], int]) -> int:
        """Bytes are written; ``proceed`` takes the number of bytes to write."""
        return proceed(len(data))

    def cut(self, name: str, size: int, proceed: Callable[[], int]) -> int:
        """The file is truncated (or extended) to ``size`` bytes."""
        return proceed()

    def sync(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        """The file is synced to the disk; with ``folder``, its folder too."""
        return proceed()

    def remove(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        """The file is removed; with ``folder``, the removal is synced to the disk."""
        return proceed()

    def made(self, name: str) -> None:
        """The file was created."""


class _Vfs(Structure):
    """The first part of ``sqlite3_vfs``."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
    )


class _Methods(Structure):
    """``sqlite3_io_methods`` up to version 3."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("rest", c_void_p * 13),
    )


class _File(Structure):
    """``sqlite3_file``: the rest belongs to the VFS."""

    _fields_ = (("methods", c_void_p),)


#: The number of pointers after the first field, by version of ``sqlite3_io_methods``.
_POINTERS: Final = {1: 12, 2: 16, 3: 18}

_OPEN: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE: Final = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE: Final = CFUNCTYPE(c_int, c_void_p)
_WRITE: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE: Final = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC: Final = CFUNCTYPE(c_int, c_void_p, c_int)


def watch_files(watcher: FileWatcher) -> None:
    """Call ``watcher`` before each change of a file by SQLite, until this process ends.

    It cannot be undone: use a separate process for it, and call this once.

    Raises:
        UnsupportedCapability: this Python hides the functions of its SQLite, or the version of
            its VFS is unknown.
    """
    vfs = _Vfs.from_address(_default_vfs())
    _KEPT.append(_Patch(vfs, watcher))


#: Objects that C points to must not be garbage-collected.
_KEPT: Final[list[object]] = []


def _default_vfs() -> int:
    try:
        # The module itself or the library that it is linked to; without its own file, the module is
        # a part of the interpreter.
        find = ctypes.CDLL(getattr(_sqlite3, "__file__", None)).sqlite3_vfs_find
    except (AttributeError, OSError) as hidden:
        raise UnsupportedCapability(
            f"this Python does not show the functions of its SQLite ({hidden}), so its writes "
            f"cannot be watched: use a Python whose _sqlite3 is linked to a shared library, such "
            f"as Debian's or pyenv's"
        ) from hidden
    find.restype = c_void_p
    found = find(None)
    if not isinstance(found, int) or os.name != "posix":
        raise UnsupportedCapability("SQLite's files are watched on POSIX systems only")
    return found


class _Patch:
    """The current functions of the table, and the original ones."""

    def __init__(self, vfs: _Vfs, watcher: FileWatcher) -> None:
        self._watcher = watcher
        self._names: dict[int, str] = {}
        #: Journals that were just created, by their files' addresses.
        self._fresh: set[int] = set()
        self._tables: dict[int, _Methods] = {}
        self._kept: list[object] = []
        self._open, self._delete = _OPEN(vfs.open), _DELETE(vfs.delete)
        vfs.open = self._pointer(_OPEN, self._opened)
        vfs.delete = self._pointer(_DELETE, self._removed)

    def _pointer(self, prototype: Any, function: Callable[..., int]) -> int:
        """Return the address of a function for C; its exceptions become I/O errors of SQLite."""

        def safe(*arguments: Any) -> int:
            try:
                return function(*arguments)
            except Exception:  # noqa: BLE001 - C cannot handle any exception
                _log.exception("watching a file failed")
                return IO_ERROR

        callback = prototype(safe)
        self._kept.append(callback)
        address = cast(callback, c_void_p).value
        assert address is not None
        return address

    def _opened(self, vfs: int, name: int | None, file: int, flags: int, given: Any) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name))) if name else None
        was_there = path is not None and path.exists()
        result: int = self._open(vfs, name, file, flags, given)
        if result == OK and path is not None:
            self._names[file] = path.name
            if not was_there:
                self._watcher.made(path.name)
            if flags & _CREATE and flags & _JOURNALS:
                self._fresh.add(file)
            handle = _File.from_address(file)
            handle.methods = ctypes.addressof(self._watched(handle.methods))
        return result

    def _removed(self, vfs: int, name: bytes, folder: int) -> int:
        return self._watcher.remove(
            Path(os.fsdecode(name)).name,
            folder=bool(folder),
            proceed=lambda: self._delete(vfs, name, folder),
        )

    def _watched(self, address: int) -> _Methods:
        """Return the table of a file's functions, with the replacements."""
        if address in self._tables:
            return self._tables[address]
        version = c_int.from_address(address).value
        if version not in _POINTERS:
            raise UnsupportedCapability(f"version {version} of sqlite3_io_methods is unknown")
        methods = _Methods()
        size = _Methods.close.offset + _POINTERS[version] * ctypes.sizeof(c_void_p)
        ctypes.memmove(ctypes.addressof(methods), address, size)
        methods.close = self._pointer(_CLOSE, self._closing(_CLOSE(methods.close)))
        methods.write = self._pointer(_WRITE, self._writing(_WRITE(methods.write)))
        methods.truncate = self._pointer(_TRUNCATE, self._cutting(_TRUNCATE(methods.truncate)))
        methods.sync = self._pointer(_SYNC, self._syncing(_SYNC(methods.sync)))
        self._tables[address] = methods
        return methods

    def _closing(self, original: Callable[..., int]) -> Callable[..., int]:
        def close(file: int) -> int:
            self._names.pop(file, None)
            self._fresh.discard(file)
            return original(file)

        return close

    def _writing(self, original: Callable[..., int]) -> Callable[..., int]:
        def write(file: int, buffer: int, amount: int, offset: int) -> int:
            return self._watcher.write(
                self._names[file],
                offset,
                ctypes.string_at(buffer, amount),
                lambda number: original(file, buffer, number, offset),
            )

        return write

    def _cutting(self, original: Callable[..., int]) -> Callable[..., int]:
        def truncate(file: int, size: int) -> int:
            return self._watcher.cut(self._names[file], size, lambda: original(file, size))

        return truncate

    def _syncing(self, original: Callable[..., int]) -> Callable[..., int]:
        def sync(file: int, flags: int) -> int:
            fresh = file in self._fresh
            self._fresh.discard(file)
            return self._watcher.sync(
                self._names[file], folder=fresh, proceed=lambda: original(file, flags)
            )

        return sync
