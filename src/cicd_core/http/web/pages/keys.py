"""Keys, and the sessions of a user: for people who manage access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.model.amounts import amount
from cicd_core.model.principal import Scope

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.http.web.visit import Visit
    from cicd_core.keys.model import ApiKey
    from cicd_core.model.session import Session
    from cicd_core.persistence.listing import Page

_ROWS: Final = 50


async def keys(visit: Visit) -> dict[str, Any]:
    """Return a page of keys, and the newest sessions of a user, if one is requested."""
    found = await visit.plane.keys.list(limit=_ROWS, cursor=visit.text("cursor"))
    may_end = visit.may(Scope.SESSIONS_CREATE)
    user = visit.text("user_id") if may_end else None
    sessions: Page[Session] | None = None
    if user is not None:
        sessions = await visit.plane.sessions.list(user, limit=_ROWS)
    return {
        "found": found,
        "state_of": key_state,
        "session_state_of": session_state,
        "user": user,
        "sessions": sessions,
        "may_end": may_end,
        "more": None if found.cursor is None else visit.same(cursor=found.cursor, notice=None),
        "first": visit.same(cursor=None, notice=None) if visit.text("cursor") else None,
        "said": f"{amount(len(found.items), 'key')} on this page",
    }


def key_state(key: ApiKey, now: datetime) -> str:
    """Return whether a key is valid."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def session_state(session: Session, now: datetime) -> str:
    """Return whether a session is valid."""
    if session.logged_out_at is not None:
        return "ended"
    is_over = session.expired_at is not None or session.expires_at <= now
    return "expired" if is_over else "active"
