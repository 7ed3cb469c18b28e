"""Keeps fields that this version of the library does not know, and writes them back.

Two versions of the library may share a store during an upgrade. If the newer one adds a field to an
entity, or to a value within it (an attempt, the git context), the older one must not lose it when
it writes the entity. If the older one replaces a value by another (new progress, for example), the
unknown fields of the old value are gone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from attrs import has

from cicd_core.model.job import Attempt
from cicd_core.persistence.field_ids import STEPS, ids_of
from cicd_core.persistence.steps import REST, rest_of
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def find_unknown(raw: Mapping[str, Any], value: object) -> dict[str, Any]:
    """Return the parts of an entity's JSON for which its class has no field.

    Args:
        raw: the JSON object that the entity was decoded from.
        value: the entity.

    Returns:
        The unknown fields by id; under the id of a known field, the unknown fields of the values
        in it.
    """
    kind: Any = type(value)
    known, nested = _shape(kind)
    # Nearly always there are none, and every read of a record calls this.
    if known.issuperset(raw):
        for short in nested.keys() & raw.keys():
            if _is_strange(raw[short], nested[short]):
                break
        else:
            return {}
    found = {short: raw[short] for short in raw.keys() - known}
    for short, part in nested.items():
        within = {
            _identity(item): extra
            for inner, item in zip(_several(raw.get(short)), part.values(value), strict=False)
            if (extra := part.unknown(inner))
        }
        if within:
            found[short] = within
    return found


def put_back(raw: dict[str, Any], value: object, unknown: Mapping[str, Any]) -> None:
    """Add the fields to an entity's JSON that :func:`find_unknown` found when it was read."""
    kind: Any = type(value)
    _, nested = _shape(kind)
    for short, kept in unknown.items():
        part = nested.get(short)
        if part is None:
            raw[short] = kept
            continue
        items = part.values(value)
        if short not in raw and kept.keys() & set(items):
            raw[short] = {}  # else a value with only defaults is left out
        for inner, item in zip(_several(raw.get(short)), items, strict=False):
            if (extra := kept.get(_identity(item))) is not None:
                part.add(inner, extra)


@frozen
class _Part:
    """A field that holds attrs values, one or a tuple."""

    name: str
    #: The ids of their fields.
    known: frozenset[str]
    #: They are arrays, see :mod:`cicd_core.persistence.steps`.
    are_steps: bool

    def values(self, entity: object) -> Sequence[object]:
        return _several(getattr(entity, self.name))

    def unknown(self, inner: Any) -> dict[str, Any]:
        """Return the unknown fields of one value, given as JSON."""
        given: Mapping[str, Any] = rest_of(inner) if self.are_steps else inner
        return {short: given[short] for short in given.keys() - self.known}

    def add(self, inner: Any, extra: Mapping[str, Any]) -> None:
        """Add unknown fields to one value, given as JSON."""
        if self.are_steps and len(inner) == REST:
            inner.append({})
        (rest_of(inner) if self.are_steps else inner).update(extra)


@lru_cache
def _shape(kind: Any) -> tuple[frozenset[str], dict[str, _Part]]:
    """Return the ids of a class's fields; and, by id, those that hold attrs values."""
    ids, nested = ids_of(kind), dict[str, _Part]()
    for name, hint in get_type_hints(kind).items():
        for item in filter(has, _classes(hint)):
            known = frozenset(ids_of(item).values())
            nested[ids[name]] = _Part(name, known, item in STEPS)
    return frozenset(ids.values()), nested


def _classes(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type):
        yield hint
    for argument in get_args(hint):
        yield from _classes(argument)


def _is_strange(raw: Any, part: _Part) -> bool:
    inner: Any = raw
    if raw is None:
        return False
    if part.are_steps:
        return max(map(len, raw), default=0) > REST and any(map(part.unknown, raw))
    if isinstance(raw, list):
        return not all(map(part.known.issuperset, inner))
    return not part.known.issuperset(raw)


def _several(value: object) -> Sequence[Any]:
    """Return the values of a field: none, one or several."""
    if value is None:
        return ()
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value,)


def _identity(part: object) -> object:
    """Return the identity of a value within its field: an attempt keeps it when it ends."""
    return part.number if isinstance(part, Attempt) else part
