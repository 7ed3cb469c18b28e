"""Enums and lists as callers write them: members or texts, any collection of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum
from typing import TypeVar, cast

from cicd_core.errors import InvalidInput

Member = TypeVar("Member", bound=Enum)
Item = TypeVar("Item")


def text_of(member: Enum) -> str:
    """Return the text of a member: its value, or for a priority its name, such as ``high``."""
    return member.name.lower() if isinstance(member, IntEnum) else str(member.value)


def check_choice(
    field: str, value: object, kind: type[Member], legal: Iterable[Member] | None = None
) -> Member:
    """Return the member given by ``value``: a member, its text, or its Python name.

    Args:
        field: the name in errors.
        value: the caller's value.
        kind: the enum.
        legal: the allowed members; all by default.

    Raises:
        InvalidInput: it is neither; the error quotes the value and the legal texts.
    """
    if legal is None and isinstance(value, kind):
        return value
    members = tuple(kind if legal is None else legal)
    member = member_of(value, kind)
    if member is None or member not in members:
        raise InvalidInput(field, value, f"give one of {', '.join(map(text_of, members))}")
    return member


def member_of(value: object, kind: type[Member]) -> Member | None:
    """Return the member given by ``value``; None if there is none."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        return None
    return next((item for item in kind if value in {text_of(item), item.name}), None)


def taken_as(value: Member | str, kind: type[Member]) -> Member:
    """Return the member for a field of a spec; other values stay, for a later check."""
    found = member_of(value, kind)
    return cast("Member", value) if found is None else found


def as_tuple(values: Iterable[Item]) -> tuple[Item, ...]:
    """Return any collection but a text as a tuple; other values stay, for a later check."""
    if isinstance(values, tuple | str | bytes | Mapping) or not isinstance(values, Iterable):
        return cast("tuple[Item, ...]", values)
    return tuple(values)


def as_names(values: Iterable[str]) -> tuple[str, ...]:
    """Return any collection of names as a tuple, as :func:`as_tuple` does: for a field's type."""
    return values if isinstance(values, tuple) else as_tuple(values)
