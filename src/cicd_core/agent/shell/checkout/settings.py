"""The settings of an agent's checkouts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.model.git import MAX_DEPTH, GitContext, ObjectFilter, Submodules
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from enum import Enum

    from attrs import Attribute

_GIBIBYTE: Final = 1024**3
_MOST: Final = 2**62


def _path(value: Any) -> Any:
    return Path(value).absolute() if isinstance(value, str | Path) else value


def _filter(value: Any) -> Any:
    return _member("filter", value, ObjectFilter)


def _submodules(value: Any) -> Any:
    return _member("submodules", value, Submodules)


def _member(name: str, value: Any, kind: type[Enum]) -> Any:
    """Return the enum member that a text means."""
    try:
        return kind(value)
    except ValueError:
        choices = [item.value for item in kind]
        raise InvalidInput(name, value, f"give one of {choices}") from None


def _folders(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidInput("trusted_repositories", value, "give a list of folders")
    folders: list[str] = []
    for folder in cast("Iterable[object]", value):
        if not isinstance(folder, str) or not folder:
            raise InvalidInput("trusted_repositories", folder, "give the paths of folders")
        folders.append(str(Path(folder).absolute()))
    return tuple(folders)


def _is_file(_instance: object, attribute: Attribute[Any], value: Path | None) -> None:
    if value is not None and not (isinstance(value, Path) and value.is_file()):
        raise InvalidInput(attribute.name, str(value), "give an existing file")


def _is_folder(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, Path) or "\n" in str(value)):
        raise InvalidInput(attribute.name, value, "give a folder")


@frozen(kw_only=True)
class CheckoutSettings:
    """How an agent gets the sources of its jobs.

    Raises:
        InvalidInput: a field is wrong; the error names it.
    """

    #: The folder for mirrors of repositories, shared by all agents of this user; the default is
    #: ``cicd-core/repositories`` in the user's cache folder.
    cache_dir: Path | None = field(default=None, converter=_path, validator=_is_folder)
    #: Maximum size of all mirrors in bytes; the least recently used ones are removed first.
    cache_bytes: int = 10 * _GIBIBYTE
    #: Maximum time of one git command, in seconds.
    timeout_seconds: float = 1800.0
    #: Maximum size of one checkout, and of one file or pack that git writes, in bytes.
    max_bytes: int = 10 * _GIBIBYTE
    #: Defaults for options that jobs leave out, see :class:`~cicd_core.model.git.GitContext`.
    depth: int = 0
    filter: ObjectFilter = field(default=ObjectFilter.NONE, converter=_filter)
    submodules: Submodules = field(default=Submodules.OFF, converter=_submodules)
    lfs: bool = False
    #: The operator's configuration file for git: credential helpers, proxies, ``insteadOf``. The
    #: default is the file that ``GIT_CONFIG_GLOBAL`` names in the agent's environment.
    git_config: Path | None = field(default=None, converter=_path, validator=_is_file)
    #: The private key for ssh (a deploy key); ssh then uses no other key and no configuration file.
    ssh_key: Path | None = field(default=None, converter=_path, validator=_is_file)
    #: Folders whose repositories, at any depth, may belong to other users.
    trusted_repositories: tuple[str, ...] = field(default=(), converter=_folders)
    #: Whether a checkout may contain symbolic links that lead out of it.
    outside_links: bool = False

    def __attrs_post_init__(self) -> None:
        check_integer("cache_bytes", self.cache_bytes, least=0, most=_MOST)
        check_integer("max_bytes", self.max_bytes, least=1, most=_MOST)
        check_seconds("timeout_seconds", self.timeout_seconds, least=0.001)
        check_integer("depth", self.depth, least=0, most=MAX_DEPTH)
        for name in ("lfs", "outside_links"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(name, getattr(self, name), "give True or False")

    @property
    def folder(self) -> Path:
        """The folder of the mirrors."""
        return self.cache_dir or _cache_folder() / "repositories"

    def applied(self, git: GitContext) -> Wanted:
        """Return what to check out: the job's options, and the agent's defaults for the others."""
        return Wanted(
            git=git,
            depth=self.depth if git.depth is None else git.depth,
            filter=git.filter or self.filter,
            sparse_paths=git.sparse_paths,
            submodules=git.submodules or self.submodules,
            lfs=self.lfs if git.lfs is None else git.lfs,
        )


@frozen(kw_only=True)
class Wanted:
    """A request with all of its options settled."""

    git: GitContext
    depth: int
    filter: ObjectFilter
    sparse_paths: tuple[str, ...]
    submodules: Submodules
    lfs: bool

    def for_submodule(self, git: GitContext) -> Wanted:
        """Return the request for a submodule of this one."""
        shallow = self.submodules is Submodules.SHALLOW
        return evolve(
            self,
            git=git,
            depth=1 if shallow else 0,
            sparse_paths=(),
            submodules=Submodules.OFF if shallow else self.submodules,
        )


def _cache_folder() -> Path:
    """Return the user's cache folder (XDG Base Directory Specification).

    A user without a writable home gets the temporary folder.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):  # no home
        root = Path(given) if given.startswith("/") else Path.home() / ".cache"
        if _may_be_made(root):
            return root / "cicd-core"
    return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}-cache"


def _may_be_made(folder: Path) -> bool:
    """Return whether this user can write to a folder, or create it."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK)
