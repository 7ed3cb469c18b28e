"""The repository of the jobs' sources, which is only read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cicd_core.errors import InvalidInput
from cicd_core.model.git import GitContext
from cicd_core.values import frozen

#: Between the fields of a commit; git's texts cannot contain it.
_BETWEEN: Final = "\0"
#: Length of a stored commit message, in characters.
_MESSAGE: Final = 8000
#: Time limit of a git command, in seconds.
_PATIENCE: Final = 120.0
#: Git does not prompt, and does not fetch.
_QUIET: Final[Mapping[str, str]] = {
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
#: The variables that set git's repository.
_OF_A_HOOK: Final = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"})


@frozen(kw_only=True)
class Commit:
    """A commit, with the values that a job has."""

    sha: str
    author: str
    subject: str
    message: str

    @property
    def short(self) -> str:
        """The first seven digits."""
        return self.sha[:7]


@frozen(kw_only=True)
class Repository:
    """A repository, its newest commits first."""

    #: The work tree, or the folder of a bare repository.
    path: Path
    #: The checked-out branch; None for a detached head.
    branch: str | None
    commits: tuple[Commit, ...]
    #: Whether the newest commit has Python files.
    has_python: bool

    @property
    def name(self) -> str:
        """Its name, in the library's form."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", self.path.name.removesuffix(".git"))
        return plain[:100] or "repository"

    def context(self, commit: Commit) -> GitContext:
        """Return the git context for a job."""
        return GitContext(
            repo=str(self.path),
            ref=self.branch,
            commit_sha=commit.sha,
            commit_message=commit.message,
            author=commit.author,
        )


def read_repository(given: Path | None, number: int) -> Repository:
    """Return the repository of a folder, with up to ``number`` of its newest commits.

    Args:
        given: the folder; None for the current folder.
        number: of commits.

    Raises:
        InvalidInput: the folder is not in a git repository, or the repository has no commit.
    """
    folder = Path.cwd() if given is None else given
    if not folder.is_dir():
        raise InvalidInput("REPO", str(folder), "there is no such folder; give a git repository")
    try:
        path = _find(folder)
    except _GitError as refused:
        why = "this folder is not in a git repository" if given is None else "it is not one"
        raise InvalidInput(
            "REPO", str(folder), f"{why}: give one, cicd-core demo REPO (git says: {refused})"
        ) from None
    try:
        _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except _GitError:
        raise InvalidInput(
            "REPO", str(path), "it has no commit; create one, or give another repository"
        ) from None
    return Repository(
        path=path,
        branch=_git(path, "branch", "--show-current") or None,
        commits=_commits(path, number),
        has_python=_has_python(path),
    )


def mirror(repository: Repository, target: Path) -> None:
    """Make a bare copy that shares objects: it has the worktrees' entries, not the source.

    Raises:
        InvalidInput: git cannot copy it.
    """
    source = str(repository.path)
    clone = ("clone", "--quiet", "--bare", "--template=", "--no-tags")
    try:
        try:
            _git(repository.path, *clone, "--shared", "--", source, str(target))
        except _GitError:  # a shallow repository cannot be shared
            _git(repository.path, *clone, "--", source, str(target))
        for commit in repository.commits:
            _git(target, "cat-file", "-e", f"{commit.sha}^{{tree}}")
    except _GitError as refused:
        raise InvalidInput("REPO", source, f"git cannot copy it: {refused}") from None


class _GitError(Exception):
    """A git command failed."""


def _find(folder: Path) -> Path:
    # Two steps, since a bare repository has no top level.
    folder = folder.absolute()
    if _git(folder, "rev-parse", "--is-inside-work-tree") == "true":
        return Path(_git(folder, "rev-parse", "--show-toplevel"))
    found = Path(_git(folder, "rev-parse", "--absolute-git-dir"))
    return found.parent if found.name == ".git" else found


def _commits(path: Path, number: int) -> tuple[Commit, ...]:
    pretty = "--format=%H%x00%an <%ae>%x00%s%x00%B%x00"
    answer = _git(
        path, "-c", "log.showSignature=false", "log", "-z", f"--max-count={number}", pretty, "HEAD"
    )
    fields = answer.split(_BETWEEN)
    # Each commit has four fields, and -z adds an empty one after each.
    groups = [fields[first : first + 4] for first in range(0, len(fields) - 3, 5)]
    return tuple(
        Commit(
            sha=sha.strip(),
            author=author[:1000],
            subject=subject,
            message=message.strip()[:_MESSAGE],
        )
        for sha, author, subject, message in groups
    )


def _has_python(path: Path) -> bool:
    names = _git(path, "ls-tree", "-r", "-z", "--name-only", "HEAD").split(_BETWEEN)
    return any(name.endswith(".py") for name in names)


def _git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command.

    Raises:
        _GitError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise _GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"no answer within {_PATIENCE:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").split()
        raise _GitError(" ".join(said) or f"exit code {done.returncode}")
    return done.stdout.decode(errors="replace").rstrip("\n")


def environment() -> dict[str, str]:
    """Return this process's environment for git, without the variables that a hook sets.

    Variables that set git's repository are removed: one of git's hooks may have started the
    program.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_A_HOOK and not name.startswith(("GIT_OBJECT_", "GIT_ALTERNATE_"))
    }
    return {**kept, **_QUIET}
