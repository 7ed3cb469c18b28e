"""The members of a value in JSON: its fields, and facts derived from them."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from cicd_core.control_plane.sessions import IssuedSession
from cicd_core.errors import InvalidInput
from cicd_core.keys.model import ApiKey, KeySpec
from cicd_core.keys.service import IssuedKey
from cicd_core.model.agent import Agent, AgentSpec
from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.deployment import DeploymentSpec
from cicd_core.model.job import LeaseToken
from cicd_core.model.outcome import Outcome
from cicd_core.model.pool import PoolSpec
from cicd_core.model.session import SessionSpec
from cicd_core.model.spec import JobSpec
from cicd_core.settings import Settings
from cicd_core.values import frozen

#: Fields that hold a lease, an agent's record or a session; others are private to the library
#: alone.
HIDDEN: Final = frozenset(
    {
        "basis",
        "claim_id",
        "digest",
        "incarnation",
        "lifetime_seconds",
        "own_verdict",
        "request_hash",
        "token",
    }
)
#: Values that need a hidden field: they are written, but cannot be read back.
UNREADABLE: Final = frozenset({ApiKey, ClaimRef, ClaimedJob, IssuedKey, IssuedSession, LeaseToken})
#: Values that callers write: an unknown field is a mistake. In other values a newer version of the
#: library may have added it.
WRITTEN_BY_CALLERS: Final = frozenset(
    {AgentSpec, DeploymentSpec, JobSpec, KeySpec, Outcome, PoolSpec, SessionSpec, Settings}
)
#: The public names of classes with another name in their module.
_PUBLIC_NAMES: Final = {Agent: "AgentInfo"}


@frozen
class Member:
    """A field or a property of a value."""

    name: str
    #: Its type, with the parameters of the value's class filled in.
    kind: Any
    #: Whether the constructor takes it.
    is_field: bool
    #: Whether the constructor needs it.
    needed: bool
    #: Whether JSON omits it.
    hidden: bool


def members_of(kind: Any) -> tuple[Member, ...]:
    """Return the members of a class, or of a generic class with its parameters."""
    return _members_of(kind)


@cache
def _members_of(kind: Any) -> tuple[Member, ...]:
    origin: type[Any] = get_origin(kind) or kind
    filled = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    hints = _hints_of(origin)
    fields = [
        Member(
            name=field.name,
            kind=_filled(hints.get(field.name, Any), filled),
            is_field=True,
            needed=field.default is attrs.NOTHING,
            hidden=field.name in HIDDEN or field.name.startswith("_"),
        )
        for field in attrs.fields(origin)
    ]
    return (*fields, *_facts(origin))


def _hints_of(origin: type[Any]) -> dict[str, Any]:
    """Return the types of a class's fields; none if they do not exist at run time.

    That is the case for a plugin's value that imports them only for type checkers: it is written
    anyway. Every class that ``cicd_core`` exports has its types.
    """
    try:
        return get_type_hints(origin)
    except NameError:
        return {}


def _facts(origin: type[Any]) -> list[Member]:
    """Return the properties that are plain facts, without those that are views of values."""
    found: list[Member] = []
    for name, member in vars(origin).items():
        if isinstance(member, property) and not name.startswith("_") and name not in HIDDEN:
            kind = get_type_hints(member.fget)["return"]
            if not _holds_values(kind):
                fact = Member(name=name, kind=kind, is_field=False, needed=False, hidden=False)
                found.append(fact)
    return found


def _holds_values(kind: Any) -> bool:
    return attrs.has(kind) or any(map(_holds_values, get_args(kind)))


def _filled(kind: Any, filled: dict[Any, Any]) -> Any:
    """Return a type with the parameters of its class filled in."""
    if isinstance(kind, TypeVar):
        return filled.get(kind, Any)
    parameters = getattr(kind, "__parameters__", ())
    return (
        kind[tuple(filled.get(parameter, Any) for parameter in parameters)] if parameters else kind
    )


def check_class(cls: Any) -> None:
    """Refuse a value that is not a class or a type of classes, such as a name.

    Raises:
        InvalidInput: it is not a class.
    """
    if cls is not Any and not isinstance(get_origin(cls) or cls, type) and not is_union(cls):
        raise InvalidInput("cls", cls, "give a class that cicd_core exports, such as Job")


def is_union(kind: Any) -> bool:
    """Return whether a type is a union."""
    return get_origin(kind) in {Union, UnionType}


def public_name(kind: Any) -> str:
    """Return the public name of a class; for ``Page[Job]``, ``PageOfJob``."""
    origin: Any = get_origin(kind) or kind
    name: str = _PUBLIC_NAMES.get(origin) or origin.__name__
    return "Of".join([name, *map(public_name, get_args(kind))])
