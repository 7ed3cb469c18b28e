"""The commands of a session: create, validate at each use, log out, expire.

A session ends once, for one reason, and its end is final: it is never valid again. If only the
calendar says that a session is over, its use is refused, but the session has not ended: a wrong
calendar may be corrected.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cicd_core.errors import SessionRejected
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.model.checks import check_label
from cicd_core.model.event import EventDraft
from cicd_core.model.session import Session, check_session_id
from cicd_core.values import evolve

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.session import SessionSpec


def create(
    spec: SessionSpec, *, session_id: str, now: datetime, calendar_ahead: int = 0
) -> Decision[Session]:
    """Return a new session.

    Args:
        spec: must be checked (:func:`cicd_core.model.session.checked`).
        session_id: the hash of the token, from :func:`cicd_core.model.session.hash_token`.
        now: on the store's clock.
        calendar_ahead: how far the calendar is ahead of the steady clock (µs).

    Raises:
        InvalidInput: ``session_id`` is no such hash; the error does not show its value.
    """
    session = Session(
        session_id=check_session_id(session_id),
        user_id=spec.user_id,
        created_at=now,
        expires_at=now + timedelta(seconds=spec.ttl_seconds),
        idle_seconds=spec.idle_seconds,
        metadata=spec.metadata,
        calendar_ahead=calendar_ahead,
    )
    return Decision(session, (EventDraft("session.created", now, {"user_id": session.user_id}),))


def validate(session: Session | None, *, now: datetime, idle_expires_at: datetime) -> Session:
    """Return the session if it is valid for one more use.

    Args:
        session: None if there is none under the token's hash.
        now: on the store's clock.
        idle_expires_at: when it ends unless it is used before; the earlier moment of both clocks.

    Raises:
        SessionRejected: it is unknown, logged out, or expired.
    """
    if session is None:
        raise SessionRejected("it is unknown")
    if session.logged_out_at is not None:
        raise SessionRejected("it was logged out")
    reason = _expiry(session, now, idle_expires_at)
    if session.expired_at is not None or reason is not None:
        raise SessionRejected(reason or "it has expired")
    return session


def use(session: Session, *, calendar_ahead: int) -> Decision[Session]:
    """Record a use after the calendar was set; commit it with a renewed lease."""
    return Decision(evolve(session, calendar_ahead=calendar_ahead))


def withdraw(user_id: str, *, now: datetime, actor: str) -> EventDraft:
    """Return the event of a session that ends because its unreadable record is removed.

    Raises:
        InvalidInput: ``actor``, who asked, is empty.
    """
    details = {
        "user_id": user_id,
        "actor": check_label("actor", actor),
        "reason": "its record was not readable",
    }
    return EventDraft("session.logged_out", now, details)


def log_out(session: Session, *, now: datetime, actor: str) -> Decision[Session]:
    """End the session; one that has ended stays unchanged.

    Raises:
        InvalidInput: ``actor``, who asked, is empty.
    """
    check_label("actor", actor)
    if has_ended(session):
        return unchanged(session)
    details = {"user_id": session.user_id, "actor": actor}
    return Decision(
        evolve(session, logged_out_at=now), (EventDraft("session.logged_out", now, details),)
    )


def has_ended(session: Session) -> bool:
    """Return whether its end is recorded."""
    return session.logged_out_at is not None or session.expired_at is not None


def expire(session: Session, *, now: datetime, idle_expires_at: datetime) -> Decision[Session]:
    """End the session if its time is over or it was idle for too long; else change nothing.

    Commit this under the guard that the record's lease has expired, so that a use in between wins.
    """
    reason = _expiry(session, now, idle_expires_at)
    if has_ended(session) or reason is None:
        return unchanged(session)
    details = {"user_id": session.user_id, "reason": reason}
    return Decision(evolve(session, expired_at=now), (EventDraft("session.expired", now, details),))


def _expiry(session: Session, now: datetime, idle_expires_at: datetime) -> str | None:
    """Return why the session is over; None if it is not."""
    if now >= session.expires_at:
        return "it has expired"
    if now >= idle_expires_at:
        return f"it was idle for {session.idle_seconds:g} s"
    return None
