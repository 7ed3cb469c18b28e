"""Events and counter increments: what rides in the same commit as a transition."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen


@frozen
class EventDraft:
    """An event that a decision wants to be told of; the commit gives it its place in the log."""

    #: Such as ``job.claimed``.
    type: str
    at: datetime
    #: Small facts, as JSON.
    data: Mapping[str, Any] = field(factory=dict[str, Any])


@frozen(kw_only=True)
class Event:
    """An event as the log tells it. ``(subject, version, ordinal)`` is its identity (I3)."""

    #: The collection and the key, such as ``("jobs", "01J…")``.
    subject: tuple[str, str]
    #: The version of the subject's record that this event led to.
    version: int
    #: Its place among the events of that version, from 0.
    ordinal: int
    type: str
    at: datetime
    data: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """A text form of the identity."""
        collection, key = self.subject
        return f"{collection}/{key}/{self.version}/{self.ordinal}"


@frozen(kw_only=True)
class UnreadableEvent:
    """An entry of the log that does not decode: something happened there, nobody can say what."""

    #: The collection and the key.
    subject: tuple[str, str]
    version: int
    ordinal: int
    #: What did not decode, for people.
    reason: str

    @property
    def event_id(self) -> str:
        """A text form of the identity, as an event has it."""
        collection, key = self.subject
        return f"{collection}/{key}/{self.version}/{self.ordinal}"


@frozen(kw_only=True)
class EventGap:
    """Retention dropped events that a follower had not read: what it built of them may be wrong."""

    #: The cursor behind the last event before the gap; None: the follower had none.
    after: str | None
