"""Conversion of typed text to the library's values; an error names the field."""

from __future__ import annotations

import getpass
import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from cicd_core.errors import InvalidInput
from cicd_core.model.git import GitContext
from cicd_core.model.json_values import parse_json

Kind = TypeVar("Kind", bound=Enum)

_UNITS: Final = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_INSTANT: Final = "give ISO 8601 with a time zone, 2030-01-31T08:00:00Z, or a duration such as 2h"
_SIZES: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"([0-9]{1,15})([KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|[smhdw]?)", re.IGNORECASE)


def choose(field: str, text: str, kind: type[Kind]) -> Kind:
    """Return the member of an enum, named in any case, with ``-`` or ``_``.

    Raises:
        InvalidInput: there is no member with that name; the error lists them.
    """
    try:
        return kind[text.strip().replace("-", "_").upper()]
    except (AttributeError, KeyError):  # JSON may have any type
        names = ", ".join(name.lower() for name in kind.__members__)
        raise InvalidInput(field, text, f"give one of {names}") from None


def choose_some(field: str, text: str, kind: type[Kind]) -> tuple[Kind, ...]:
    """Return the members of a comma-separated list; none for an empty text or ``none``.

    Raises:
        InvalidInput: one of them is not a member.
    """
    if text.strip().lower() in {"", "none"}:
        return ()
    return tuple(dict.fromkeys(choose(field, each, kind) for each in text.split(",")))


def seconds(field: str, text: str) -> float:
    """Return a duration: a number of seconds, or a number with ``ms``, ``s``, ``m``, ``h``, ``d``.

    Raises:
        InvalidInput: it has none of these forms.
    """
    found = _DURATION.fullmatch(text.strip())
    value = math.inf if found is None else float(found[1]) * _UNITS[found[2].lower()]
    if not math.isfinite(value):
        raise InvalidInput(field, text, "give seconds, or a duration such as 90s, 5m, 2h, 1d")
    return value


def is_duration(text: str) -> bool:
    """Return whether a text is a number, with or without a unit of time."""
    return _DURATION.fullmatch(text.strip()) is not None


def size(field: str, text: str) -> int:
    """Return a number of bytes: plain, or with ``K``, ``M``, ``G`` or ``T`` for powers of 1,024.

    Raises:
        InvalidInput: it has neither form.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(field, text, "give bytes, or a size such as 512K, 64M, 10G")
    return int(found[1]) * _SIZES[found[2].upper()]


def moment(field: str, text: str, now: datetime) -> datetime:
    """Return an instant: ISO 8601 with a time zone, or a duration before now.

    Raises:
        InvalidInput: it has neither form, or no time zone.
    """
    if not is_duration(text):
        return instant(field, text)
    try:
        return now - timedelta(seconds=seconds(field, text))
    except OverflowError:
        raise InvalidInput(field, text, _INSTANT) from None


def instant(field: str, text: str) -> datetime:
    """Return an instant in UTC, from ISO 8601 with a time zone.

    Raises:
        InvalidInput: it is not ISO 8601, or has no time zone.
    """
    try:
        given = datetime.fromisoformat(text.strip())
        if given.tzinfo is not None:
            return given.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(field, text, _INSTANT)


def pairs(field: str, texts: Iterable[str]) -> dict[str, str]:
    """Return a mapping from texts of the form ``name=value``; the last value of a name counts.

    Raises:
        InvalidInput: one has no ``=``, or no name before it.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(field, text, "give name=value")
        found[name] = value
    return found


def json_option(field: str, text: str) -> dict[str, Any]:
    """Return a JSON object, given as text, as ``@file``, or as ``@-`` for stdin.

    Raises:
        InvalidInput: the file cannot be read, or is not a JSON object.
    """
    return json_object(field, read_text(field, text[1:]) if text.startswith("@") else text)


def json_object(field: str, text: str) -> dict[str, Any]:
    """Return a text as a JSON object.

    Raises:
        InvalidInput: it is not a JSON object.
    """
    try:
        value = parse_json(text.encode())
    except ValueError as broken:
        raise InvalidInput(field, text, f"it is not JSON: {broken}") from None
    if not isinstance(value, dict):
        raise InvalidInput(field, text, "give a JSON object, such as '{\"name\": 1}'")
    return cast("dict[str, object]", value)


def read_text(field: str, name: str) -> str:
    """Return the content of a file, as UTF-8; ``-`` is stdin.

    Raises:
        InvalidInput: it cannot be read, or is not text.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as refused:
        raise InvalidInput(field, name, refused.strerror or str(refused)) from None
    except UnicodeDecodeError:
        raise InvalidInput(field, name, "it is not UTF-8 text") from None


def asker(given: str | None) -> str:
    """Return the actor: the given one, or the name of the user."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return "cli"


def git_context(
    repo: str | None, ref: str | None, sha: str | None, **options: Any
) -> GitContext | None:
    """Return the git context; a folder on this machine becomes an absolute path.

    Args:
        repo: a URL, ``host:path`` or a folder.
        ref: a branch, a tag, or the full name of a ref.
        sha: a commit.
        options: further fields of the git context; None is omitted.

    Raises:
        InvalidInput: other fields are given without a repository.
    """
    given = {name: value for name, value in options.items() if value not in {None, ()}}
    if repo is not None:
        is_folder = repo and "://" not in repo and Path(repo).is_dir()  # "" is not a folder here
        known = str(Path(repo).resolve()) if is_folder else repo
        return GitContext(repo=known, ref=ref, commit_sha=sha, **given)
    for name, value in (("ref", ref), ("sha", sha), *given.items()):
        if value is not None:
            raise InvalidInput(name, value, "give the repository with --repo")
    return None
