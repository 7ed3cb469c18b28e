"""The log: every event of every transition, once, to a reader that follows the cursor (I3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from cicd_core.model.checks import check_integer
from cicd_core.store.codec import decode_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.control_plane.writer import Writer
    from cicd_core.model.event import Event

#: How often a follower looks at first, and at last when nothing happens, in seconds.
_FIRST_LOOK = 0.02
_LAST_LOOK = 0.5


@frozen
class EventPage:
    """Some events in the log's order."""

    events: tuple[Event, ...]
    #: Read on from here.
    cursor: str
    #: Retention dropped events between the cursor that was given and the first one here.
    torn: bool


class EventService:
    """Reads the log. Each subject's events come in the order of its versions."""

    def __init__(self, writer: Writer) -> None:
        """Take the way to the store."""
        self._writer = writer

    async def read(self, cursor: str | None = None, *, limit: int = 100) -> EventPage:
        """Return events after a cursor; None is the beginning of what is kept.

        Raises:
            InvalidInput: a limit outside 1 to 1,000.
            InvalidCursor: the cursor is none of this store's.
        """
        check_integer("limit", limit, least=1, most=1000)
        store = self._writer.store
        page = await self._writer.patiently(lambda: store.read_log(cursor, limit))
        return EventPage(tuple(map(decode_event, page.entries)), page.cursor, page.torn)

    async def end(self) -> str:
        """Return the cursor behind the newest event: what is read from here happens later."""
        store = self._writer.store
        return (await self._writer.patiently(lambda: store.counters("none|"))).cursor

    async def follow(self, cursor: str | None = None) -> AsyncGenerator[Event, None]:
        """Yield events for ever; it looks less often while nothing happens, but twice a second.

        Who leaves early closes it: ``async with aclosing(plane.events.follow()) as events``.
        """
        pause = _FIRST_LOOK
        while True:
            page = await self.read(cursor, limit=500)
            cursor = page.cursor
            for event in page.events:
                yield event
            pause = _FIRST_LOOK if page.events else min(pause * 2, _LAST_LOOK)
            if not page.events:
                await anyio.sleep(pause)
