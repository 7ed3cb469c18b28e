"""Real git repositories to check out."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
#: Settings of this machine and of its user, such as the filters of git-lfs, change no repository.
WITHOUT_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *AUTHOR, *args],
        cwd=folder,
        env=os.environ | WITHOUT_SETTINGS,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "greeting.txt").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", text)
    return git(folder, "rev-parse", "HEAD")


def worktrees(folder: Path) -> list[str]:
    """The worktrees of a repository, but for its own."""
    listed = git(folder, "worktree", "list", "--porcelain").splitlines()
    return [line for line in listed if line.startswith("worktree ")][1:]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits on `main`, the first one tagged `v1`; a hook that would be noticed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    (folder / "sub").mkdir()
    (folder / "sub" / "here").touch()
    commit(folder, "hello")
    git(folder, "tag", "v1")
    commit(folder, "goodbye")
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    return folder
