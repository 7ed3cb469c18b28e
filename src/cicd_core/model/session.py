"""A session: a user who has logged in. Only the hash of its token is ever kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_label, check_metadata, check_seconds

#: How long a session lasts at most, in seconds, unless its spec says otherwise: a day.
SESSION_SECONDS = 24 * 3600.0
#: How long it lasts without being used, in seconds: eight hours.
IDLE_SECONDS = 8 * 3600.0
#: The longest that a session may be asked to last, in seconds: 365 days.
MAX_SESSION_SECONDS = 365 * 24 * 3600.0

_HASH = re.compile(r"[0-9a-f]{64}")


def hash_token(token: str) -> str:
    """Return the id of the session that ``token`` opens: its SHA-256 in hexadecimal digits.

    No salt is needed, since a token is 256 random bits: nobody can try them all.

    Raises:
        InvalidInput: it is no string.
    """
    if not isinstance(token, str):  # the value is left out: it may be the token all the same
        raise InvalidInput("token", type(token).__name__, "give the session's token, a string")
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def check_session_id(value: str) -> str:
    """Return ``value``, a hash that :func:`hash_token` made.

    Raises:
        InvalidInput: it is none. It may be the token itself, so the error does not show it.
    """
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidInput("session_id", "(not shown)", "give what hash_token() makes of the token")
    return value


@frozen(kw_only=True)
class Session:
    """A session. Instants are aware UTC datetimes of the store's clock, durations are seconds.

    Its idle expiry is that of the lease on its record, which each use renews without a write. The
    calendar refuses it as well, from ``expires_at`` and from ``idle_seconds`` after its last use
    on: the steady clock, which ends leases, does not count the time that a machine was off.
    """

    #: The hash of the token, which nobody can turn back into the token.
    session_id: str = field(repr=lambda value: f"'{value[:8]}…'")
    user_id: str
    created_at: datetime
    #: From this moment it is over, however much it is used.
    expires_at: datetime
    #: How long it lasts without being used.
    idle_seconds: float = IDLE_SECONDS
    #: Such as ``user_agent`` and ``ip``. Left out of the repr: it tells of a person.
    metadata: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    #: How far the store's calendar was ahead of its steady clock when it was used last (µs): the
    #: lease knows the steady clock alone.
    calendar_ahead: int = field(default=0, repr=False)
    logged_out_at: datetime | None = None
    #: When it was found to be over.
    expired_at: datetime | None = None


@frozen(kw_only=True)
class SessionSpec:
    """A session to be made. The fields mean what they mean on :class:`Session`."""

    user_id: str
    #: How long it lasts, however much it is used: at most 365 days.
    ttl_seconds: float = SESSION_SECONDS
    #: At most ``ttl_seconds`` has an effect.
    idle_seconds: float = IDLE_SECONDS
    metadata: Mapping[str, str] = field(factory=dict[str, str], repr=False)


def checked(spec: SessionSpec) -> SessionSpec:
    """Return the spec with its metadata sorted, and its idle time within its whole time.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: a text is over its limit.
    """
    ttl = check_seconds("ttl_seconds", spec.ttl_seconds, least=1, most=MAX_SESSION_SECONDS)
    idle = check_seconds("idle_seconds", spec.idle_seconds, least=1, most=MAX_SESSION_SECONDS)
    return SessionSpec(
        user_id=check_label("user_id", spec.user_id),
        ttl_seconds=ttl,
        idle_seconds=min(idle, ttl),
        metadata=check_metadata(spec.metadata),
    )
