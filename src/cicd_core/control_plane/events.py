"""The log: every event of every transition, once, to a reader that follows the cursor (I3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from cicd_core.control_plane.cursors import seal, unseal
from cicd_core.errors import CorruptRecord
from cicd_core.model.checks import check_integer
from cicd_core.model.event import Event, EventGap, UnreadableEvent
from cicd_core.persistence.codec import decode_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.persistence.context import Context
    from cicd_core.store.records import LogEntry

#: How often a follower looks at first, and at last when nothing happens, in seconds.
_FIRST_LOOK = 0.02
_LAST_LOOK = 0.5


@frozen
class EventPage:
    """A part of the log, in its order."""

    #: One that does not decode holds up nobody: it stands here as what it is.
    entries: tuple[Event | UnreadableEvent, ...]
    #: Read on from here.
    cursor: str
    #: Retention dropped events between the cursor that was given and the first one here.
    torn: bool

    @property
    def events(self) -> tuple[Event, ...]:
        """Those that decode; where there are none, look at ``entries`` for the end of the log."""
        return tuple(each for each in self.entries if isinstance(each, Event))

    @property
    def unreadable(self) -> tuple[UnreadableEvent, ...]:
        """Those that do not."""
        return tuple(each for each in self.entries if isinstance(each, UnreadableEvent))


class EventService:
    """Reads the log. Each subject's events come in the order of its versions."""

    def __init__(self, context: Context) -> None:
        """Take the way to the store."""
        self._context = context

    async def read(self, cursor: str | None = None, *, limit: int = 100) -> EventPage:
        """Return events after a cursor; None is the beginning of what is kept.

        Raises:
            InvalidInput: a limit outside 1 to 1,000.
            InvalidCursor: the cursor is no text, damaged, or none of this store's.
        """
        check_integer("limit", limit, least=1, most=1000)
        place = None if cursor is None else unseal(cursor)
        page = await self._context.store.read_log(place, limit)
        return EventPage(tuple(map(_told, page.entries)), seal(page.cursor), page.torn)

    async def end(self) -> str:
        """Return the cursor behind the newest event: what is read from here happens later."""
        return seal((await self._context.store.counters("none|")).cursor)

    async def follow(
        self, cursor: str | None = None
    ) -> AsyncGenerator[Event | UnreadableEvent | EventGap, None]:
        """Yield events for ever; it looks less often while nothing happens, but twice a second.

        Two other things come in their place among the events: an ``EventGap`` where retention
        dropped some before they were read, and an ``UnreadableEvent`` for one that does not decode.
        Neither ends it; who keeps something that every event counts for reads the lists anew.

        Who leaves early closes it: ``async with aclosing(plane.events.follow()) as events``.
        """
        pause = _FIRST_LOOK
        while True:
            page = await self.read(cursor, limit=500)
            if page.torn:
                yield EventGap(after=cursor)
            cursor = page.cursor
            for entry in page.entries:
                yield entry
            pause = _FIRST_LOOK if page.entries else min(pause * 2, _LAST_LOOK)
            if not page.entries:
                await anyio.sleep(pause)


def _told(entry: LogEntry) -> Event | UnreadableEvent:
    try:
        return decode_event(entry)
    except CorruptRecord as broken:
        return UnreadableEvent(
            subject=(entry.collection, entry.key),
            version=entry.version,
            ordinal=entry.ordinal,
            reason=broken.reason,
        )
