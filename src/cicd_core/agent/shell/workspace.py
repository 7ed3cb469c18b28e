"""Folders to work in, one a job, and what is done with those that a dead agent left behind.

A workspace is a folder and a lock file beside it, which its agent keeps locked while it lives. A
lock that can be taken belongs to nobody: its folder is removed. POSIX only.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.agent.shell.environment import git_environment
from cicd_core.errors import InvalidInput
from cicd_core.forks import close_unshared, open_unshared

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("cicd_core.agent")


def default_root() -> Path:
    """Return the folder that this user's workspaces are in, unless the program names another."""
    return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}"


class Workspace:
    """One job's folder. Its methods block: call them in a thread."""

    def __init__(self, folder: Path, lock: int) -> None:
        """Made by :func:`open_workspace`."""
        self.folder = folder
        #: Where the job works: it does not exist yet.
        self.tree = folder / "tree"
        self._lock = lock

    def belongs_to(self, repo: Path) -> None:
        """Remember whose worktree it is, so that whoever finds it left behind can tell git."""
        os.pwrite(self._lock, os.fsencode(repo), 0)

    def remove(self) -> None:
        """Remove the folder, the worktree and the lock; what resists is logged and left."""
        repo = os.fsdecode(os.pread(self._lock, 4096, 0))
        _remove_tree(self.folder)
        if repo:
            _forget_worktree(repo, self.tree)
        _lock_file(self.folder).unlink(missing_ok=True)
        close_unshared(self._lock)


def open_workspace(root: Path, name: str) -> Workspace:
    """Make a folder below ``root``, and remove what dead agents left there.

    Args:
        root: belongs to this user; it is made when it is missing.
        name: of the new folder; nobody else may have it.

    Raises:
        InvalidInput: the root belongs to another user, or is a link.
        OSError: the folder can't be made.
    """
    _own(root)
    for stale in _stale(root):
        _log.info("removing %s, which a dead agent left behind", stale.folder)
        stale.remove()
    folder = root.resolve() / name
    # It gets its name when it is locked, so that nobody takes it for left behind before.
    nameless = folder.with_name(f"{name}.new")
    lock = open_unshared(nameless, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    fcntl.flock(lock, fcntl.LOCK_EX)
    nameless.rename(_lock_file(folder))
    workspace = Workspace(folder, lock)
    try:
        folder.mkdir(mode=0o700)
    except OSError:
        workspace.remove()
        raise
    return workspace


def _own(root: Path) -> None:
    """Make the root, or see that it is ours: it may lie in a folder that all may write to."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InvalidInput("work_dir", str(root), "give a folder that belongs to the agent's user")


def _stale(root: Path) -> Iterator[Workspace]:
    for file in sorted(root.resolve().glob("*.lock")):
        with contextlib.suppress(FileNotFoundError):
            lock = _locked(file)
            if lock is not None:
                yield Workspace(file.with_suffix(""), lock)


def _forget_worktree(repo: str, tree: Path) -> None:
    """Let git forget a worktree whose folder is gone."""
    told = subprocess.run(
        ["git", "-C", repo, "worktree", "remove", "--force", "--force", str(tree)],
        env=git_environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if told.returncode:  # most often the checkout failed before there was one
        _log.info("git did not forget %s: %s", tree, told.stderr.decode(errors="replace"))


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _locked(file: Path) -> int | None:
    """Lock a lock file that is there; None if somebody else has it, or has just removed it."""
    lock = open_unshared(file, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            return lock
    except BlockingIOError:
        pass
    close_unshared(lock)
    return None


def _remove_tree(folder: Path) -> None:
    """Remove a folder, also where a job has taken the permission to write away."""
    if not folder.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                os.chmod(path, 0o700)  # noqa: PTH101 - os.walk gives strings
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _log.warning("%s can't be removed and is left there", folder)
