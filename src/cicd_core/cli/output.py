"""What goes to stdout for machines: values as JSON, with keys that stay."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Final, cast

import attrs

from cicd_core.cli.printable import printable_json
from cicd_core.model.job import Priority

#: What holds a lease is a capability, not a fact for logs and screens.
_HIDDEN: Final = frozenset({"claim_id", "incarnation", "own_verdict", "request_hash", "token"})


def plain(value: object) -> Any:
    """Return what JSON can say of a value.

    Instants become ISO 8601 in UTC, enums their values, a priority its name (which is what the
    options take), and attrs values objects of their fields and properties.
    """
    if isinstance(value, Enum):
        return value.name if isinstance(value, Priority) else plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    return _plain_whole(value)


def _plain_whole(value: object) -> Any:
    """Return what JSON can say of a value that is made of others."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(plain(name)): plain(each) for name, each in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in cast("Iterable[object]", value)]
    kind: type[Any] = type(value)
    if attrs.has(kind):
        return {name: plain(getattr(value, name)) for name in _names(kind)}
    return repr(value)


def dump(value: object) -> str:
    """Return a value as one line of JSON."""
    return printable_json(json.dumps(plain(value), ensure_ascii=False))


def emit(value: object) -> None:
    """Write a value to stdout: one JSON document, indented."""
    document = json.dumps(plain(value), ensure_ascii=False, indent=2)
    sys.stdout.write(f"{printable_json(document)}\n")


def emit_line(value: object) -> None:
    """Write a value to stdout: one JSON object on a line, at once."""
    sys.stdout.write(f"{dump(value)}\n")
    sys.stdout.flush()


@lru_cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a class's fields and properties that are shown."""
    names: Iterable[str] = [
        *(each.name for each in attrs.fields(kind)),
        *(name for name, member in vars(kind).items() if isinstance(member, property)),
    ]
    return tuple(name for name in names if name[0] != "_" and name not in _HIDDEN)
