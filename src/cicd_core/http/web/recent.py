"""The newest events, cached by the server: a store reads its log only from the start."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from cicd_core.control_plane.events import EventService
    from cicd_core.model.event import Event, UnreadableEvent

#: Number of cached events.
KEPT: Final = 1_000
#: Number of events per read, and of reads before older events are skipped.
_READ: Final = 1_000
_MOST_READS: Final = 10


class RecentEvents:
    """The newest events, as of the last look.

    Each look reads the events since the one before. If there are more than 10,000, which may also
    happen at the first look, the events in between are skipped, which limits the cost. ``whole``
    is false if older events are missing, because they were skipped or because newer ones replaced
    them.
    """

    def __init__(self, events: EventService) -> None:
        """Start without events."""
        self._events = events
        self._kept: deque[Event | UnreadableEvent] = deque(maxlen=KEPT)
        self._cursor: str | None = None
        self._lock: anyio.Lock | None = None
        #: Whether the log had nothing before the cached events.
        self.whole = True

    async def look(self) -> tuple[Event | UnreadableEvent, ...]:
        """Return the newest events, the newest first.

        Raises:
            StoreError: the log can't be read.
        """
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            await self._catch_up()
        return tuple(reversed(self._kept))

    async def _catch_up(self) -> None:
        for _ in range(_MOST_READS):
            page = await self._events.read(self._cursor, limit=_READ)
            self._cursor = page.cursor
            if page.truncated and self._kept:
                self._kept.clear()
                self.whole = False
            self.whole = self.whole and len(self._kept) + len(page.entries) <= KEPT
            self._kept.extend(page.entries)
            if len(page.entries) < _READ:
                return
        self._kept.clear()
        self.whole = False
        self._cursor = await self._events.end()
