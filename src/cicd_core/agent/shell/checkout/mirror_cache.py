"""The mirrors of an agent's machine: found, made, and dropped when they take too much room.

In the cache folder, for each key:

- ``KEY-N``: a mirror, the newest one counts. It gets its name when it is complete. One that holds
  a file ``damaged`` is used by the jobs that have it, and by no others.
- ``KEY-N.users``: locked, shared, by each job that borrows the objects of that mirror, and locked
  alone by the process that drops it.
- ``KEY.writer``: locked by the job that makes a mirror or fetches into it.

A lock that no process holds means nothing: the leftovers of dead agents are removed.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.shell.file_lock import locked, try_lock
from cicd_core.agent.shell.workspace import own_folder
from cicd_core.forks import close_unshared
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractAsyncContextManager

_DAMAGED: Final = "damaged"
_NAME: Final = re.compile(r"([0-9a-f]{32})-(\d+)")
#: The leftovers of a git command that was killed, below a mirror.
_LEFTOVERS: Final = (
    "*.lock",
    "refs/**/*.lock",
    "objects/pack/tmp_*",
    "objects/pack/.tmp*",
    "trees/*.new",
)


@frozen
class Mirror:
    """A mirror that is borrowed, as long as its lock is held."""

    key: str
    folder: Path
    #: The descriptor of the shared lock.
    lock: int

    def mark_damaged(self) -> None:
        """Let no further job borrow it."""
        with suppress(OSError):
            (self.folder / _DAMAGED).touch()


@frozen
class _Room:
    """What a mirror takes."""

    folder: Path
    size: int
    used_at: float
    damaged: bool


class MirrorCache:
    """The mirrors in one folder, shared by all agents of a user."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """Describe it; the folder is made by the first mirror."""
        self._root = root
        self._most_bytes = most_bytes
        self._recovered = False

    async def borrow(self, key: str, make: Callable[[Path], None]) -> Mirror:
        """Return the mirror of a key, made if there is none; the caller closes its lock.

        Args:
            key: 32 hexadecimal digits.
            make: fills the empty folder of a new mirror.

        Raises:
            InvalidInput: the cache folder belongs to another user, or is a link.
            OSError: the folder can't be made.
        """
        await anyio.to_thread.run_sync(self._prepare)
        while True:
            found = await anyio.to_thread.run_sync(self._ready, key)
            if found is not None:
                return found
            async with self.writing(key):
                await anyio.to_thread.run_sync(self._make, key, make)

    def writing(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the right to write to the mirrors of a key, alone among all processes."""
        return locked(self._root / f"{key}.writer")

    def probe(self, size: int) -> None:
        """Check that a file of ``size`` bytes can be written.

        Raises:
            InvalidInput: the cache folder belongs to another user, or is a link.
            OSError: it can't.
        """
        own_folder("cache_dir", self._root)
        with TemporaryFile(dir=self._root) as file:
            file.write(bytes(size))
            file.flush()

    def trim(self) -> None:
        """Drop damaged mirrors, and those used longest ago, until the rest has its room."""
        self._recover()
        rooms = sorted(self._rooms(), key=lambda room: (not room.damaged, room.used_at))
        total = sum(room.size for room in rooms)
        for room in rooms:
            if (room.damaged or total > self._most_bytes) and self._drop(room.folder):
                total -= room.size

    def _prepare(self) -> None:
        own_folder("cache_dir", self._root)
        if not self._recovered:
            self._recovered = True
            self._recover()

    def _ready(self, key: str) -> Mirror | None:
        """Return the newest mirror that is in order, borrowed."""
        for number in sorted(self._generations(key), reverse=True):
            folder = self._root / f"{key}-{number}"
            lock = try_lock(_users(folder), exclusive=False)
            if lock is None:
                continue
            if folder.is_dir() and not (folder / _DAMAGED).exists():
                os.utime(lock)
                return Mirror(key, folder, lock)
            if not folder.exists():
                _users(folder).unlink(missing_ok=True)
            close_unshared(lock)
        return None

    def _make(self, key: str, make: Callable[[Path], None]) -> None:
        """Make the next mirror of a key; its writer is the caller."""
        found = self._ready(key)
        if found is not None:  # by another job, in the meantime
            close_unshared(found.lock)
            return
        number = max(self._generations(key), default=0) + 1
        folder = self._root / f"{key}-{number}"
        unfinished = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        make(unfinished)
        unfinished.rename(folder)

    def _generations(self, key: str) -> list[int]:
        return [number for name, number in self._named() if name == key]

    def _named(self) -> Iterator[tuple[str, int]]:
        for name in os.listdir(self._root):  # noqa: PTH208 - names are wanted
            found = _NAME.fullmatch(name)
            if found is not None:
                yield found[1], int(found[2])

    def _rooms(self) -> Iterator[_Room]:
        for key, number in list(self._named()):
            folder = self._root / f"{key}-{number}"
            with suppress(FileNotFoundError):
                used_at = _users(folder).stat().st_mtime if _users(folder).exists() else 0.0
                damaged = (folder / _DAMAGED).exists()
                yield _Room(folder, _size_of(folder), used_at, damaged)

    def _drop(self, folder: Path) -> bool:
        """Remove a mirror that no job borrows; return whether it is gone."""
        lock = try_lock(_users(folder), exclusive=True)
        if lock is None:
            return False
        gone = folder.with_name(f"{folder.name}.gone")
        try:
            with suppress(FileNotFoundError):
                folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            _users(folder).unlink(missing_ok=True)
        finally:
            close_unshared(lock)
        return True

    def _recover(self) -> None:
        """Remove mirrors that dead agents left half made or half dropped, and locks of git."""
        for gone in self._root.glob("*.gone"):
            shutil.rmtree(gone, ignore_errors=True)
        for key in {file.stem for file in self._root.glob("*.writer")}:
            with self._writing_now(key) as mine:
                if not mine:
                    continue
                for unfinished in self._root.glob(f"{key}-*.new"):
                    shutil.rmtree(unfinished, ignore_errors=True)
                for number in self._generations(key):
                    remove_leftovers(self._root / f"{key}-{number}")
                if not self._generations(key):
                    (self._root / f"{key}.writer").unlink(missing_ok=True)

    @contextmanager
    def _writing_now(self, key: str) -> Generator[bool]:
        """Hold the right to write to a key's mirrors, if no other process has it."""
        lock = try_lock(self._root / f"{key}.writer", exclusive=True)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                close_unshared(lock)


def remove_leftovers(mirror: Path) -> None:
    """Remove locks and half-written packs of git commands that were killed.

    The caller has the right to write to the mirror: no command of an agent that lives uses them.
    """
    for pattern in _LEFTOVERS:
        for leftover in mirror.glob(pattern):
            with suppress(OSError):
                leftover.unlink()


def _users(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.users")


def _size_of(folder: Path) -> int:
    """Return the bytes below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(path, name).lstat().st_size
    return total
