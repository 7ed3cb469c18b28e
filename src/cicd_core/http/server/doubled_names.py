"""Names that one object of a JSON text has twice.

A reader takes one of the two values and drops the other one, and readers differ in which: what one
of them has checked is not what the next one does. A text is read once more for this, in time that
grows with its length alone; numbers are left as text.
"""

from __future__ import annotations

import json
from typing import Any, cast

from cicd_core.values import frozen


@frozen
class _Doubled:
    """Stands for an object that has a name twice."""

    name: str


def doubled_name(text: bytes) -> str | None:
    """Return where an object in a JSON text has a name twice, such as ``payload.shell``.

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
