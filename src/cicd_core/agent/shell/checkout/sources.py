"""Finds the repository of an address, and checks whether this agent may read it."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from cicd_core.agent.shell.checkout.failures import CheckoutFailed
from cicd_core.errors import InvalidInput
from cicd_core.model.git import check_repository
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE: Final = "file://"


@frozen
class Source:
    """The repository of a checkout."""

    #: The address for git: a URL, or the real path of a folder.
    address: str
    #: The folder of a repository on this machine.
    folder: Path | None = None
    #: The folder as it was named; it may be a symbolic link.
    named: str | None = None

    @property
    def protocols(self) -> str:
        """The value of ``GIT_ALLOW_PROTOCOL``."""
        return "file" if self.folder else "https:ssh:http:git"


def source_of(repo: str) -> Source:
    """Return the source of an address; a folder and its ``file://`` URL are the same.

    ``web`` may mean ``web.git``, as on a server.

    Raises:
        CheckoutFailed: the folder does not exist, or can't be read.
    """
    path = _local_path(repo)
    if path is None:
        return Source(repo)
    try:
        folder = Path(os.path.realpath(_repository(path)))
        found = folder.is_dir()
    except OSError as refused:
        raise CheckoutFailed(f"{path} cannot be read: {refused.strerror}") from refused
    if not found:
        raise CheckoutFailed(f"this agent's machine has no folder {path}")
    return Source(str(folder), folder, path)


def check_owner(source: Source, trusted: Iterable[str]) -> None:
    """Check that a repository on this machine belongs to the agent's user, or is trusted.

    Raises:
        CheckoutFailed: it belongs to another user.
    """
    folder = source.folder
    if folder is None:
        return
    if any(folder.is_relative_to(os.path.realpath(item)) for item in trusted):
        return
    for path in _owned_parts(folder):
        owner = path.lstat().st_uid
        if owner != os.geteuid():
            raise CheckoutFailed(
                f"{path} belongs to the user {owner}, not to the agent's: "
                f"trust {folder} in the agent's settings to allow it"
            )


def submodule_address(parent: Source, url: str, path: str) -> str:
    """Return the address of a submodule; a relative URL starts at the parent's address.

    Raises:
        CheckoutFailed: git must not use that address.
    """
    base = parent.named or parent.address
    address = _joined(base, url) if url.startswith(("./", "../")) else url
    try:
        check_repository("url", address)
    except InvalidInput as refused:
        raise CheckoutFailed(f"the submodule {path!r}: {refused}") from None
    if parent.folder is None and _local_path(address) is not None:
        raise CheckoutFailed(
            f"the submodule {path!r} lies in a folder of the agent's machine, its parent does not"
        )
    return address


def _local_path(repo: str) -> str | None:
    if repo[: len(_FILE)].lower() == _FILE:
        return unquote(repo[len(_FILE) :].removeprefix("localhost"))
    return repo if repo.startswith("/") else None


def _repository(path: str) -> str:
    """Return the folder that git uses for a path: it tries the same ones, in the same order."""
    for folder in (path, f"{path.rstrip('/')}.git"):
        if os.path.lexists(f"{folder}/.git") or os.path.lexists(f"{folder}/HEAD"):
            return folder
    return path


def _owned_parts(folder: Path) -> list[Path]:
    """Return the parts of a repository that must belong to one user: git checks the same ones."""
    parts = [folder]
    git_dir = folder / ".git"
    if os.path.lexists(git_dir):
        parts.append(git_dir)
    if git_dir.is_file():  # a worktree, or a submodule
        line = git_dir.read_text(encoding="utf-8", errors="surrogateescape").strip()
        target = folder / line.removeprefix("gitdir:").strip()
        parts += [target] if target.is_dir() else []
    return parts


def _joined(parent: str, url: str) -> str:
    """Return the target of a relative URL, from its parent's address."""
    if parent.startswith("/"):
        return posixpath.normpath(posixpath.join(parent, url))
    scheme, separator, rest = parent.partition("://")
    if not separator:  # host:path
        host, _, path = parent.partition(":")
        return f"{host}:{_climbed(path, url)}"
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{_climbed(path, url)}"


def _climbed(path: str, url: str) -> str:
    steps = [step for step in path.split("/") if step]
    for step in url.split("/"):
        if step == "..":
            if not steps:
                raise CheckoutFailed(f"the submodule's URL {url!r} leads above its parent's host")
            steps.pop()
        elif step not in {"", "."}:
            steps.append(step)
    root = "/" if path.startswith("/") else ""
    return root + "/".join(steps)
