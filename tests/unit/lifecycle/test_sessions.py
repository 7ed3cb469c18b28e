"""A session ends once: it is logged out, its time is over, or nobody used it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cicd_core.errors import InvalidInput, SessionRejected
from cicd_core.lifecycle import sessions
from cicd_core.model.session import Session, SessionSpec, checked, hash_token

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOKEN = "a-token-that-nobody-may-see"
SPEC = checked(
    SessionSpec(user_id="ann", ttl_seconds=3600, idle_seconds=600, metadata={"ip": "::1"})
)
END = NOON + timedelta(hours=1)
IDLE = NOON + timedelta(minutes=10)


def new() -> Session:
    return sessions.create(SPEC, session_id=hash_token(TOKEN), now=NOON).value


def test_a_new_session_lasts_as_long_as_its_spec_says() -> None:
    decision = sessions.create(SPEC, session_id=hash_token(TOKEN), now=NOON)
    session = decision.value
    assert (session.session_id, session.user_id) == (hash_token(TOKEN), "ann")
    assert (session.created_at, session.expires_at, session.idle_seconds) == (NOON, END, 600)
    assert session.metadata == {"ip": "::1"}
    (event,) = decision.events
    assert (event.type, event.data) == ("session.created", {"user_id": "ann"})


def test_a_token_in_the_place_of_its_hash_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInput) as refused:
        sessions.create(SPEC, session_id=TOKEN, now=NOON)
    assert refused.value.field == "session_id"
    assert TOKEN not in f"{refused.value!r} {refused.value.value!r}"


def test_a_session_is_good_until_its_last_moment() -> None:
    session = new()
    last = END - timedelta(microseconds=1)
    assert sessions.validate(session, now=last, idle_expires_at=END) is session


@pytest.mark.parametrize(
    ("session", "now", "idle_expires_at", "reason"),
    [
        (None, NOON, IDLE, "it is unknown"),
        (sessions.log_out(new(), now=NOON, actor="ann").value, NOON, IDLE, "it was logged out"),
        (new(), END, END + MINUTE, "it has expired"),
        (new(), IDLE, IDLE, "it was idle for 600 s"),
        (
            sessions.expire(new(), now=IDLE, idle_expires_at=IDLE).value,
            NOON,
            IDLE,
            "it has expired",
        ),
    ],
)
def test_a_session_that_is_not_there_or_over_is_rejected_with_the_reason_alone(
    session: Session | None, now: datetime, idle_expires_at: datetime, reason: str
) -> None:
    with pytest.raises(SessionRejected) as rejected:
        sessions.validate(session, now=now, idle_expires_at=idle_expires_at)
    assert rejected.value.reason == reason
    assert hash_token(TOKEN) not in str(rejected.value)


def test_a_logout_ends_a_session_and_is_told() -> None:
    decision = sessions.log_out(new(), now=NOON + MINUTE, actor="admin")
    assert decision.value.logged_out_at == NOON + MINUTE
    (event,) = decision.events
    assert (event.type, event.data) == ("session.logged_out", {"user_id": "ann", "actor": "admin"})


def test_who_logs_out_must_be_said() -> None:
    with pytest.raises(InvalidInput) as refused:
        sessions.log_out(new(), now=NOON, actor="")
    assert refused.value.field == "actor"


@pytest.mark.parametrize(
    ("now", "reason"),
    [(IDLE, "it was idle for 600 s"), (END, "it has expired")],
)
def test_a_session_that_is_over_expires_and_the_event_says_why(now: datetime, reason: str) -> None:
    decision = sessions.expire(new(), now=now, idle_expires_at=IDLE)
    assert decision.value.expired_at == now
    (event,) = decision.events
    assert (event.type, event.data) == ("session.expired", {"user_id": "ann", "reason": reason})


def test_a_session_that_is_in_use_does_not_expire() -> None:
    session = new()
    decision = sessions.expire(session, now=NOON + MINUTE, idle_expires_at=IDLE)
    assert not decision.changed
    assert decision.value is session


def test_a_session_ends_once() -> None:
    logged_out = sessions.log_out(new(), now=NOON, actor="ann").value
    expired = sessions.expire(new(), now=IDLE, idle_expires_at=IDLE).value
    for session in (logged_out, expired):
        again = sessions.log_out(session, now=END, actor="ann")
        assert (again.changed, again.value) == (False, session)
        assert not sessions.expire(session, now=END, idle_expires_at=IDLE).changed


def test_a_use_after_the_calendar_was_set_keeps_how_far_that_is_ahead() -> None:
    decision = sessions.use(new(), calendar_ahead=7)
    assert decision.value.calendar_ahead == 7
    assert decision.events == ()


def test_a_session_that_is_not_readable_is_withdrawn_with_the_reason() -> None:
    event = sessions.withdraw("ann", now=NOON, actor="bob")
    assert (event.type, event.at) == ("session.logged_out", NOON)
    assert event.data == {"user_id": "ann", "actor": "bob", "reason": "its record was not readable"}
