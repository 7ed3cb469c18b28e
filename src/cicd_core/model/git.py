"""Sources of a job: a repository, a ref, a commit, and the parts to fetch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Final, TypeVar, cast

from attrs import field
from attrs import fields as attrs_fields

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import check_integer, check_kind, check_text
from cicd_core.model.choices import as_names, check_choice, taken_as
from cicd_core.redaction import redacted_url
from cicd_core.values import evolve, frozen

Choice = TypeVar("Choice", bound=Enum)

#: The most folders of a sparse checkout.
MAX_SPARSE_PATHS: Final = 256
#: The maximum depth of a shallow history, in commits.
MAX_DEPTH: Final = 1_000_000

_COMMIT: Final = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES: Final = ("https", "ssh", "http", "git", "file")
#: ``ext::sh -c …``: git runs the rest as a command.
_TRANSPORT: Final = re.compile(r"[A-Za-z0-9+._-]*::")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: ``git@example.org:team/web.git``.
_SCP: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*@)?[A-Za-z0-9][\w.-]*:[^:].*", re.ASCII)
_SSH_USER: Final = re.compile(r"[A-Za-z0-9][\w.-]*@", re.ASCII)
#: Characters that no ref may contain (git-check-ref-format).
_NOT_IN_A_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_NOT_IN_A_FOLDER: Final = re.compile(r"[\x00-\x1f\x7f*?\[\]\\!]")


class Submodules(StrEnum):
    """The submodules of a checkout."""

    OFF = "off"
    #: Those of the repository itself, each with its one commit and no history.
    SHALLOW = "shallow"
    #: Those of the repository and of its submodules, with their histories.
    RECURSIVE = "recursive"


class ObjectFilter(StrEnum):
    """The objects that a fetch gets."""

    #: All of them.
    NONE = "none"
    #: File contents come when the checkout needs them, if the server supports that.
    BLOBS = "blob:none"


def _filter(value: ObjectFilter | str | None) -> ObjectFilter | None:
    return None if value is None else taken_as(value, ObjectFilter)


def _submodules(value: Submodules | str | None) -> Submodules | None:
    return None if value is None else taken_as(value, Submodules)


@frozen(kw_only=True)
class GitContext:
    """The sources of a job.

    With a ``commit_sha`` a job gets that commit, even if the ref has moved. Without one it gets
    the commit that the ref names when the job starts. The options say how much is fetched;
    ``None`` leaves an option to the agent.
    """

    #: A URL (https, ssh, http, git, file), ``host:path`` for ssh, or a folder's absolute path.
    #: It never contains credentials: they belong to the agent.
    repo: str
    #: A full name (``refs/pull/7/head``), a branch, or a tag. ``HEAD`` by default. A ref of 40 or
    #: 64 hexadecimal digits is a commit, never a branch.
    ref: str | None = None
    #: The commit, all 40 digits (64 in a repository of SHA-256). None (the default): the commit
    #: that the ref names when the job starts.
    commit_sha: str | None = None
    #: The message of the commit, for people: at most 8,192 characters.
    commit_message: str | None = None
    #: Who wrote the commit, for people: at most 8,192 characters.
    author: str | None = None
    #: Depth of the history, in commits: 1 to 1,000,000, or 0 for all. None (the default):
    #: the agent decides: all, unless it was started with another ``depth``.
    depth: int | None = None
    #: The objects to fetch: ``none`` for all, or ``blob:none``, which fetches file contents
    #: when the checkout needs them. None (the default): the agent decides.
    filter: ObjectFilter | None = field(default=None, converter=_filter)
    #: The folders to check out, beside the files above them: at most 256, such as ``web/app``.
    #: Empty (the default): the whole tree.
    sparse_paths: tuple[str, ...] = field(default=(), converter=as_names)
    #: The submodules to check out: ``off``, ``shallow`` or ``recursive``. None (the default):
    #: the agent decides: none, unless it was started with another choice.
    submodules: Submodules | None = field(default=None, converter=_submodules)
    #: Whether Git LFS replaces its pointers with the files. None (the default): the agent decides:
    #: no, unless it was started with another choice.
    lfs: bool | None = None

    @property
    def pinned(self) -> str | None:
        """The commit that the job names, as its commit or as its ref."""
        return self.commit_sha or (self.ref if self.ref and is_commit(self.ref) else None)


def is_commit(text: str) -> bool:
    """Return whether a text has the form of a full commit id."""
    return _COMMIT.fullmatch(text) is not None


def git_texts(git: GitContext | None) -> dict[str, object]:
    """Return a git context as a dictionary."""
    if git is None:
        return {}
    return {
        item.name: value for item in attrs_fields(type(git)) if (value := getattr(git, item.name))
    }


def check_git(git: GitContext | None, field: str = "git") -> GitContext | None:
    """Return the git context, with commits in lower case.

    Args:
        git: the caller's context.
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
    """Return ``value``, an address that is safe to pass to git.

    Raises:
        InvalidInput: it is not a repository's address, contains credentials, or makes git
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
        InvalidInput: git allows no ref of that name; a revision such as ``main~1`` is not
            one.
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
        raise InvalidInput(field, text, "remove the credentials: the agent has its own")
    host, slash, path = plain.partition("/")
    if not host or host.startswith("-") or not slash or not path:
        raise InvalidInput(field, text, "give a host and a path")


def _commit_sha(field: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not is_commit(value):
        raise InvalidInput(field, value, "give all 40 or all 64 hexadecimal digits of the commit")
    return value.lower()


def _check_one_commit(field: str, git: GitContext) -> None:
    named = git.ref is not None and is_commit(git.ref)
    if named and git.commit_sha is not None and git.ref != git.commit_sha:
        reason = f"the commit is {git.commit_sha}: give that commit, a branch, a tag, or no ref"
        raise InvalidInput(f"{field}.ref", git.ref, reason)


def _depth(field: str, value: object) -> int | None:
    return None if value is None else check_integer(field, value, least=0, most=MAX_DEPTH)


def _flag(field: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(field, value, "give true or false, or omit it")
    return value


def _choice(field: str, value: object, kind: type[Choice]) -> Choice | None:
    return None if value is None else check_choice(field, value, kind)


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
        raise InvalidInput(field, value, "give a folder in the repository, such as web/app")
    return folder
