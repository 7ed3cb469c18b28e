"""JSON that callers give: what is taken, and how deep it may nest.

A fixed limit, and not that of the interpreter's stack: what one process could write, another one,
deeper in its own calls, could not read.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, Final, cast

from cicd_core.errors import InvalidInput

#: How deep objects and lists may nest; the outermost one counts.
MAX_DEPTH: Final = 64

_TEXTS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_INNERMOST: Final = re.compile(rb"\[\]|\{\}")
#: A whole number with so many digits may be beyond every float: other readers see infinity.
_LONG_NUMBER: Final = re.compile(rb"\d{309}")
_LARGEST: Final = int(sys.float_info.max)
#: The most characters of a path in a message.
_PATH: Final = 120


def nests_deeper(text: bytes, most: int) -> bool:
    """Return whether the objects and lists of a JSON text nest deeper than ``most``.

    It does not recurse, so that no text is too deep for it. A text that is no JSON may give either
    answer.
    """
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    brackets = _TEXTS.sub(b"", text).translate(None, _NO_BRACKETS)
    for _ in range(most):
        brackets = _INNERMOST.sub(b"", brackets)
        if not brackets:
            return False
    return True


def check_json_object(field: str, value: object) -> tuple[dict[str, Any], int]:
    """Return an object as every store gives it back, and its size in bytes.

    Raises:
        InvalidInput: it is no JSON object with texts as keys; it nests deeper than 64; or it holds
            what is no plain JSON: a number that is not finite, or beyond every float, a lone
            surrogate, a key twice, itself. The error says where.
    """
    given = cast("dict[str, Any]", value)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in given):
        raise InvalidInput(field, given, "give a JSON object with string keys")
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as refused:  # lone surrogates are a ValueError
        reason = _fault(field, given, ()) or f"give plain JSON: {refused}"
        raise InvalidInput(field, given, reason) from None
    strange = nests_deeper(text, MAX_DEPTH) or _LONG_NUMBER.search(text)
    decoded: dict[str, Any] = {} if strange else json.loads(text)
    # It differs where there are tuples, and keys that are no texts.
    fault = _fault(field, given, ()) if strange or decoded != given else None
    if fault is not None:
        raise InvalidInput(field, given, fault)
    return decoded or json.loads(text), len(text)


def _fault(path: str, value: object, around: tuple[int, ...]) -> str | None:
    """Return what is no plain JSON in a value, and where; ``around`` are what it lies in."""
    if isinstance(value, str):
        lone = any("\ud800" <= character <= "\udfff" for character in value)
        return f"{_shown(path)} holds a lone surrogate: give text" if lone else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        large = abs(value) > _LARGEST
        return f"{_shown(path)} is a whole number beyond every float" if large else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_shown(path)} is {value}: give a finite number"
    if not isinstance(value, dict | list | tuple):
        return f"{_shown(path)} is a value of type {type(value).__name__}: give plain JSON"
    return _fault_within(path, cast("dict[Any, Any] | list[Any]", value), around)


def _fault_within(
    path: str, value: dict[Any, Any] | list[Any], around: tuple[int, ...]
) -> str | None:
    if id(value) in around:
        return f"{_shown(path)} contains itself"
    if len(around) >= MAX_DEPTH:
        return f"{_shown(path)} nests deeper than {MAX_DEPTH}: give fewer levels, or a text"
    inside = (*around, id(value))
    if not isinstance(value, dict):
        faults = (_fault(f"{path}[{place}]", each, inside) for place, each in enumerate(value))
        return next((fault for fault in faults if fault), None)
    fault = _fault_of_keys(path, value)
    if fault is not None:
        return fault
    within = (_fault(f"{path}.{key}", each, inside) for key, each in list(value.items()))
    return next((fault for fault in within if fault), None)


def _fault_of_keys(path: str, value: dict[Any, Any]) -> str | None:
    """Return what is wrong with the keys of an object; JSON makes texts of numbers."""
    names: set[str] = set()
    for key in list(value):
        if key is not None and not isinstance(key, str | int | float):
            return f"{_shown(path)} has a key of type {type(key).__name__}: give texts"
        name = key if isinstance(key, str) else json.dumps(key)
        if name in names:
            return f"{_shown(path)} has the key {name!r} twice, as a text and otherwise"
        if fault := _fault(f"{path}.{name}", name, ()):
            return fault
        names.add(name)
    return None


def _shown(path: str) -> str:
    """Return a path as one reads it: the beginning and the end of a long one."""
    path = path.encode("utf-8", "replace").decode()
    return path if len(path) <= _PATH else f"{path[: _PATH // 2]}…{path[-_PATH // 2 :]}"


def canonical(value: Any) -> Any:
    """Return JSON in the one form that all equal values have: 1 for 1.0, and lists for tuples.

    Keys are put in order when it is written (``sort_keys``).
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return {key: canonical(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in cast("list[object]", value)]
    return value


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises:
        ValueError: it is no JSON; or it has a number that is not finite, an object with a key
            twice, or more levels than 64.
    """
    if nests_deeper(text, MAX_DEPTH):
        raise ValueError(f"it nests deeper than {MAX_DEPTH}")
    return _STRICT.decode(text.decode())


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
