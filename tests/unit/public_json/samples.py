"""A value of every public class, with something in all of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, get_args, get_origin

import attrs

import cicd_core
from cicd_core import Outcome, Page, Reason, Settings, Verdict
from cicd_core.public_json.members import is_union, members_of

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
#: Stands wherever a value holds a secret.
CANARY = "canary-7d1f"
#: Fields that hold what only their owner may know.
SECRETS = frozenset({"claim_id", "incarnation", "token", "basis"})
#: The classes of public values; a page stands for all pages.
VALUES: list[Any] = [
    found
    for found in (getattr(cicd_core, name) for name in cicd_core.__all__)
    if isinstance(found, type) and attrs.has(found)
]
_PLAIN = {str: "text", int: 3, float: 0.5, bool: True, datetime: NOON, Any: {"of": "a caller"}}
#: Those whose fields depend on each other.
_GIVEN = {
    Outcome: Outcome(verdict=Verdict.FAILED, exit_code=3, error_message="no", logs_url="file:///l"),
    Settings: Settings(lease_seconds=20),
}


def some(kind: Any) -> Any:
    """Return a value of a type, with a canary in each secret field within."""
    kind = Page[Reason] if kind is Page else kind
    given: Any = _PLAIN.get(kind) or _GIVEN.get(kind)
    if given is None:
        origin = get_origin(kind) or kind
        given = _object(kind) if attrs.has(origin) else _made_of_others(kind)
    return given


def _object(kind: Any) -> Any:
    fields = [member for member in members_of(kind) if member.is_field]
    secret = {each.name for each in fields if each.name in SECRETS and not attrs.has(each.kind)}
    return (get_origin(kind) or kind)(
        **{each.name: CANARY if each.name in secret else some(each.kind) for each in fields}
    )


def _made_of_others(kind: Any) -> Any:
    if is_union(kind):
        return some(get_args(kind)[0])
    if get_origin(kind) is Mapping:
        name, value = get_args(kind)
        names = name if isinstance(name, type) and issubclass(name, Enum) else [some(name)]
        return dict.fromkeys(names, some(value))
    if get_origin(kind) is frozenset:
        return frozenset(some(each) for each in get_args(kind))
    if get_origin(kind) is tuple:
        return tuple(some(each) for each in get_args(kind) if each is not Ellipsis)
    assert issubclass(kind, Enum)
    return next(iter(kind))
