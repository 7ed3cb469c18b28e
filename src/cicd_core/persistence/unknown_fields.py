"""Fields that this version of the library does not know: kept, and written back where they were.

Two versions of the library may share a store during an upgrade. What the newer one adds to an
entity, or to a value within it (an attempt, the git context), the older one must not lose when it
writes the entity. A value that the older one replaces by another, new progress say, keeps nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from attrs import fields, has

from cicd_core.model.job import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def find_unknown(raw: Mapping[str, Any], value: object) -> dict[str, Any]:
    """Return what of an entity's JSON its class has no field for.

    Args:
        raw: the JSON object that the entity was made of.
        value: the entity.

    Returns:
        By the names of the fields; under the name of a field that is known, what is not known of
        the values in it.
    """
    kind: Any = type(value)
    known, nested = _shape(kind)
    # Nearly always there is nothing, and every read of a record comes through here.
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
    """Add to an entity's JSON what :func:`find_unknown` found when it was read."""
    kind: Any = type(value)
    _, nested = _shape(kind)
    for name, kept in unknown.items():
        if name not in nested:
            raw[name] = kept
            continue
        if name not in raw and getattr(value, name) in kept:
            raw[name] = {}  # a value that is all default is left out otherwise
        for inner, part in _pairs(raw.get(name), getattr(value, name)):
            inner.update(kept.get(_identity(part), {}))


@lru_cache
def _shape(kind: Any) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """Return a class's fields; and those that hold attrs values, one or a tuple, with theirs."""
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
    """Return what a field holds: nothing, one value, or several."""
    if value is None:
        return ()
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)


def _identity(part: object) -> object:
    """Return what tells a value from the others of its field: an attempt that ends is the same."""
    return part.number if isinstance(part, Attempt) else part
