"""How values become JSON and come back, with the short ids of stored bodies or with full names."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from operator import eq
from types import GenericAlias, NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

from cattrs import Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from cicd_core.model.instants import from_micros, to_micros
from cicd_core.model.job import Job
from cicd_core.model.spec import JobSpec
from cicd_core.persistence import steps
from cicd_core.persistence.field_ids import FIELD_IDS, STATE_CODES, STEPS, full_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _converter() -> Converter:
    converter = Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, to_micros)
    converter.register_structure_hook(datetime, lambda value, _: from_micros(value))
    converter.register_unstructure_hook_factory(_is_optional, partial(_optional, converter))
    return converter


def _full_names() -> Converter:
    converter = _converter()
    for kind in (Job, JobSpec):
        converter.register_unstructure_hook(kind, _writer(converter, kind, full_names(kind)))
    return converter


def _short_ids() -> Converter:
    converter = _converter()
    for kind, codes in STATE_CODES.items():
        members = {code: state for state, code in codes.items()}
        converter.register_unstructure_hook(kind, codes.__getitem__)
        converter.register_structure_hook(kind, partial(_state, members))
    for kind, states in STEPS.items():
        codes, is_history = STATE_CODES[states], partial(eq, GenericAlias(tuple, (kind, ...)))
        converter.register_unstructure_hook_func(is_history, partial(steps.write, codes))
        converter.register_structure_hook_func(is_history, steps.reader(kind, codes))
    for kind in FIELD_IDS.keys() - STEPS.keys():
        is_kind = partial(eq, kind)
        ids = FIELD_IDS[kind]
        converter.register_unstructure_hook_factory(is_kind, partial(_writer, converter, ids=ids))
        converter.register_structure_hook_factory(is_kind, partial(_reader, converter, ids=ids))
    return converter


def _writer(converter: Converter, kind: Any, ids: Mapping[str, str]) -> Callable[[Any], Any]:
    overrides: Any = {name: override(rename=short) for name, short in ids.items()}
    if "payload" in ids:  # it is JSON already: nothing looks into it on its way
        overrides["payload"] = override(rename=ids["payload"], unstruct_hook=_as_it_is)
    return make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True, **overrides)


def _reader(converter: Converter, kind: Any, ids: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    overrides: Any = {name: override(rename=short) for name, short in ids.items()}
    return make_dict_structure_fn(kind, converter, **overrides)


def _state(members: Mapping[Any, Any], code: Any, kind: Any) -> Any:
    if code not in members:
        raise ValueError(f"{code!r} is not the code of a {kind.__name__}")
    return members[code]


def _is_optional(kind: Any) -> bool:
    parts = set(get_args(kind)) if get_origin(kind) in {Union, UnionType} else set[Any]()
    return NoneType in parts and len(parts - {NoneType}) == 1


def _optional(converter: Converter, kind: Any) -> Callable[[Any], Any]:
    """Return how what may be None is written: without a call, where the value is JSON already."""
    (given,) = (part for part in get_args(kind) if part is not NoneType)
    written: Callable[[Any], Any] = converter.get_unstructure_hook(given)
    return identity if written is identity else converter.gen_unstructure_optional(kind)


def _as_it_is(value: object) -> object:
    return value


#: With the full names of the fields: a request's hash, and bodies of the first versions.
FULL_NAMES: Final = _full_names()
#: With the ids of :mod:`cicd_core.persistence.field_ids`: bodies.
SHORT_IDS: Final = _short_ids()
