"""Events on the wire: query strings, and the place of each event in the log.

The log returns a cursor only at the end of each page. So an event within a page has a place: the
cursor with which the page was read, and the number of its entries up to the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta

from cicd_core.errors import InvalidCursor
from cicd_core.http.wire.cloud_events import cloud_event
from cicd_core.http.wire.requests import Asked
from cicd_core.model.checks import check_cursor
from cicd_core.public_json import to_json
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.model.event import Event, UnreadableEvent

#: The format of events: CloudEvents, or the fields of the library's values.
Format = Literal["cloudevents", "event"]

#: Maximum number of events of one read.
MOST: Final = 1000
#: The names of messages in a stream that are not events of the log.
GAP: Final = "gap"
UNREADABLE: Final = "unreadable"
END: Final = "end"

_MARK: Final = "~"
#: Maximum number of digits of the number of seen entries.
_DIGITS: Final = 3


class EventsQuery(Asked):
    """A part of the log."""

    cursor: str | None = None
    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MOST})] = 100
    format: Format = "cloudevents"


class StreamQuery(Asked):
    """The events to follow."""

    cursor: str | None = None
    #: Start with the next event, instead of a cursor.
    from_now: bool = False
    #: Only events of one subject: a collection and a key, such as ``jobs/01J…``.
    subject: str | None = None
    #: Only these types, separated by commas; ``*`` matches any text.
    types: Annotated[str, Meta(min_length=1)] | None = None
    format: Format = "cloudevents"

    def subject_pair(self) -> tuple[str, str] | None:
        """Return the subject as the library expects it."""
        if self.subject is None:
            return None
        collection, _, key = self.subject.partition("/")
        return collection, key

    def type_list(self) -> list[str] | None:
        """Return the types as the library expects them."""
        return None if self.types is None else self.types.split(",")


@frozen
class Place:
    """A place in the log: a cursor, and the number of entries after it that have been seen."""

    cursor: str | None
    seen: int = 0

    @property
    def text(self) -> str:
        """The place as a cursor."""
        if self.seen or self.cursor is None:
            return f"{self.cursor or ''}{_MARK}{self.seen}"
        return self.cursor


def place_of(text: str | None) -> Place:
    """Return the place in a cursor; None: the oldest stored event.

    Raises:
        InvalidCursor: it is damaged.
    """
    if text is None:
        return Place(None)
    cursor, mark, seen = check_cursor(text).rpartition(_MARK)
    if not mark:
        return Place(text)
    if not (seen.isascii() and seen.isdecimal() and len(seen) <= _DIGITS):
        raise InvalidCursor(text, "it is damaged: give the cursor of an event, unchanged")
    return Place(cursor or None, int(seen))


def written(entry: Event | UnreadableEvent, form: Format) -> dict[str, Any]:
    """Return an entry of the log as JSON, in one of the formats."""
    if form == "cloudevents":
        return cloud_event(entry)
    value: dict[str, Any] = to_json(entry)
    return value
