"""Keeps fields that this version of the library does not know, and writes them back.

Two versions of the library may share a store during an upgrade. If the newer one adds a field to an
entity, or to a value within it (an attempt, the git context), the older one must not lose it when
it writes the entity. If the older one replaces a value by another (new progress, for example), the
unknown fields of the old value are gone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from attrs import fields, has

from cicd_core.model.job import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def find_unknown(raw: Mapping[str, Any], value: object) -> dict[str, Any]:
    """Return the parts of an entity's JSON for which its class has no field.

    Args:
        raw: the JSON object that the entity was decoded from.
        value: the entity.

    Returns:
        The unknown fields by name; under the name of a known field, the unknown fields of the
        values in it.
    """
    kind: Any = type(value)
    known, nested = _shape(kind)
    # Nearly always there are none, and every read of a record calls this.
    if known.issuperset(raw) and not any(
        _is_strange(raw[name], within) for name, within in nested.items() if name in raw
    ):
        return {}
    found = {name: raw[name] for name in raw.keys() - known}
    for name, fields_of_part in nested.items():
        within = {
            _identity(part): extra
            for inner, part in _pairs(raw.get(name), getattr(value, name))
            if (extra := {item: inner[item] for item in inner.keys() - fields_of_part})
        }
        if within:
            found[name] = within
    return found


def put_back(raw: dict[str, Any], value: object, unknown: Mapping[str, Any]) -> None:
    """Add the fields to an entity's JSON that :func:`find_unknown` found when it was read."""
    kind: Any = type(value)
    _, nested = _shape(kind)
    for name, kept in unknown.items():
        if name not in nested:
            raw[name] = kept
            continue
        if name not in raw and getattr(value, name) in kept:
            raw[name] = {}  # else a value with only defaults is left out
        for inner, part in _pairs(raw.get(name), getattr(value, name)):
            inner.update(kept.get(_identity(part), {}))


@lru_cache
def _shape(kind: Any) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """Return a class's fields; and for fields of attrs values (one or a tuple), their fields."""
    hints = get_type_hints(kind)
    nested = {
        name: _names(item) for name, hint in hints.items() for item in _classes(hint) if has(item)
    }
    return _names(kind), nested


def _names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def _classes(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type):
        yield hint
    for argument in get_args(hint):
        yield from _classes(argument)


def _is_strange(raw: object, known: frozenset[str]) -> bool:
    if raw is None:
        return False
    if isinstance(raw, list):
        return not all(map(known.issuperset, cast("Iterable[Iterable[str]]", raw)))
    return not known.issuperset(cast("Iterable[str]", raw))


def _pairs(raw: object, value: object) -> Iterator[tuple[dict[str, Any], object]]:
    """Return the values of a field, each with its JSON; a default may have none."""
    inner = cast("Sequence[dict[str, Any]]", _several(raw))
    return zip(inner, _several(value), strict=False)


def _several(value: object) -> Sequence[object]:
    """Return the values of a field: none, one or several."""
    if value is None:
        return ()
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)


def _identity(part: object) -> object:
    """Return the identity of a value within its field: an attempt keeps it when it ends."""
    return part.number if isinstance(part, Attempt) else part
