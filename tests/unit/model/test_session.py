"""What a session may be, and that nobody gets to see a token."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput
from cicd_core.model.session import (
    IDLE_SECONDS,
    MAX_SESSION_SECONDS,
    SESSION_SECONDS,
    Session,
    SessionSpec,
    check_session_id,
    checked,
    hash_token,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = SessionSpec(user_id="ann@example.org")


def test_the_hash_of_a_token_is_its_sha_256() -> None:
    assert hash_token("abc") == hashlib.sha256(b"abc").hexdigest()
    assert check_session_id(hash_token("abc")) == hash_token("abc")


def test_a_token_that_is_no_unicode_text_has_a_hash_too() -> None:
    assert hash_token("\ud800") != hash_token("\ud801")


@pytest.mark.parametrize("value", ["the-token-itself", "A" * 64, "0" * 63, None])
def test_what_is_no_hash_is_refused_without_being_shown(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_session_id(value)
    assert str(value) not in f"{refused.value} {refused.value.value}"


def test_a_session_lasts_a_day_and_eight_hours_of_silence() -> None:
    assert (SPEC.ttl_seconds, SPEC.idle_seconds) == (SESSION_SECONDS, IDLE_SECONDS)
    assert (SESSION_SECONDS, IDLE_SECONDS) == (86_400, 28_800)


def test_a_spec_that_is_right_comes_back_with_its_metadata_sorted() -> None:
    kept = checked(evolve(SPEC, metadata={"user_agent": "browser", "ip": "::1"}))
    assert list(kept.metadata.items()) == [("ip", "::1"), ("user_agent", "browser")]
    assert kept.user_id == "ann@example.org"


def test_the_idle_time_ends_with_the_session() -> None:
    assert checked(evolve(SPEC, ttl_seconds=60)).idle_seconds == 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", ""),
        ("ttl_seconds", 0),
        ("ttl_seconds", MAX_SESSION_SECONDS + 1),
        ("ttl_seconds", math.nan),
        ("idle_seconds", -1),
        ("idle_seconds", MAX_SESSION_SECONDS + 1),
        ("metadata", None),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **{field: value}))
    assert refused.value.field == field


def test_the_repr_tells_neither_the_whole_hash_nor_who_it_was() -> None:
    session = Session(
        session_id=hash_token("abc"),
        user_id="ann",
        created_at=NOON,
        expires_at=NOON,
        metadata={"ip": "192.0.2.7"},
    )
    assert hash_token("abc") not in repr(session)
    assert hash_token("abc")[:8] in repr(session)
    assert "192.0.2.7" not in repr(session)
    assert "192.0.2.7" not in repr(evolve(SPEC, metadata={"ip": "192.0.2.7"}))


def test_a_token_that_is_no_text_is_refused_without_its_value() -> None:
    with pytest.raises(InvalidInput, match="token") as refused:
        hash_token(b"secret")  # type: ignore[arg-type]  # what careless code gives
    assert "secret" not in str(refused.value)
