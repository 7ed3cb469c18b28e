"""SessionService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.sessions import SessionService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.control_plane.sessions import IssuedSession
    from cicd_core.model.session import Session
    from cicd_core.persistence.listing import Page


class SessionService(Facade[Service]):
    """Sessions of people and programs: create, validate, log out."""

    def create(
        self,
        user_id: str,
        *,
        ttl_seconds: float | None = None,
        idle_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> IssuedSession:
        """Create a session.

        Args:
            user_id: the user.
            ttl_seconds: maximum lifetime. Default: that of the settings (24 hours).
            idle_seconds: maximum time without a use. Default: that of the settings.
            metadata: such as ``user_agent`` and ``ip``.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        return self._call(
            partial(
                self._service.create,
                user_id,
                ttl_seconds=ttl_seconds,
                idle_seconds=idle_seconds,
                metadata=metadata,
            )
        )

    def validate(self, token: str | None) -> Session:
        """Return the session that a token opens, and count this as a use of it.

        A session ends when its lifetime, or its idle time, has passed on the store's steady clock.
        It is also refused according to the calendar: from ``expires_at``, and ``idle_seconds``
        after its last use. If the store's machine was off, or the calendar is ahead, that may be
        earlier. This refusal is not stored: once the calendar is right again, the session is
        valid again.

        Raises:
            SessionRejected: there is no token (None); or the session is unknown, expired, idle for
                too long, or logged out.
            InvalidInput: the token is not a string.
            CorruptRecord: its record does not decode. ``SchemaTooNew`` likewise.
        """
        return self._call(partial(self._service.validate, token))

    def rotate(self, token: str | None) -> IssuedSession:
        """Replace a session's token, after a log-in or periodically; the old session ends.

        The new session ends when the old one would have; idle time and metadata are the same. Both
        happen in one commit: of several concurrent calls one succeeds, and a session that ends
        meanwhile has no successor. If the answer is lost, the user has to log in again.

        Raises:
            SessionRejected: as for :meth:`validate`.
            InvalidInput: the token is not a string.
        """
        return self._call(partial(self._service.rotate, token))

    def log_out(self, token: str | None, *, actor: str = "user") -> None:
        """End the session of a token; it is no error if it has ended or never existed.

        A session whose record does not decode ends too: see :meth:`log_out_everywhere`.
        """
        return self._call(partial(self._service.log_out, token, actor=actor))

    def revoke(self, session_id: str, *, actor: str = "operator") -> None:
        """End a session by its id, which :meth:`list` returns, even if its record does not decode.

        Raises:
            InvalidInput: it is not the id of a session.
        """
        return self._call(partial(self._service.revoke, session_id, actor=actor))

    def log_out_everywhere(self, user_id: str, *, actor: str = "operator") -> int:
        """End every session of a user, and return their number.

        It repeats the search until there are none: a session may be rotated meanwhile.

        A session that this process cannot read, because a newer version of the library wrote it or
        because it is damaged, may be valid for another process. It ends too, and counts: its
        record is removed. The program's log names it, and its event has the reason.

        Raises:
            InvalidInput: ``user_id`` or ``actor`` is wrong; no session was ended.
            TooManyConflicts: a session kept changing. It may still be valid: repeat the call, as
                after every other error.
        """
        return self._call(partial(self._service.log_out_everywhere, user_id, actor=actor))

    def list(self, user_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[Session]:
        """Return a page of a user's sessions, the newest first."""
        return self._call(partial(self._service.list, user_id, limit=limit, cursor=cursor))
