"""An event as an audit entry: actor, command, subject, status before and after, and reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from cicd_core.model.event import Event
from cicd_core.values import frozen

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.event import UnreadableEvent

#: The names of an entry's fields, in the order of a file's columns.
COLUMNS = ("at", "actor", "command", "kind", "subject", "before", "after", "reason")


@frozen(kw_only=True)
class Trail:
    """One command, according to the log."""

    #: None: the entry does not decode.
    at: datetime | None
    actor: str
    #: The type of the event.
    command: str
    #: The collection of the subject.
    kind: str
    subject: str
    before: str
    after: str
    reason: str


def trail_of(entry: Event | UnreadableEvent) -> Trail:
    """Return the audit entry of an event."""
    kind, subject = entry.subject
    if not isinstance(entry, Event):
        return Trail(
            at=None,
            actor="",
            command="unreadable",
            kind=kind,
            subject=subject,
            before="",
            after="",
            reason=entry.reason,
        )
    data = entry.data
    return Trail(
        at=entry.at,
        actor=actor_of(entry),
        command=entry.type,
        kind=kind,
        subject=subject,
        before=_text(data.get("from")),
        after=_text(data.get("to")),
        reason=_text(data.get("reason") or data.get("fault") or data.get("message")),
    )


def actor_of(event: Event) -> str:
    """Return the actor of a command, if its event names one."""
    data = event.data
    return _text(data.get("actor") or data.get("agent_id") or data.get("user_id"))


def matches(entry: Event | UnreadableEvent, actor: str | None, command: str | None) -> bool:
    """Return whether an entry has this actor, and a type such as ``job.*``; None matches any."""
    if not isinstance(entry, Event):
        return actor is None and command is None
    if actor is not None and actor_of(entry) != actor:
        return False
    return command is None or fnmatchcase(entry.type, command)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
