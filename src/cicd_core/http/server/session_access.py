"""Callers with a token: an API key, or a person's session, perhaps in a cookie.

A browser sends its cookies with requests of any page. So the cookie alone permits no change: the
request must come from a page of this server (``Sec-Fetch-Site``, else ``Origin``), and its body
must be JSON, which a form of another site can't send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.errors import SessionRejected
from cicd_core.keys.model import TOKEN_PREFIX
from cicd_core.model.principal import (
    NotAuthenticated,
    NotPermitted,
    Principal,
    Scope,
    known_scopes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection

    from cicd_core.control_plane.sessions import IssuedSession, SessionService
    from cicd_core.keys.service import KeyService
    from cicd_core.model.session import Session

#: The name of the cookie: browsers accept this prefix only over HTTPS (or from this machine), for
#: this host alone and for all of its paths.
COOKIE: Final = "__Host-cicd_session"
#: The field of a session's metadata with its scopes, separated by spaces.
SCOPES: Final = "scopes"
#: The scopes of a session without that field.
READING: Final = frozenset(
    {Scope.JOBS_READ, Scope.DEPLOYMENTS_READ, Scope.AGENTS_READ, Scope.EVENTS_READ}
)
#: The field with the id of the key with which a person opened the session: the session is valid
#: only as long as that key.
OF_KEY: Final = "opened_with_key"
#: The fields of a session's metadata that only the server may set.
RESERVED: Final = (SCOPES, OF_KEY)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class TokenAccess:
    """Accepts callers with an API key, or with a session as a bearer token or in the cookie."""

    def __init__(self, keys: KeyService, sessions: SessionService) -> None:
        """Take the services that check tokens."""
        self._keys = keys
        self._sessions = sessions

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return the principal of the request's token.

        Raises:
            NotAuthenticated: there is no token, or an invalid one.
            NotPermitted: it has only the cookie, and may come from a page of another site.
        """
        token = bearer_of(connection)
        if token is None:
            token = cookie_of(connection)
            if token is None:
                raise NotAuthenticated("send the header Authorization: Bearer, with a key")
            require_own_page(connection)
        elif token.startswith(TOKEN_PREFIX):
            return await self._keys.authenticate(token)
        try:
            session = await self._sessions.validate(token)
        except SessionRejected as rejected:
            raise NotAuthenticated(rejected.reason) from rejected
        if (key_id := session.metadata.get(OF_KEY)) is not None:
            await self._keys.principal_of(key_id)
        return principal_of(session)

    async def log_in(self, token: str, *, metadata: Mapping[str, str]) -> IssuedSession:
        """Create a session for the holder of a key, with the scopes of the key.

        It ends with the key, or at the end of the usual lifetime of sessions.

        Args:
            token: the token of the key.
            metadata: the metadata of the session, such as ``user_agent``.

        Raises:
            NotAuthenticated: the token is invalid.
            NotPermitted: the key is limited to an agent or to pools; a person needs one for all.
        """
        principal = await self._keys.authenticate(token)
        if principal.limits is not None or principal.key_id is None:
            reason = f"the key is limited to {principal.limits}; log in with a key without limits"
            raise NotPermitted(principal.name, reason)
        scopes = " ".join(sorted(principal.scopes))
        own = {SCOPES: scopes, OF_KEY: principal.key_id}
        return await self._sessions.create(principal.name, metadata={**metadata, **own})


def principal_of(session: Session) -> Principal:
    """Return the principal of a session: its user, with its scopes."""
    said = session.metadata.get(SCOPES)
    scopes = READING if said is None else known_scopes(said.split())
    return Principal(name=session.user_id, scopes=scopes)


def bearer_of(connection: HTTPConnection) -> str | None:
    """Return the token in the header ``Authorization``; None: there is none.

    Raises:
        NotAuthenticated: the header has another form.
    """
    said = connection.headers.get("authorization")
    if said is None:
        return None
    scheme, _, token = said.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("send the header Authorization: Bearer, with a key")
    return token.strip()


def cookie_of(connection: HTTPConnection) -> str | None:
    """Return the token in the cookie; None: there is none.

    Raises:
        NotAuthenticated: the cookie appears more than once, and one of them may be planted.
    """
    found = _cookies(connection)
    if len(found) > 1:
        reason = f"the cookie {COOKIE} appears {len(found)} times; clear it, and log in again"
        raise NotAuthenticated(reason)
    return found[0] if found else None


def cookie_with(issued: IssuedSession) -> str:
    """Return the header that sets the cookie to the token of a session, for its lifetime."""
    lasts = issued.session.expires_at - issued.session.created_at
    return _set_cookie(issued.token, int(lasts.total_seconds()))


def _set_cookie(value: str, seconds: int) -> str:
    return f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax"


#: The header that removes the cookie from a browser.
NO_COOKIE: Final = _set_cookie("", 0)


def has_cookie(connection: HTTPConnection) -> bool:
    """Return whether a request has the cookie, once or more."""
    return bool(_cookies(connection))


def _cookies(connection: HTTPConnection) -> list[str]:
    """Return the values of the cookie with exactly that name.

    A name with additional spaces is another cookie: it does not begin with the prefix, so any page
    of the domain could set it.
    """
    pairs = (
        part.strip(" \t").partition("=")
        for header in connection.headers.getlist("cookie")
        for part in header.split(";")
    )
    return [value for name, _, value in pairs if name == COOKIE]


def require_own_page(connection: HTTPConnection) -> None:
    """Check that a changing request with the cookie comes from a page of this server.

    Raises:
        NotPermitted: it may come from another site.
    """
    if connection.scope["method"] in _SAFE:
        return
    require_own_origin(connection)
    content_type = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        reason = "a request with the cookie must have the content type application/json"
        raise NotPermitted("the session's cookie", reason)


def require_own_origin(connection: HTTPConnection) -> None:
    """Check that a request comes from a page of this server, as its browser says.

    Raises:
        NotPermitted: it may come from another site.
    """
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    own = f"{connection.url.scheme}://{connection.url.netloc}"
    if site != "same-origin" if site is not None else origin != own:
        reason = "a request with the cookie must come from a page of this server"
        raise NotPermitted("the session's cookie", reason)
