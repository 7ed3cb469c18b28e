"""Events and increments."""

from __future__ import annotations

from datetime import UTC, datetime

from cicd_core.increments import Increment
from cicd_core.model.event import Event, EventDraft, UnreadableEvent

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_an_event_is_named_by_its_subject_its_version_and_its_place() -> None:
    event = Event(
        subject=("jobs", "j-1"), version=17, ordinal=2, type="job.claimed", at=NOON, data={}
    )
    assert event.event_id == "jobs/j-1/17/2"


def test_drafts_share_no_facts() -> None:
    one, other = EventDraft("job.created", NOON), EventDraft("job.created", NOON)
    assert (one.data, one) == ({}, other)
    assert one.data is not other.data


def test_an_increment_adds_one_unless_it_says_otherwise() -> None:
    assert Increment("ended/20261121|x") == Increment("ended/20261121|x", 1)


def test_an_event_that_can_t_be_read_has_the_identity_that_it_would_have() -> None:
    broken = UnreadableEvent(subject=("jobs", "j-1"), version=3, ordinal=1, reason="no JSON")
    assert broken.event_id == "jobs/j-1/3/1"
