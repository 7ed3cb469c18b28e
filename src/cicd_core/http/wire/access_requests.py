"""The bodies and query strings of keys and sessions."""

from __future__ import annotations

from msgspec import field

from cicd_core.http.wire.requests import Asked, Label, Name, PageQuery
from cicd_core.keys.model import KeySpec


class KeyBody(Asked):
    """A key to be made; the fields of :class:`~cicd_core.keys.model.KeySpec`."""

    name: Label
    scopes: tuple[str, ...] = ()
    agent_id: Name | None = None
    pools: tuple[Name, ...] = ()
    ttl_seconds: float | None = None

    def value(self) -> KeySpec:
        """Return it as the library has it."""
        return KeySpec(**self.fields())


class ReplaceKeyBody(Asked):
    """How long the old key stays valid."""

    overlap_seconds: float = 3600.0


class RevokeKeyBody(Asked):
    """A key that ends."""

    reason: str = "revoked"


class SecretBody(Asked):
    """A token."""

    token: str


class SessionBody(Asked):
    """A session to be opened; the arguments of ``sessions.create``, and how the token travels."""

    user_id: Label
    ttl_seconds: float | None = None
    idle_seconds: float | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    #: What the session allows; reading when left out.
    scopes: tuple[str, ...] | None = None
    #: Whether the answer sets the cookie for a browser.
    cookie: bool = False


class ValidateBody(Asked):
    """The token to look at; the request's own when left out."""

    token: str | None = None


class RotateBody(Asked):
    """The session that gets another token; the request's own when left out."""

    token: str | None = None


class LogOutBody(Asked):
    """The session to end; the request's own when left out."""

    token: str | None = None


class SessionsQuery(PageQuery, kw_only=True):
    """Whose sessions."""

    user_id: Label
