"""Sessions of people, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.errors import SessionRejected
from cicd_core.http.client.paths import auth_path_of
from cicd_core.http.wire.access_answers import issued_session_from_wire
from cicd_core.http.wire.values import from_wire, part_of
from cicd_core.model.checks import check_label, check_metadata
from cicd_core.model.session import Session, check_session_id, hash_token
from cicd_core.persistence.listing import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.control_plane.sessions import IssuedSession
    from cicd_core.http.client.connection import Connection


class RemoteSessions:
    """Sessions of a server; the same methods as ``SessionService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def create(
        self,
        user_id: str,
        *,
        ttl_seconds: float | None = None,
        idle_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> IssuedSession:
        """Create a session that allows its user to read; the server sets that in the metadata.

        The arguments are those of ``SessionService.create``.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        body = {
            "user_id": check_label("user_id", user_id),
            "ttl_seconds": ttl_seconds,
            "idle_seconds": idle_seconds,
            "metadata": check_metadata(metadata or {}),
        }
        path = auth_path_of("session")
        return issued_session_from_wire(
            await self._connection.call("POST", path, body, repeatable=False)
        )

    async def validate(self, token: str | None) -> Session:
        """Return the session that a token opens, and count this as a use of it.

        Raises:
            SessionRejected: there is no token (None); or its session is unknown, expired, idle for
                too long, or logged out.
            InvalidInput: the token is not a string.
        """
        if token is None:
            raise SessionRejected("no token was given")
        if not _can_travel(token):
            raise SessionRejected("it is unknown, or has expired")
        path = auth_path_of("validate")
        answer = await self._connection.call("POST", path, {"token": token}, repeatable=True)
        if not part_of(answer, "valid", bool):
            raise SessionRejected(part_of(answer, "reason", str))
        return from_wire(Session, part_of(answer, "session"))

    async def rotate(self, token: str | None) -> IssuedSession:
        """Replace a session's token, after a log-in or periodically; the old session ends.

        Raises:
            SessionRejected: as for :meth:`validate`.
            InvalidInput: the token is not a string.
        """
        if token is None:
            raise SessionRejected("no token was given")
        if not _can_travel(token):
            raise SessionRejected("it is unknown, or has expired")
        path = auth_path_of("rotate")
        answer = await self._connection.call("POST", path, {"token": token}, repeatable=False)
        return issued_session_from_wire(answer)

    async def log_out(self, token: str | None, *, actor: str = "user") -> None:
        """End the session of a token; it is no error if it has ended or never existed."""
        if token is not None and _can_travel(token):
            path = auth_path_of("logout")
            await self._connection.call("POST", path, {"token": token}, repeatable=True)

    async def revoke(self, session_id: str, *, actor: str = "operator") -> None:
        """End a session by its id, which :meth:`list` returns.

        Raises:
            InvalidInput: it is not the id of a session.
        """
        path = auth_path_of("sessions", name=check_session_id(session_id))
        await self._connection.call("DELETE", path, repeatable=True)

    async def log_out_everywhere(self, user_id: str, *, actor: str = "operator") -> int:
        """End every session of a user, and return their number.

        Raises:
            InvalidInput: ``user_id`` is wrong.
        """
        name = check_label("user_id", user_id)
        path = auth_path_of("users", name=name, command="logout")
        answer = await self._connection.call("POST", path, {}, repeatable=False)
        ended: int = part_of(answer, "ended", int)
        return ended

    async def list(
        self, user_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Session]:
        """Return a page of a user's sessions, the newest first."""
        query = {"user_id": check_label("user_id", user_id), "limit": limit, "cursor": cursor}
        return from_wire(Page[Session], await self._connection.get(auth_path_of("sessions"), query))


def _can_travel(token: str) -> bool:
    """Return whether JSON can carry the token; all tokens of sessions are such texts.

    Raises:
        InvalidInput: it is not a string.
    """
    hash_token(token)
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True
