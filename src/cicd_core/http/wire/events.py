"""Events on the wire: query strings, and the place of each event in the log.

The log gives a cursor behind each page that it answers. An event within a page has a place of its
own: the cursor that the page was read with, and how many entries of it come up to the event.
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

#: How events are written: as CloudEvents, or with the fields that the library's values have.
Format = Literal["cloudevents", "event"]

#: The most events that one read of the log gives.
MOST: Final = 1000
#: The names of the events of a stream that are none of the log.
GAP: Final = "gap"
UNREADABLE: Final = "unreadable"
END: Final = "end"

_MARK: Final = "~"
#: How many digits the number of seen entries has at most.
_DIGITS: Final = 3


class EventsQuery(Asked):
    """A part of the log."""

    cursor: str | None = None
    limit: Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": MOST})] = 100
    format: Format = "cloudevents"


class StreamQuery(Asked):
    """Which events are followed."""

    cursor: str | None = None
    #: Begin with what happens from now on, in place of a cursor.
    from_now: bool = False
    #: Only those of one subject: a collection and a key, such as ``jobs/01J…``.
    subject: str | None = None
    #: Only these, separated by commas; ``*`` stands for anything.
    types: Annotated[str, Meta(min_length=1)] | None = None
    format: Format = "cloudevents"

    def subject_pair(self) -> tuple[str, str] | None:
        """Return the subject as the library has it."""
        if self.subject is None:
            return None
        collection, _, key = self.subject.partition("/")
        return collection, key

    def type_list(self) -> list[str] | None:
        """Return the types as the library has them."""
        return None if self.types is None else self.types.split(",")


@frozen
class Place:
    """A place in the log: a cursor, and how many entries behind it have been seen."""

    cursor: str | None
    seen: int = 0

    @property
    def text(self) -> str:
        """How a cursor says it."""
        if self.seen or self.cursor is None:
            return f"{self.cursor or ''}{_MARK}{self.seen}"
        return self.cursor


def place_of(text: str | None) -> Place:
    """Return the place that a cursor says; None: the beginning of what is kept.

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
    """Return how JSON says an entry of the log, in one of the formats."""
    if form == "cloudevents":
        return cloud_event(entry)
    value: dict[str, Any] = to_json(entry)
    return value
