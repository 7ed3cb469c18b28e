"""Frozen values that are cheap to create: attrs classes, built and changed by plain assignments.

:func:`attrs.frozen` calls ``object.__setattr__`` once per field to create a value, and
:func:`attrs.evolve` looks at every field. A job has 45 fields, and is created or changed twenty
times in its life. Here a value is built as an instance of its *draft*, a class of the same layout
that allows assignments. When it is complete, it becomes an instance of its own class, which allows
none. Code outside this module never sees a draft, and type checkers see only attrs.
"""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attrs import Attribute, evolve, frozen
else:

    def frozen(cls: type[Any] | None = None, /, **options: Any) -> Any:
        """Make an attrs class whose instances never change, as :func:`attrs.frozen` does."""

        def made(plain: type[Any]) -> type[Any]:
            # CPython cannot compare layouts with a slot for weak references, so it would refuse a
            # draft.
            made_by_attrs = attrs.frozen(plain, weakref_slot=False, **options)
            if options.get("cache_hash"):  # attrs' own constructor prepares the cache
                return made_by_attrs
            return _quick(made_by_attrs, kw_only=options.get("kw_only", False))

        return made if cls is None else made(cls)

    def evolve(value: Any, /, **changes: Any) -> Any:
        """Return a value that differs in these fields, as :func:`attrs.evolve` does.

        Raises:
            TypeError: there is no field of that name.
        """
        quick = getattr(type(value), _EVOLVE, None)
        return attrs.evolve(value, **changes) if quick is None else quick(value, changes)


__all__ = ["evolve", "frozen"]

#: The method of a class that returns a changed copy of a value.
_EVOLVE: Final = "__cicd_evolve__"
#: The attribute of a class with its draft.
_DRAFT: Final = "__cicd_draft__"
#: Methods that allow assignments, even if base classes forbid them, and make an empty instance.
_OPEN: Final = {
    "__setattr__": object.__setattr__,
    "__delattr__": object.__delattr__,
    "__new__": object.__new__,
    "__init__": object.__init__,
}
#: The default of a field with a factory: attrs' own, which signatures show.
_ABSENT: Final = attrs.NOTHING


def _quick(cls: type[Any], *, kw_only: bool) -> type[Any]:
    """Let a frozen class be built by assignments, if its fields allow that."""
    fields = attrs.fields(cls)
    if not all(map(_is_simple, fields)):
        if hasattr(cls, _EVOLVE):
            raise TypeError(f"{cls.__name__}: a field is not as simple as those of its base class")
        return cls
    draft = _draft_of(cls)
    names: dict[str, Any] = {
        "_cls": cls,
        "_draft": draft,
        "_absent": _ABSENT,
        "_names": frozenset(each.name for each in fields),
        "_converters": {each.name: each.converter for each in fields if each.converter},
    }
    lines = [*_maker(cls, fields, names, kw_only=kw_only), *_changer(cls, fields, names)]
    exec("\n".join(lines), names)  # noqa: S102 - built only from the names of fields
    make, change = names["_make"], names["_change"]
    make.__annotations__ = {each.name: each.type for each in fields}
    make.__name__, make.__qualname__ = "__new__", f"{cls.__qualname__}.__new__"
    make.__module__ = change.__module__ = cls.__module__
    cls.__new__ = make
    setattr(cls, "__init__", object.__init__)  # noqa: B010 - of a type, says a type checker
    setattr(cls, "__reduce__", _reduced)  # noqa: B010 - a type checker has another signature
    setattr(cls, _EVOLVE, change)
    setattr(cls, _DRAFT, draft)
    return cls


def _is_simple(field: Attribute[Any]) -> bool:
    is_plain = not field.name.startswith("_") and field.alias == field.name
    return is_plain and field.init and field.validator is None


def _draft_of(cls: type[Any]) -> type[Any]:
    """Return a class of the same layout whose instances allow assignments."""
    slots = {"__slots__": cls.__slots__, "__module__": cls.__module__, **_OPEN}
    bases = vars(cls).get("__orig_bases__", cls.__bases__)
    return new_class(f"{cls.__name__}Draft", bases, {}, lambda space: space.update(slots))


def _maker(
    cls: type[Any], fields: tuple[Attribute[Any], ...], names: dict[str, Any], *, kw_only: bool
) -> Iterator[str]:
    """Write the function that creates a value; add the objects that it uses to ``names``."""
    parameters = [_parameter(each, names) for each in fields]
    apart = ["*"] if kw_only and fields else []
    yield f"def _make({', '.join(['_kind', *apart, *parameters])}):"
    yield "    if _kind is not _cls:"
    yield "        raise TypeError(f'{_kind.__name__}: only a value may inherit from a value')"
    yield "    self = _draft()"
    for each in fields:
        yield f"    self.{each.name} = {_expression(each, names)}"
    yield from _completed(cls)


def _changer(
    cls: type[Any], fields: tuple[Attribute[Any], ...], names: dict[str, Any]
) -> Iterator[str]:
    """Write the function that returns a changed copy; unchanged fields are not converted again."""
    yield "def _change(_value, _changes):"
    yield "    if not _names >= _changes.keys():"
    yield "        unknown = ', '.join(sorted(_changes.keys() - _names))"
    yield f"        raise TypeError(f'{cls.__name__} has no field {{unknown}}')"
    yield "    self = _draft()"
    for each in fields:
        yield f"    self.{each.name} = _value.{each.name}"
    yield "    for _name, _found in _changes.items():"
    if names["_converters"]:
        yield "        _convert = _converters.get(_name)"
        yield "        if _convert is not None:"
        yield "            _found = _convert(_found)"
    yield "        setattr(self, _name, _found)"
    yield from _completed(cls)


def _completed(cls: type[Any]) -> Iterator[str]:
    yield "    self.__class__ = _cls"
    if hasattr(cls, "__attrs_post_init__"):
        yield "    self.__attrs_post_init__()"
    yield "    return self"


def _parameter(field: Attribute[Any], names: dict[str, Any]) -> str:
    if field.default is attrs.NOTHING:
        return field.name
    if _factory_of(field) is not None:
        return f"{field.name}=_absent"
    names[f"_default_{field.name}"] = field.default
    return f"{field.name}=_default_{field.name}"


def _expression(field: Attribute[Any], names: dict[str, Any]) -> str:
    """Return the expression of a field's value; a factory is called if no value was given."""
    name, factory = field.name, _factory_of(field)
    found = name
    if factory is not None:
        names[f"_factory_{name}"] = factory.factory
        made = f"_factory_{name}({'self' if factory.takes_self else ''})"
        found = f"({made} if {name} is _absent else {name})"
    return f"_converters[{name!r}]({found})" if name in names["_converters"] else found


def _factory_of(field: Attribute[Any]) -> Any:
    return field.default if type(field.default).__name__ == "Factory" else None


def _reduced(value: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return how a copy is made, in this process or another one: from the unchanged fields."""
    cls: type[Any] = value.__class__
    return _restored, (cls, {each.name: getattr(value, each.name) for each in attrs.fields(cls)})


def _restored(cls: type[Any], fields: dict[str, Any]) -> Any:
    value: Any = object.__new__(getattr(cls, _DRAFT))
    for name, found in fields.items():
        setattr(value, name, found)
    value.__class__ = cls
    return value
