"""Conversion of JSON to values.

It converts no types: a number in a string stays a string, and is refused as a number. So an error
names the place of the mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import attrs

from cicd_core.errors import InvalidInput
from cicd_core.model.choices import check_choice
from cicd_core.model.instants import in_utc
from cicd_core.public_json.members import (
    UNREADABLE,
    WRITTEN_BY_CALLERS,
    check_class,
    is_union,
    members_of,
    public_name,
)
from cicd_core.values import frozen

Value = TypeVar("Value")

#: The JSON names of Python's types.
_PLAIN: Final[Mapping[Any, str]] = {str: "a string", bool: "true or false", int: "a whole number"}


def from_json(cls: type[Value], data: object) -> Value:
    """Return the value of a class from ``data``, decoded JSON, a result of ``to_json``.

    A missing field has its default. Derived facts, such as ``is_final``, are ignored. In values
    that callers write (specs, outcomes, settings) an unknown field is refused; in others it is
    ignored, since a newer version of the library may have written it. Fields that JSON never has
    are missing: a job that was read back has no claim id, so it cannot act on a lease.

    Args:
        cls: a class that ``cicd_core`` exports, also ``Page[Job]`` and the like.
        data: objects, lists, texts, numbers, booleans and None.

    Raises:
        InvalidInput: it does not fit the class; the error names the field, such as
            ``retry.max_attempts``. Or values of that class cannot be read back, since JSON omits
            their secret: a claim, a lease token, an issued session.
    """
    check_class(cls)
    reading = _Reading(strict=(get_origin(cls) or cls) in WRITTEN_BY_CALLERS)
    return cast("Value", reading.read(cls, data, ""))


@frozen
class _Reading:
    """Reads a value and its parts."""

    #: Whether an unknown field is a mistake.
    strict: bool

    def read(self, kind: Any, data: object, path: str) -> Any:
        """Return ``data`` as a value of that type."""
        if kind is Any or kind is object:
            return data
        if is_union(kind):
            return self._read_union(kind, data, path)
        origin: Any = get_origin(kind) or kind
        if attrs.has(origin):
            return self._read_object(kind, data, path)
        if origin in {tuple, frozenset}:
            items = self._read_list(kind, data, path)
            return frozenset(items) if origin is frozenset else items
        if origin is not kind:
            return self._read_mapping(kind, data, path)
        return _read_plain(kind, data, path or "data")

    def _read_union(self, kind: Any, data: object, path: str) -> Any:
        """Return the value of the first type that fits; usually one type, or None."""
        members = [member for member in get_args(kind) if member is not type(None)]
        if data is None and len(members) < len(get_args(kind)):
            return None
        for member in members[:-1]:
            try:
                return self.read(member, data, path)
            except InvalidInput:
                continue
        return self.read(members[-1], data, path)

    def _read_object(self, kind: Any, data: object, path: str) -> Any:
        origin: Any = get_origin(kind) or kind
        if origin in UNREADABLE:
            reason = "its JSON has no token, so the value cannot be restored"
            raise InvalidInput(path or "data", public_name(kind), reason)
        if not isinstance(data, Mapping):
            raise InvalidInput(path or "data", data, f"give an object: a {public_name(kind)}")
        given = cast("Mapping[str, object]", data)
        members = members_of(kind)
        if self.strict:
            _refuse_unknown(given, {item.name for item in members if not item.hidden}, path)
        found: dict[str, Any] = {}
        for member in members:
            place = f"{path}.{member.name}" if path else member.name
            if member.hidden and member.needed:
                found[member.name] = ""
            elif member.is_field and not member.hidden and member.name in given:
                found[member.name] = self.read(member.kind, given[member.name], place)
            elif member.needed:
                raise InvalidInput(place, ..., f"{public_name(kind)} requires it")
        return origin(**found)

    def _read_list(self, kind: Any, data: object, path: str) -> tuple[Any, ...]:
        items = cast("list[object]", data)
        if not isinstance(data, list | tuple):
            raise InvalidInput(path or "data", items, "give a list")
        kinds = get_args(kind)
        if kinds[-1] is Ellipsis or len(kinds) == 1:
            kinds = kinds[:1] * len(items)
        if len(kinds) != len(items):
            raise InvalidInput(path or "data", items, f"give a list of {len(kinds)}")
        pairs = enumerate(zip(kinds, items, strict=True))
        return tuple(self.read(each, item, f"{path}[{place}]") for place, (each, item) in pairs)

    def _read_mapping(self, kind: Any, data: object, path: str) -> dict[Any, Any]:
        if not isinstance(data, Mapping):
            raise InvalidInput(path or "data", data, "give an object")
        names, values = get_args(kind)
        return {
            self.read(names, name, f"{path}.{name}"): self.read(values, item, f"{path}.{name}")
            for name, item in cast("Mapping[object, object]", data).items()
        }


def _refuse_unknown(given: Mapping[str, object], known: set[str], path: str) -> None:
    for name in given:
        if name not in known:
            place = f"{path}.{name}" if path else str(name)
            raise InvalidInput(place, given[name], f"there is no such field; {_listed(known)}")


def _listed(known: set[str]) -> str:
    return f"the fields are {', '.join(sorted(known))}"


def _read_plain(kind: Any, data: object, path: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return check_choice(path, data, kind)
    return _READERS[kind](path, data)


def _instant(path: str, data: object) -> datetime:
    try:
        found = datetime.fromisoformat(data) if isinstance(data, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput(path, data, "give a time with its time zone: 2030-06-01T12:00:00Z")
    return in_utc(path, found)


def _number(path: str, data: object) -> float:
    number = isinstance(data, int | float) and not isinstance(data, bool)
    if not number or (isinstance(data, float) and math.isnan(data)):
        raise InvalidInput(path, data, "give a number")
    try:
        return float(cast("float", data))
    except OverflowError:
        raise InvalidInput(path, data, "give a number within the range of a float") from None


def _exactly(kind: type) -> Callable[[str, object], Any]:
    def read(path: str, data: object) -> Any:
        if type(data) is not kind:
            raise InvalidInput(path, data, f"give {_PLAIN[kind]}")
        return data

    return read


_READERS: Final[Mapping[Any, Callable[[str, object], Any]]] = {
    datetime: _instant,
    float: _number,
    **{kind: _exactly(kind) for kind in _PLAIN},
}
