"""Events and counter increments, which share the commit of their transition."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field

from cicd_core.values import frozen


@frozen
class EventDraft:
    """An event of a decision; the commit gives it its place in the log."""

    #: Such as ``job.claimed``.
    type: str
    at: datetime
    #: Small facts, as JSON.
    data: Mapping[str, Any] = field(factory=dict[str, Any])


@frozen(kw_only=True)
class Event:
    """An event in the log. ``(subject, version, ordinal)`` is its identity (I3)."""

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
    """An entry of the log that does not decode: its event is unknown."""

    #: The collection and the key.
    subject: tuple[str, str]
    version: int
    ordinal: int
    #: The decoding error, for people.
    reason: str

    @property
    def event_id(self) -> str:
        """A text form of the identity, as an event has it."""
        collection, key = self.subject
        return f"{collection}/{key}/{self.version}/{self.ordinal}"


@frozen(kw_only=True)
class EventGap:
    """Retention removed events that a follower had not read: data built from them may be wrong."""

    #: The cursor after the last event before the gap; None: the follower had none.
    after: str | None
