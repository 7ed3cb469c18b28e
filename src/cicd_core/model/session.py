"""Sessions of logged-in users. Only the hash of a token is stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_label, check_metadata, check_no_step, check_seconds
from cicd_core.values import frozen

#: Default lifetime of a session, in seconds: a day.
SESSION_SECONDS = 24 * 3600.0
#: Default idle time of a session, in seconds: eight hours.
IDLE_SECONDS = 8 * 3600.0
#: Maximum lifetime of a session, in seconds: 365 days.
MAX_SESSION_SECONDS = 365 * 24 * 3600.0

_HASH = re.compile(r"[0-9a-f]{64}")


def hash_token(token: str) -> str:
    """Return the id of the session that ``token`` opens: its SHA-256 in hexadecimal digits.

    No salt is needed, since a token is 256 random bits: they cannot be guessed.

    Raises:
        InvalidInput: it is not a string.
    """
    if not isinstance(token, str):  # the value is omitted: it may be the token
        raise InvalidInput("token", type(token).__name__, "give the session's token, a string")
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def check_session_id(value: str) -> str:
    """Return ``value``, a result of :func:`hash_token`.

    Raises:
        InvalidInput: it is not a hash. It may be the token, so the error does not show it.
    """
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidInput("session_id", "(not shown)", "give the result of hash_token(token)")
    return value


@frozen(kw_only=True)
class Session:
    """A session. Instants are aware UTC datetimes of the store's clock, durations are seconds.

    The lease on its record has the idle expiry; each use renews it without a write. The calendar
    ends it as well, at ``expires_at`` and ``idle_seconds`` after its last use: the steady clock,
    which ends leases, does not count the time while a machine is off.
    """

    #: The hash of the token, from which the token cannot be derived.
    session_id: str = field(repr=lambda value: f"'{value[:8]}…'")
    user_id: str
    created_at: datetime
    #: The session ends at this time, regardless of its use.
    expires_at: datetime
    #: Time without use after which it ends.
    idle_seconds: float = IDLE_SECONDS
    #: Such as ``user_agent`` and ``ip``. Omitted from the repr: it is personal data.
    metadata: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    #: Offset of the store's calendar from its steady clock at the last use (µs): the lease has only
    #: the steady clock.
    calendar_ahead: int = field(default=0, repr=False)
    logged_out_at: datetime | None = None
    #: The time at which the session was ended.
    expired_at: datetime | None = None


@frozen(kw_only=True)
class SessionSpec:
    """A session to create. The fields are those of :class:`Session`."""

    user_id: str
    #: Its lifetime, regardless of its use: at most 365 days.
    ttl_seconds: float = SESSION_SECONDS
    #: At most ``ttl_seconds`` has an effect.
    idle_seconds: float = IDLE_SECONDS
    metadata: Mapping[str, str] = field(factory=dict[str, str], repr=False)


def checked(spec: SessionSpec) -> SessionSpec:
    """Return the spec with its metadata sorted, and its idle time within its lifetime.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: a text is over its limit.
    """
    ttl = check_seconds("ttl_seconds", spec.ttl_seconds, least=1, most=MAX_SESSION_SECONDS)
    idle = check_seconds("idle_seconds", spec.idle_seconds, least=1, most=MAX_SESSION_SECONDS)
    return SessionSpec(
        user_id=_checked_user(spec.user_id),
        ttl_seconds=ttl,
        idle_seconds=min(idle, ttl),
        metadata=check_metadata(spec.metadata),
    )


def _checked_user(user_id: str) -> str:
    """Return the id of a user, which stands in paths.

    Raises:
        InvalidInput: it is no label, or a step in a path.
        TooLarge: it is over its limit.
    """
    check_no_step("user_id", user_id)
    return check_label("user_id", user_id)
