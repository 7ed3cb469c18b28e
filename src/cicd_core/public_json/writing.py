"""Conversion of values to JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import attrs

from cicd_core.errors import InvalidInput
from cicd_core.model.choices import text_of
from cicd_core.model.instants import in_utc
from cicd_core.public_json.members import members_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.public_json.members import Member


def to_json(value: object) -> Any:
    """Return a public value as JSON: objects, lists, strings, numbers, booleans and None.

    Pass the result to :func:`json.dumps`. An object has every field of the value, and derived
    facts, such as ``status`` and ``is_final`` of a job. Instants are ISO 8601 in UTC, to the
    microsecond (``2030-06-01T12:00:00.000000Z``); enums are their values, and a priority is its
    name in lower case; durations are seconds. Claim ids and the tokens of leases and sessions are
    omitted.

    Args:
        value: a value that ``cicd_core`` exports, or lists and mappings of them.

    Raises:
        InvalidInput: it is, or contains, another value.
    """
    return write(value, _refused)


def write(value: object, unknown: Callable[[object], Any]) -> Any:
    """Return a value as JSON; ``unknown`` converts values that JSON does not have."""
    if isinstance(value, Enum):
        return text_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        return unknown(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return in_utc("value", value).isoformat(timespec="microseconds")[:-6] + "Z"
    return _write_whole(value, unknown)


def _write_whole(value: object, unknown: Callable[[object], Any]) -> Any:
    """Return the JSON of a value with fields."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(write(name, unknown)): write(item, unknown) for name, item in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [write(item, unknown) for item in cast("Iterable[object]", value)]
    if not attrs.has(type(value)):
        return unknown(value)
    members: Iterable[Member] = members_of(type(value))
    return {
        member.name: write(getattr(value, member.name), unknown)
        for member in members
        if not member.hidden
    }


def _refused(value: object) -> Any:
    raise InvalidInput("value", value, "give a value that cicd_core exports, or a list of them")
