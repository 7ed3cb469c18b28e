"""The JSON Schema (draft 2020-12) of public values."""

from __future__ import annotations

import inspect
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import attrs
from attrs import field

from cicd_core.model.choices import text_of
from cicd_core.public_json.members import (
    WRITTEN_BY_CALLERS,
    check_class,
    is_union,
    members_of,
    public_name,
)
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Final[Mapping[Any, Mapping[str, str]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
}


def json_schema(cls: Any) -> dict[str, Any]:
    """Return the JSON Schema of a class's values, as ``to_json`` writes them.

    An object of the library has all its names; a later version may add some. In values that
    callers write (specs, outcomes, settings) only fields without a default are required, and
    an unknown name is refused, as in :func:`from_json`.

    Args:
        cls: a class that ``cicd_core`` exports; also ``Page[Job]``, ``tuple[Reason, ...]`` and the
            like.

    Raises:
        InvalidInput: it is not a class.
    """
    check_class(cls)
    walk = _Walk(strict=(get_origin(cls) or cls) in WRITTEN_BY_CALLERS)
    top = dict(walk.schema_of(cls))
    return {"$schema": _DIALECT, **top, "$defs": walk.definitions}


@frozen
class _Walk:
    """Visits a class and the classes of its fields."""

    #: Whether callers write it.
    strict: bool
    definitions: dict[str, Any] = field(factory=dict[str, Any])

    def schema_of(self, kind: Any) -> Mapping[str, Any]:
        """Return the schema of a type; each class of the library is defined once."""
        if kind is Any or kind is object:
            return {}
        if is_union(kind):
            return {"anyOf": [self.schema_of(member) for member in get_args(kind)]}
        origin: Any = get_origin(kind) or kind
        if attrs.has(origin):
            return self._reference(kind)
        if origin in {tuple, frozenset}:
            return self._list(origin, get_args(kind))
        if origin is not kind:
            names, values = get_args(kind)
            return {
                "type": "object",
                "propertyNames": self.schema_of(names),
                "additionalProperties": self.schema_of(values),
            }
        return _choices(kind) if issubclass(kind, Enum) else _PLAIN[kind]

    def _reference(self, kind: Any) -> dict[str, Any]:
        name = public_name(kind)
        if name not in self.definitions:
            self.definitions[name] = {}  # it may contain values of its own class
            self.definitions[name] = self._object(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, kind: Any) -> dict[str, Any]:
        shown = [member for member in members_of(kind) if not member.hidden]
        summary = (inspect.getdoc(get_origin(kind) or kind) or "").partition("\n\n")[0]
        return {
            "title": public_name(kind),
            "description": " ".join(summary.split()),
            "type": "object",
            "properties": {item.name: self.schema_of(item.kind) for item in shown},
            "required": [item.name for item in shown if item.needed or not self.strict],
            **({"additionalProperties": False} if self.strict else {}),
        }

    def _list(self, origin: type, kinds: tuple[Any, ...]) -> dict[str, Any]:
        if origin is frozenset:
            return {"type": "array", "items": self.schema_of(kinds[0]), "uniqueItems": True}
        if kinds[-1] is Ellipsis:
            return {"type": "array", "items": self.schema_of(kinds[0])}
        return {
            "type": "array",
            "prefixItems": [self.schema_of(kind) for kind in kinds],
            "minItems": len(kinds),
            "maxItems": len(kinds),
        }


def _choices(kind: type[Enum]) -> dict[str, Any]:
    return {"type": "string", "enum": [text_of(member) for member in kind]}
