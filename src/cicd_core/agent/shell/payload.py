"""The payload of a shell job, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.git import GitContext, check_git
from cicd_core.values import evolve, frozen

_FIELDS: Final = frozenset({"argv", "shell", "env", "cwd", "checkout"})
_CHECKOUT_FIELDS: Final = (
    "repo",
    "ref",
    "commit_sha",
    "depth",
    "filter",
    "sparse_paths",
    "submodules",
    "lfs",
)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@frozen(kw_only=True)
class ShellCommand:
    """The command to run, and its folder."""

    #: The command and its arguments, or ...
    argv: tuple[str, ...] | None = None
    #: ... a line for the shell.
    shell: str | None = None
    env: Mapping[str, str] = field(factory=dict[str, str])
    #: The working directory, below the checkout or the empty folder.
    cwd: str = "."
    #: None: an empty folder.
    checkout: GitContext | None = None


def parsed(payload: Mapping[str, Any], git: GitContext | None) -> ShellCommand:
    """Return the command that a payload describes.

    Args:
        payload: ``argv`` or ``shell``; optionally ``env``, ``cwd`` and ``checkout``.
        git: the job's git context, used where the payload does not say what to check out.

    Raises:
        InvalidInput: a field is missing, wrong or unknown; the error names it.
    """
    for name in payload:
        if name not in _FIELDS:
            choices = ", ".join(sorted(_FIELDS))
            raise InvalidInput(f"payload.{name}", _kind(payload[name]), f"the fields: {choices}")
    if ("argv" in payload) == ("shell" in payload):
        raise InvalidInput("payload.argv", payload.get("argv"), "give either argv or shell")
    return ShellCommand(
        argv=_argv(payload["argv"]) if "argv" in payload else None,
        shell=_text("payload.shell", payload["shell"]) if "shell" in payload else None,
        env=_env(payload.get("env", {})),
        cwd=_text("payload.cwd", payload.get("cwd", ".")),
        checkout=_checkout(payload.get("checkout", git is not None), git),
    )


def _argv(value: object) -> tuple[str, ...]:
    items = _items(value)
    if not items:
        raise InvalidInput("payload.argv", value, "give a list: the command and its arguments")
    first, *rest = items
    return (
        _text("payload.argv[0]", first),
        *(
            _text(f"payload.argv[{place}]", item, empty=True)
            for place, item in enumerate(rest, start=1)
        ),
    )


def _env(value: object) -> dict[str, str]:
    variables = _fields(value)
    if variables is None:
        raise InvalidInput("payload.env", _kind(value), "give an object of strings")
    env: dict[str, str] = {}
    for name, text in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidInput("payload.env", name, "give a variable name of letters, digits and _")
        env[name] = _secret(f"payload.env.{name}", text)
    return env


def _checkout(value: object, git: GitContext | None) -> GitContext | None:
    if value is False:
        return None
    if value is True:
        if git is None:
            raise InvalidInput("payload.checkout", value, "the job has no git context: give repo")
        return check_git(git)
    fields = _fields(value)
    if fields is None:
        raise InvalidInput("payload.checkout", value, "give true, false, or an object")
    for name in fields:
        if name not in _CHECKOUT_FIELDS:
            choices = ", ".join(_CHECKOUT_FIELDS)
            raise InvalidInput(f"payload.checkout.{name}", fields[name], f"its fields: {choices}")
    return check_git(_overridden(dict(fields), git), "payload.checkout")


def _overridden(known: dict[str, Any], git: GitContext | None) -> GitContext:
    """Return the job's git context with the fields of its payload."""
    if git is None or known.get("repo", git.repo) != git.repo:
        # The job's ref and commit mean nothing in another repository.
        if "repo" not in known:
            raise InvalidInput("payload.checkout.repo", None, "give a URL or an absolute path")
        return GitContext(**known)
    if "ref" in known:  # the payload's ref also replaces the job's commit
        known.setdefault("commit_sha", None)
    elif "commit_sha" in known:
        known["ref"] = None if git.ref == git.pinned else git.ref
    return evolve(git, **known)


def _items(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _fields(value: object) -> Mapping[str, object] | None:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None


def _kind(value: object) -> str:
    """Return the description of a possibly secret value for an error."""
    return f"a value of type {type(value).__name__}"


def _secret(name: str, value: object) -> str:
    """Return a text that errors must not show: variables hold passwords.

    Raises:
        InvalidInput: it is not a text.
    """
    try:
        return _text(name, value, empty=True)
    except InvalidInput as refused:
        raise InvalidInput(name, _kind(value), refused.reason) from None


def _text(name: str, value: object, *, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise InvalidInput(name, value, "give a string" if empty else "give a non-empty string")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInput(name, value, "give text without NUL and lone surrogates")
    return value
