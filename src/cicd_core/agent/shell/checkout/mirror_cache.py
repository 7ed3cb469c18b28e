"""The mirrors on an agent's machine: found, created, and removed when they need too much space.

For each key, the cache folder has:

- ``KEY-N``: a mirror; the one with the highest number counts. It gets its name when it is complete.
  If it contains a file ``damaged``, no further job uses it.
- ``KEY-N.users``: a lock that each job shares while it borrows the objects of that mirror. The
  process that removes the mirror holds it exclusively.
- ``KEY.writer``: a lock of the job that creates a mirror or fetches into it.

A lock file that no process holds has no meaning: leftovers of dead agents are removed.
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
#: Leftovers of a killed git command, below a mirror.
_LEFTOVERS: Final = (
    "*.lock",
    "refs/**/*.lock",
    "objects/pack/tmp_*",
    "objects/pack/.tmp*",
    "trees/*.new",
)


@frozen
class Mirror:
    """A mirror that is borrowed as long as its lock is held."""

    key: str
    folder: Path
    #: The descriptor of the shared lock.
    lock: int

    def mark_damaged(self) -> None:
        """Prevent other jobs from borrowing it."""
        with suppress(OSError):
            (self.folder / _DAMAGED).touch()


@frozen
class _Room:
    """The disk space of a mirror."""

    folder: Path
    size: int
    used_at: float
    damaged: bool


class MirrorCache:
    """The mirrors in one folder, shared by all agents of a user."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """Take the settings; the first mirror creates the folder."""
        self._root = root
        self._most_bytes = most_bytes
        self._recovered = False

    async def borrow(self, key: str, make: Callable[[Path], None]) -> Mirror:
        """Return the mirror of a key, created if there is none; the caller closes its lock.

        Args:
            key: 32 hexadecimal digits.
            make: fills the empty folder of a new mirror.

        Raises:
            InvalidInput: the cache folder belongs to another user, or is a link.
            OSError: the folder can't be created.
        """
        await anyio.to_thread.run_sync(self._prepare)
        while True:
            found = await anyio.to_thread.run_sync(self._ready, key)
            if found is not None:
                return found
            async with self.writing(key):
                await anyio.to_thread.run_sync(self._make, key, make)

    def writing(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the exclusive right to write to the mirrors of a key, across all processes."""
        return locked(self._root / f"{key}.writer")

    def probe(self, size: int) -> None:
        """Check that a file of ``size`` bytes can be written.

        Raises:
            InvalidInput: the cache folder belongs to another user, or is a link.
            OSError: the file can't be written.
        """
        own_folder("cache_dir", self._root)
        with TemporaryFile(dir=self._root) as file:
            file.write(bytes(size))
            file.flush()

    def trim(self) -> None:
        """Remove damaged mirrors, then the least recently used ones until the rest fits."""
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
        """Borrow and return the newest intact mirror."""
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
        """Create the next mirror of a key; the caller holds its writer lock."""
        found = self._ready(key)
        if found is not None:  # created by another job in the meantime
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
        """Remove incomplete mirrors of dead agents, and locks of git."""
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
    """Remove locks and half-written packs of killed git commands.

    The caller has the right to write to the mirror, so no live command uses them.
    """
    for pattern in _LEFTOVERS:
        for leftover in mirror.glob(pattern):
            with suppress(OSError):
                leftover.unlink()


def _users(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.users")


def _size_of(folder: Path) -> int:
    """Return the size in bytes of a folder; files that vanish meanwhile count as 0."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(path, name).lstat().st_size
    return total
