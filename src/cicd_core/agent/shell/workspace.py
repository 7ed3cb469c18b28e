"""Working folders, one per job, and the removal of those that dead agents left behind.

A workspace is a folder and a lock file beside it, which the agent keeps locked while it lives. If
the lock is free, the agent is dead, and the folder is removed. POSIX only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cicd_core.agent.shell.file_lock import try_lock
from cicd_core.errors import InvalidInput
from cicd_core.forks import close_unshared

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("cicd_core.agent")

#: How long to wait before another try to get a lock that is held only for a moment, in seconds.
_LOOK_SECONDS: Final = 0.001


def default_root() -> Path:
    """Return the default folder for this user's workspaces."""
    return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}"


class Workspace:
    """One job's folder. Its methods block: call them in a thread."""

    def __init__(self, folder: Path, lock: int) -> None:
        """:func:`open_workspace` creates it."""
        self.folder = folder
        #: The folder in which the job works; it does not exist yet.
        self.tree = folder / "tree"
        self._lock = lock
        self._kept: list[int] = []

    def keep(self, lock: int) -> None:
        """Hold the lock of the mirror that the tree borrows from, until the folder is removed."""
        self._kept.append(lock)

    def remove(self) -> None:
        """Remove the folder and its locks; a later job removes files that can't be removed now."""
        try:
            if _remove_tree(self.folder):
                _lock_file(self.folder).unlink(missing_ok=True)
        finally:
            for lock in (*self._kept, self._lock):
                close_unshared(lock)
            self._kept.clear()


def open_workspace(root: Path, name: str) -> Workspace:
    """Create a folder below ``root``, and remove folders that dead agents left there.

    Args:
        root: a folder of this user; it is created if it is missing.
        name: the name of the new folder; it must be unique.

    Raises:
        InvalidInput: the root belongs to another user, or is a link.
        OSError: the folder can't be created.
    """
    own_folder("work_dir", root)
    for stale in _stale(root):
        _log.info("removing %s, which an agent that crashed left behind", stale.folder)
        stale.remove()
    _remove_nameless(root)
    folder = root.resolve() / name
    # It gets its name only when it is locked: before that, it would look like a leftover.
    nameless = folder.with_name(f"{name}.new")
    while (lock := try_lock(nameless, exclusive=True)) is None:
        time.sleep(_LOOK_SECONDS)  # another job checks whether its agent is dead
    nameless.rename(_lock_file(folder))
    workspace = Workspace(folder, lock)
    try:
        folder.mkdir(mode=0o700)
    except OSError:
        workspace.remove()
        raise
    return workspace


def own_folder(field: str, folder: Path) -> None:
    """Create a folder, or check that it is ours: its parent may be writable by all users.

    Raises:
        InvalidInput: it belongs to another user, or is a link; the error names ``field``.
        OSError: it can't be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InvalidInput(field, str(folder), "give a folder that belongs to the agent's user")


def _stale(root: Path) -> Iterator[Workspace]:
    for file in sorted(root.resolve().glob("*.lock")):
        lock = try_lock(file, exclusive=True)
        if lock is not None:
            yield Workspace(file.with_suffix(""), lock)


def _remove_nameless(root: Path) -> None:
    """Remove lock files whose agent died before it created the workspace."""
    for file in root.resolve().glob("*.new"):
        lock = try_lock(file, exclusive=True)
        if lock is not None:
            file.unlink(missing_ok=True)
            close_unshared(lock)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_tree(folder: Path) -> bool:
    """Remove a folder, even if a job has removed the write permissions.

    Returns:
        Whether it is gone.
    """
    if not folder.exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                os.chmod(path, 0o700)  # noqa: PTH101 - os.walk gives strings
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _log.warning("%s cannot be removed now: a later job tries again", folder)
        return False
    return True
