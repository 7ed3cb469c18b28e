"""The bodies and query strings of keys and sessions."""

from __future__ import annotations

from msgspec import field

from cicd_core.http.wire.requests import Asked, Label, Name, PageQuery
from cicd_core.keys.model import KeySpec


class KeyBody(Asked):
    """A key to create; the fields of :class:`~cicd_core.keys.model.KeySpec`."""

    name: Label
    scopes: tuple[str, ...] = ()
    agent_id: Name | None = None
    pools: tuple[Name, ...] = ()
    ttl_seconds: float | None = None

    def value(self) -> KeySpec:
        """Return it as a value of the library."""
        return KeySpec(**self.fields())


class ReplaceKeyBody(Asked):
    """How long the old key stays valid."""

    overlap_seconds: float = 3600.0


class RevokeKeyBody(Asked):
    """The revocation of a key."""

    reason: str = "revoked"


class SecretBody(Asked):
    """A token."""

    token: str


class SessionBody(Asked):
    """A session to create; the arguments of ``sessions.create``, its scopes, and the cookie."""

    user_id: Label
    ttl_seconds: float | None = None
    idle_seconds: float | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    #: The scopes of the session; by default it allows reading.
    scopes: tuple[str, ...] | None = None
    #: Whether the answer sets the cookie for a browser.
    cookie: bool = False


class ValidateBody(Asked):
    """The token to validate; by default that of the request."""

    token: str | None = None


class RotateBody(Asked):
    """The token to replace; by default that of the request."""

    token: str | None = None


class LogOutBody(Asked):
    """The token of the session to end; by default that of the request."""

    token: str | None = None


class SessionsQuery(PageQuery, kw_only=True):
    """The user whose sessions to list."""

    user_id: Label
