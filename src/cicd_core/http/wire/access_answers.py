"""The answers of keys and sessions: only the answer to a creation has the token."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from cicd_core.control_plane.sessions import IssuedSession
from cicd_core.http.wire.dashboard_answers import Moment
from cicd_core.http.wire.values import converted, from_wire, part_of
from cicd_core.keys.model import ApiKey
from cicd_core.keys.service import IssuedKey
from cicd_core.model.session import Session
from cicd_core.persistence.listing import Page
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from cicd_core.model.principal import Principal


class KeyMade(Struct):
    """A new key, with its token, which is shown only once."""

    key: dict[str, Any]
    token: str


class SessionOpened(Struct):
    """A new session, with its token, which is shown only once."""

    session: dict[str, Any]
    token: str


class SessionChecked(Struct):
    """Whether a token opens a session, and which one."""

    valid: bool
    user_id: str | None = None
    expires_at: Moment | None = None
    reason: str | None = None
    session: dict[str, Any] | None = None


class LoggedOut(Struct):
    """The answer to a log-out, even if there was no session."""

    status: str = "logged out"


class LoggedOutEverywhere(Struct):
    """The number of sessions of a user that were ended."""

    ended: int


class CallerShown(Struct):
    """The principal of a token."""

    name: str
    scopes: list[str]
    agent_id: str | None
    pools: list[str] | None
    key_id: str | None


class _Key(Struct):
    """An API key in an answer."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    agent_id: str | None
    pools: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


def key_made(issued: IssuedKey) -> KeyMade:
    """Return the answer with a key's token."""
    return KeyMade(key=to_json(issued.key), token=issued.token)


def session_opened(issued: IssuedSession) -> SessionOpened:
    """Return the answer with a session's token."""
    return SessionOpened(session=to_json(issued.session), token=issued.token)


def session_checked(session: Session) -> SessionChecked:
    """Return the answer for a token that opens a session."""
    said: dict[str, Any] = to_json(session)
    return SessionChecked(
        valid=True, user_id=session.user_id, expires_at=said["expires_at"], session=said
    )


def caller_shown(principal: Principal) -> CallerShown:
    """Return the answer with a token's principal."""
    return CallerShown(
        name=principal.name,
        scopes=sorted(principal.scopes),
        agent_id=principal.agent_id,
        pools=None if principal.pools is None else sorted(principal.pools),
        key_id=principal.key_id,
    )


def key_from_wire(raw: object) -> ApiKey:
    """Return the key in an answer; its digest stays on the server.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    names = _Key.__struct_fields__
    shown = converted({name: part_of(raw, name) for name in names}, _Key)
    return ApiKey(digest="", **msgspec.structs.asdict(shown))


def keys_from_wire(raw: object) -> Page[ApiKey]:
    """Return the page of keys in an answer.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    return Page(
        tuple(map(key_from_wire, part_of(raw, "items", list[Any]))),
        part_of(raw, "cursor", str | None),
        part_of(raw, "unreadable", tuple[str, ...]),
        incomplete=part_of(raw, "incomplete", bool),
    )


def issued_key_from_wire(raw: object) -> IssuedKey:
    """Return the key and the token in an answer.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    return IssuedKey(key=key_from_wire(part_of(raw, "key")), token=part_of(raw, "token", str))


def issued_session_from_wire(raw: object) -> IssuedSession:
    """Return the session and the token in an answer.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    session = from_wire(Session, part_of(raw, "session"))
    return IssuedSession(session=session, token=part_of(raw, "token", str))
