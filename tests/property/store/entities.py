"""Strategies for every entity, made from the types of its fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from hypothesis import strategies as st

from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Entity = TypeVar("Entity")

INSTANTS = st.integers(0, 10**16 - 1).map(from_micros)
TEXTS = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | NUMBERS | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
_PLAIN: dict[Any, SearchStrategy[Any]] = {
    datetime: INSTANTS,
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63),
    float: NUMBERS,
    type(None): st.none(),
    Any: JSON,
}


def entities(kind: type[Entity]) -> SearchStrategy[Entity]:
    """Return values of an attrs class with anything in its fields that their types allow."""
    hints = get_type_hints(kind)
    given = {each.name: of_type(hints[each.name]) for each in attrs.fields(kind)}  # type: ignore[arg-type] # every entity is an attrs class
    return st.builds(kind, **given)


def of_type(hint: Any) -> SearchStrategy[Any]:
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return st.one_of(*(of_type(each) for each in arguments))
    if origin is tuple:  # of any length, all of one type
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=3)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return entities(hint)
