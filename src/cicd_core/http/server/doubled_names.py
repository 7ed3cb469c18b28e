"""Finds duplicate names in an object of a JSON text.

Readers of JSON use one of the two values and drop the other, and they differ in which: the next
reader may use a value that the first one did not check. So the text is read once more, in time that
is linear in its length; numbers stay texts.
"""

from __future__ import annotations

import json
from typing import Any, cast

from cicd_core.values import frozen


@frozen
class _Doubled:
    """Replaces an object that has a duplicate name."""

    name: str


def doubled_name(text: bytes) -> str | None:
    """Return the path of a duplicate name in a JSON text, such as ``payload.shell``.

    Args:
        text: valid JSON in UTF-8, with no more levels than Python's recursion allows.
    """
    found: list[_Doubled] = []

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Doubled:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        found.append(_Doubled(_first_twice(pairs)))
        return found[-1]

    decoder = json.JSONDecoder(object_pairs_hook=read, parse_int=str, parse_float=str)
    whole = decoder.decode(text.decode())
    return _path_of_doubled(whole) if found else None


def _first_twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("a dict is shorter than its pairs where a name is there twice")


def _path_of_doubled(whole: object) -> str:
    todo: list[tuple[str, object]] = [("", whole)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, _Doubled):
            return f"{path}.{value.name}" if path else value.name
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            todo += [(f"{path}.{name}" if path else name, each) for name, each in members.items()]
        elif isinstance(value, list):
            items = cast("list[object]", value)
            todo += [(f"{path}[{at}]", each) for at, each in enumerate(items)]
    raise AssertionError("an object that was replaced is in the whole")
