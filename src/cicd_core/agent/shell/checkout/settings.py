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
    """Return the member of an enum that a text means."""
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

    #: Where mirrors of repositories are kept, for all agents of this user;
    #: ``cicd-core/repositories`` in the user's cache folder when left out.
    cache_dir: Path | None = field(default=None, converter=_path, validator=_is_folder)
    #: The most bytes that the mirrors take together; those used longest ago go first.
    cache_bytes: int = 10 * _GIBIBYTE
    #: The longest that one git command may take, in seconds.
    timeout_seconds: float = 1800.0
    #: The most bytes of one checkout, and of one file or pack that git writes.
    max_bytes: int = 10 * _GIBIBYTE
    #: The options of jobs that leave them out, see :class:`~cicd_core.model.git.GitContext`.
    depth: int = 0
    filter: ObjectFilter = field(default=ObjectFilter.NONE, converter=_filter)
    submodules: Submodules = field(default=Submodules.OFF, converter=_submodules)
    lfs: bool = False
    #: A configuration file for git, of the operator: credential helpers, proxies, ``insteadOf``.
    #: The file that ``GIT_CONFIG_GLOBAL`` names in the agent's environment when left out.
    git_config: Path | None = field(default=None, converter=_path, validator=_is_file)
    #: The private key for ssh (a deploy key); ssh then uses no other, and no configuration file.
    ssh_key: Path | None = field(default=None, converter=_path, validator=_is_file)
    #: Folders whose repositories may belong to other users, with all below them.
    trusted_repositories: tuple[str, ...] = field(default=(), converter=_folders)
    #: Whether a checkout may hold symbolic links that lead out of it.
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
        """Return what to check out: the job's options, and the agent's where it has none."""
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
    """Return where programs keep what they can make again (XDG Base Directory Specification).

    A user without a home, or with one that can't be written, has the temporary folder.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):  # no home
        root = Path(given) if given.startswith("/") else Path.home() / ".cache"
        if _may_be_made(root):
            return root / "cicd-core"
    return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}-cache"


def _may_be_made(folder: Path) -> bool:
    """Return whether this user can write to a folder, or make it."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK)
