"""Where work comes from: a repository, a ref, a commit, and how much of them a job wants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Final, TypeVar, cast

from attrs import evolve, frozen
from attrs import fields as attrs_fields

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import check_integer, check_kind, check_text
from cicd_core.redaction import redacted_url

Choice = TypeVar("Choice", bound=Enum)

#: The most folders of a sparse checkout.
MAX_SPARSE_PATHS: Final = 256
#: The most commits of a history that is cut.
MAX_DEPTH: Final = 1_000_000

_COMMIT: Final = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES: Final = ("https", "ssh", "http", "git", "file")
#: ``ext::sh -c …``: git runs what follows.
_TRANSPORT: Final = re.compile(r"[A-Za-z0-9+._-]*::")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: ``git@example.org:team/web.git``.
_SCP: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*@)?[A-Za-z0-9][\w.-]*:[^:].*", re.ASCII)
_SSH_USER: Final = re.compile(r"[A-Za-z0-9][\w.-]*@", re.ASCII)
#: What no ref may hold (git-check-ref-format).
_NOT_IN_A_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_NOT_IN_A_FOLDER: Final = re.compile(r"[\x00-\x1f\x7f*?\[\]\\!]")


class Submodules(StrEnum):
    """Which submodules a checkout has."""

    OFF = "off"
    #: Those of the repository itself, each with its one commit and no history.
    SHALLOW = "shallow"
    #: Those of the repository and of its submodules, with their histories.
    RECURSIVE = "recursive"


class ObjectFilter(StrEnum):
    """Which objects a fetch brings."""

    #: All of them.
    NONE = "none"
    #: File contents come when the checkout needs them, where the server can do that.
    BLOBS = "blob:none"


@frozen(kw_only=True)
class GitContext:
    """Where the work comes from.

    With a ``commit_sha`` a job gets that commit, whatever the ref names by then. Without one it
    gets the commit that the ref names when the job starts. The options say how much is fetched;
    ``None`` leaves an option to the agent.
    """

    #: A URL (https, ssh, http, git, file), ``host:path`` for ssh, or a folder's absolute path.
    #: Credentials never stand here: they belong to the agent.
    repo: str
    #: A full name (``refs/pull/7/head``) or a branch, else a tag. ``HEAD`` when left out. A ref of
    #: 40 or 64 hexadecimal digits is a commit, never a branch.
    ref: str | None = None
    #: All 40 digits (64 in a repository of SHA-256).
    commit_sha: str | None = None
    commit_message: str | None = None
    author: str | None = None
    #: How many commits of the history; 0: all of them.
    depth: int | None = None
    filter: ObjectFilter | None = None
    #: The folders to check out, beside the files above them; none: the whole tree.
    sparse_paths: tuple[str, ...] = ()
    submodules: Submodules | None = None
    #: Whether Git LFS replaces its pointers by the files.
    lfs: bool | None = None

    @property
    def pinned(self) -> str | None:
        """The commit that the job names, be it as its ref."""
        return self.commit_sha or (self.ref if self.ref and is_commit(self.ref) else None)


def is_commit(text: str) -> bool:
    """Return whether a text has the form of a full commit id."""
    return _COMMIT.fullmatch(text) is not None


def git_texts(git: GitContext | None) -> dict[str, object]:
    """Return what a git context says, by the names of its fields."""
    if git is None:
        return {}
    return {
        each.name: value for each in attrs_fields(type(git)) if (value := getattr(git, each.name))
    }


def check_git(git: GitContext | None, field: str = "git") -> GitContext | None:
    """Return the git context, commits in lower case.

    Args:
        git: what a caller gave.
        field: its name in errors.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: repository or ref have more than 1,024 characters, message or author more than
            8,192, or there are more than 256 sparse paths.
    """
    if git is None:
        return None
    check_kind(field, git, GitContext)
    for name in ("commit_message", "author"):
        if (value := getattr(git, name)) is not None:
            check_text(f"{field}.{name}", value, most=8192)
    checked = evolve(
        git,
        repo=check_repository(f"{field}.repo", git.repo),
        ref=None if git.ref is None else check_ref(f"{field}.ref", git.ref),
        commit_sha=_commit_sha(f"{field}.commit_sha", git.commit_sha),
        depth=_depth(f"{field}.depth", git.depth),
        filter=_choice(f"{field}.filter", git.filter, ObjectFilter),
        sparse_paths=_sparse_paths(f"{field}.sparse_paths", git.sparse_paths),
        submodules=_choice(f"{field}.submodules", git.submodules, Submodules),
        lfs=_flag(f"{field}.lfs", git.lfs),
    )
    _check_one_commit(field, checked)
    return checked


def check_repository(field: str, value: object) -> str:
    """Return ``value``, an address that git may be given.

    Raises:
        InvalidInput: it is no address of a repository, holds credentials, or is one that makes git
            run a command.
        TooLarge: it has more than 1,024 characters.
    """
    text = check_text(field, value)
    if not text or text.startswith("-") or _CONTROL.search(text):
        raise InvalidInput(field, value, "give a URL or an absolute path, on one line")
    if _TRANSPORT.match(text):
        raise InvalidInput(field, value, "a transport that runs a command is not allowed")
    scheme = _SCHEME.match(text)
    if scheme is not None:
        _check_url(field, text, scheme[1].lower(), text[scheme.end() :])
    elif not text.startswith("/") and not _SCP.fullmatch(text):
        reason = f"give a URL ({', '.join(_SCHEMES)}), host:path or an absolute path"
        raise InvalidInput(field, value, reason)
    return text


def check_ref(field: str, value: object) -> str:
    """Return ``value``, the name of a branch, a tag or another ref, or a full commit id.

    Raises:
        InvalidInput: git allows no ref of that name; what git calls a revision (``main~1``) is
            none.
        TooLarge: it has more than 1,024 characters.
    """
    text = check_text(field, value)
    parts = text.split("/")
    wrong = (
        text in {"", "@"}
        or text.startswith(("-", "/"))
        or text.endswith(("/", "."))
        or _NOT_IN_A_REF.search(text) is not None
        or any(part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if wrong:
        raise InvalidInput(field, value, "give a branch, a tag, or the full name of a ref")
    return text.lower() if is_commit(text) else text


def _check_url(field: str, text: str, scheme: str, rest: str) -> None:
    if scheme not in _SCHEMES:
        raise InvalidInput(field, text, f"give a URL with one of {', '.join(_SCHEMES)}")
    if scheme == "file":
        if not rest.removeprefix("localhost").startswith("/"):
            raise InvalidInput(field, text, "give an absolute path: file:///srv/git/web.git")
        return
    user = _SSH_USER.match(rest) if scheme == "ssh" else None
    plain = rest[user.end() :] if user else rest
    if "@" in plain or redacted_url(f"{scheme}://{plain}") != f"{scheme}://{plain}":
        raise InvalidInput(field, text, "give it without credentials: the agent has its own")
    host, slash, path = plain.partition("/")
    if not host or host.startswith("-") or not slash or not path:
        raise InvalidInput(field, text, "name a host, and a path on it")


def _commit_sha(field: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not is_commit(value):
        raise InvalidInput(field, value, "give all 40 hexadecimal digits of the commit, or all 64")
    return value.lower()


def _check_one_commit(field: str, git: GitContext) -> None:
    named = git.ref is not None and is_commit(git.ref)
    if named and git.commit_sha is not None and git.ref != git.commit_sha:
        reason = f"the commit is {git.commit_sha}: name that one, a branch, a tag, or no ref"
        raise InvalidInput(f"{field}.ref", git.ref, reason)


def _depth(field: str, value: object) -> int | None:
    return None if value is None else check_integer(field, value, least=0, most=MAX_DEPTH)


def _flag(field: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(field, value, "give true, false, or nothing")
    return value


def _choice(field: str, value: object, kind: type[Choice]) -> Choice | None:
    if value is None or isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        choices = [each.value for each in kind]
        raise InvalidInput(field, value, f"give one of {choices}") from None


def _sparse_paths(field: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(field, values, "give a list of folders")
    given = cast("Iterable[object]", values)
    folders = [_sparse_path(f"{field}[{place}]", value) for place, value in enumerate(given)]
    distinct = tuple(sorted(set(folders)))
    if len(distinct) > MAX_SPARSE_PATHS:
        raise TooLarge(field, len(distinct), MAX_SPARSE_PATHS, "paths")
    return distinct


def _sparse_path(field: str, value: object) -> str:
    folder = check_text(field, value).rstrip("/")
    parts = folder.split("/")
    if (
        folder.startswith(("-", "#"))
        or folder != folder.strip()
        or _NOT_IN_A_FOLDER.search(folder)
        or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    ):
        raise InvalidInput(field, value, "give a folder of the repository, such as web/app")
    return folder
