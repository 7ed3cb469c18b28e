"""JSON from callers: the allowed values, and how deep they may nest.

The limit is fixed, independent of the interpreter's stack: otherwise one process could write a
value that another one, deeper in its own calls, could not read.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from typing import Any, Final, TypeAlias, cast

import msgspec

from cicd_core.errors import InvalidInput

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()
#: How deep objects and lists may nest; the outermost one counts.
MAX_DEPTH: Final = 64

#: A text, even an unterminated one. Each of these patterns looks at a byte only a few times, for
#: any input: a sender must not control the time that this takes.
_TEXTS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {b"["[0]: 1, b"{"[0]: 1, b"]"[0]: -1, b"}"[0]: -1}
#: A whole number with so many digits may be too large for a float: readers see infinity.
_LONG_NUMBER: Final = re.compile(rb"(?<!\d)\d{309}")
_LARGEST: Final = int(sys.float_info.max)
#: The place of a value: the field, then the names and positions in it. It becomes a text only for
#: a message, since a name may be long and have many values.
_Path: TypeAlias = tuple[str | int, ...]
#: The most characters of a path in a message.
_PATH: Final = 120


def nests_deeper(text: bytes, most: int) -> bool:
    """Return whether the objects and lists of a JSON text nest deeper than ``most``.

    It does not recurse, so no text is too deep for it. A text that is not JSON may give either
    answer.
    """
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _TEXTS.sub(b"", text).translate(None, _NO_BRACKETS):
        depth += _STEPS[bracket]
        if depth > most:
            return True
    return False


def check_json_object(field: str, value: object) -> tuple[dict[str, Any], int]:
    """Return an object as every store returns it, and its size in bytes.

    Raises:
        InvalidInput: it is not a JSON object with strings as keys; it nests deeper than 64; or it
            has a value that is not plain JSON: a number that is not finite or too large for a
            float, a lone surrogate, a key twice, itself. The error says where.
    """
    given: Any = value
    # The one set is quick; a key of a class that inherits from str is a string too.
    texts = isinstance(value, dict) and (
        {*map(type, given)} <= {str} or all(isinstance(key, str) for key in given)
    )
    if not texts:
        raise InvalidInput(field, given, "give a JSON object with string keys")
    try:
        text = _ENCODER.encode(given)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as refused:
        reason = _fault((field,), given, ()) or f"give plain JSON: {refused}"
        raise InvalidInput(field, given, reason) from None
    strange = nests_deeper(text, MAX_DEPTH) or _LONG_NUMBER.search(text)
    decoded: dict[str, Any] = {} if strange else _DECODER.decode(text)
    # They differ for tuples, for keys that are not strings, and for values that are not plain JSON.
    fault = _fault((field,), given, ()) if strange or decoded != given else None
    if fault is not None:
        raise InvalidInput(field, given, fault)
    return decoded or _DECODER.decode(text), len(text)


def _fault(path: _Path, value: object, around: tuple[int, ...]) -> str | None:
    """Return the first value that is not plain JSON, and its place; ``around`` contains it."""
    if isinstance(value, str):
        lone = any("\ud800" <= character <= "\udfff" for character in value)
        return f"{_shown(path)} contains a lone surrogate: give valid text" if lone else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        large = abs(value) > _LARGEST
        return f"{_shown(path)} is a whole number too large for a float" if large else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_shown(path)} is {value}: give a finite number"
    if not isinstance(value, dict | list | tuple):
        return f"{_shown(path)} is a value of type {type(value).__name__}: give plain JSON"
    return _fault_within(path, cast("dict[Any, Any] | list[Any]", value), around)


def _fault_within(
    path: _Path, value: dict[Any, Any] | list[Any], around: tuple[int, ...]
) -> str | None:
    if id(value) in around:
        return f"{_shown(path)} contains itself"
    if len(around) >= MAX_DEPTH:
        return f"{_shown(path)} nests deeper than {MAX_DEPTH}: give fewer levels, or a string"
    inside = (*around, id(value))
    if not isinstance(value, dict):
        faults = (_fault((*path, place), item, inside) for place, item in enumerate(value))
        return next((fault for fault in faults if fault), None)
    fault = _fault_of_keys(path, value)
    if fault is not None:
        return fault
    within = (_fault((*path, str(key)), item, inside) for key, item in list(value.items()))
    return next((fault for fault in within if fault), None)


def _fault_of_keys(path: _Path, value: dict[Any, Any]) -> str | None:
    """Return the fault of an object's keys; JSON would turn numbers into strings."""
    names: set[str] = set()
    for key in list(value):
        if key is not None and not isinstance(key, str | int | float):
            return f"{_shown(path)} has a key of type {type(key).__name__}: give strings"
        name = key if isinstance(key, str) else json.dumps(key)
        if name in names:
            return f"{_shown(path)} has the key {name!r} twice, as a string and as another type"
        if fault := _fault((*path, name), name, ()):
            return fault
        names.add(name)
    return None


def _shown(path: _Path) -> str:
    """Return a readable path: the beginning and the end of a long one."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[1:])
    text = f"{path[0]}{''.join(steps)}".encode("utf-8", "replace").decode()
    return text if len(text) <= _PATH else f"{text[: _PATH // 2]}…{text[-_PATH // 2 :]}"


def canonical(value: Any) -> Any:
    """Return the canonical form of JSON: 1 for 1.0, and lists for tuples.

    Keys are sorted when it is written (``sort_keys``).
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
        ValueError: it is not JSON; or it has a number that is not finite, an object with a key
            twice, or more levels than 64.
    """
    if nests_deeper(text, MAX_DEPTH):
        raise ValueError(f"it nests deeper than {MAX_DEPTH}")
    return _STRICT.decode(text.decode())


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        numbers = Counter(name for name, _ in pairs)
        twice = next(name for name, number in numbers.items() if number > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return found


_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
