"""How values become JSON and come back, with the short ids of stored bodies or with full names."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from operator import eq
from types import GenericAlias, NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, fields
from cattrs import Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, override

from cicd_core.model.instants import from_micros, to_micros
from cicd_core.model.job import Job
from cicd_core.model.spec import JobSpec
from cicd_core.persistence import steps
from cicd_core.persistence.field_ids import FIELD_IDS, STATE_CODES, STEPS, full_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attrs import Attribute


def _converter() -> Converter:
    converter = Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, to_micros)
    converter.register_structure_hook(datetime, lambda value, _: from_micros(value))
    converter.register_structure_hook_func(partial(eq, datetime | None), _instant)
    converter.register_unstructure_hook_factory(_is_optional, partial(_optional, converter))
    return converter


def _instant(value: Any, _: object) -> datetime | None:
    return None if value is None else from_micros(value)


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
    """Return the function that makes an object of a value, without the fields at their defaults.

    It is generated: a field at its default costs one comparison, and a field that has no default
    comes first.
    """
    hints, names = get_type_hints(kind), dict[str, Any]()
    always: list[str] = []
    lines: list[str] = []
    for each in fields(kind):
        name, member = each.name, repr(ids[each.name])
        written = _expression(converter, each, hints[name], names)
        if each.default is NOTHING:
            always.append(f"{member}: {written.format(f'value.{name}')}")
            continue
        names[f"default_{name}"] = _default_of(each)
        unlike = f"it is not default_{name}"
        if each.default is not None:
            unlike += f" and it != default_{name}"
        lines += [f"    it = value.{name}", f"    if {unlike}:"]
        lines.append(f"        raw[{member}] = {written.format('it')}")
    begin = ["def write(value):", f"    raw = {{{', '.join(always)}}}"]
    exec("\n".join([*begin, *lines, "    return raw"]), names)  # noqa: S102 - only names of fields
    write: Callable[[Any], Any] = names["write"]
    return write


def _default_of(field: Attribute[Any]) -> Any:
    default: Any = field.default
    return default.factory() if hasattr(default, "factory") else default


def _expression(
    converter: Converter, field: Attribute[Any], hint: Any, names: dict[str, Any]
) -> str:
    """Return how the value ``{}`` of a field is written; add the function for it to ``names``."""
    if field.default is None and _is_optional(hint):  # only another value than None is written
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    hook = converter.get_unstructure_hook(hint)
    # A payload is JSON already: nothing looks into it on its way.
    if hook is identity or field.name == "payload":
        return "{}"
    names[f"write_{field.name}"] = hook
    return f"write_{field.name}({{}})"


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


#: With the full names of the fields: a request's hash, and bodies of the first versions.
FULL_NAMES: Final = _full_names()
#: With the ids of :mod:`cicd_core.persistence.field_ids`: bodies.
SHORT_IDS: Final = _short_ids()
