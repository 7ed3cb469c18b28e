"""Following the log: one reader serves all streams of a process.

Each stream first reads the events between its place and the end of the log by itself. Then it joins
the others. One of them reads for all; when it has something to send, another one takes over. So
nothing runs in the background, and a slow stream does not delay the others.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.http.wire.events import MOST, Place
from cicd_core.model.checks import check_integer
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from cicd_core.control_plane.events import EventPage, EventService
    from cicd_core.model.event import Event, UnreadableEvent

#: First and longest time between reads of an idle log, in seconds.
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5
#: Number of events per read, and the maximum number that may wait for a slow stream.
_READ: Final = 500
_MOST_WAITING: Final = 2000


@frozen
class FeedItem:
    """The next entry of a stream, and the place after it."""

    place: Place
    #: None: retention removed events between the previous place and the next entry.
    entry: Event | UnreadableEvent | None


async def read_from(
    events: EventService, place: Place, limit: int
) -> tuple[list[FeedItem], EventPage]:
    """Return the entries after a place, and the page of the log that has them.

    Raises:
        InvalidInput: a limit outside 1 to 1,000.
        InvalidCursor: the place belongs to another store.
    """
    check_integer("limit", limit, least=1, most=MOST)
    page = await events.read(place.cursor, limit=min(limit + place.seen, MOST))
    # If the log has a gap here, the seen entries are gone, and the whole page is new.
    seen = 0 if page.truncated else place.seen
    return _items_of(place.cursor, page)[seen:], page


def _items_of(cursor: str | None, page: EventPage) -> list[FeedItem]:
    items = [] if not page.truncated else [FeedItem(Place(cursor), None)]
    for number, entry in enumerate(page.entries, start=1):
        is_last = number == len(page.entries)
        items.append(FeedItem(Place(page.cursor) if is_last else Place(cursor, number), entry))
    return items


class EventFeed:
    """The streams of one event loop, one of which reads the log."""

    def __init__(self, events: EventService, is_stopping: Callable[[], bool]) -> None:
        """Take the log, and a function that returns whether the server is stopping."""
        self.events = events
        self.is_stopping = is_stopping
        #: Number of streams.
        self.number = 0
        self._followers: set[Follower] = set()
        self._reader: Follower | None = None
        self._cursor: str | None = None
        self._pause = _FIRST_PAUSE

    @contextmanager
    def following(self, follower: Follower) -> Generator[None]:
        """Count a stream while it lasts."""
        self.number += 1
        try:
            yield
        finally:
            self.number -= 1
            self.leave(follower)

    def join(self, follower: Follower) -> Place | None:
        """Add a stream; return the reader's place if it differs from the stream's, else None."""
        self._followers.add(follower)
        if self._cursor is None:
            self._cursor, self._pause = follower.place.cursor, _FIRST_PAUSE
        return None if self._cursor == follower.place.cursor else Place(self._cursor)

    def leave(self, follower: Follower) -> None:
        """Remove a stream."""
        self._followers.discard(follower)
        if not self._followers:
            self._cursor = None

    def leap(self, follower: Follower) -> None:
        """Move the reader to a stream's place; the others read by themselves and catch up."""
        for other in self._followers - {follower}:
            other.fall_behind()
        self._cursor = follower.place.cursor

    async def news(self, follower: Follower) -> None:
        """Return when there is something for a stream, or the server stops."""
        try:
            while not follower.has_news and not self.is_stopping():
                if self._reader is None:
                    self._reader = follower
                if self._reader is follower:
                    await self._read()
                else:
                    await follower.called.wait()
                    follower.called = anyio.Event()
        finally:
            if self._reader is follower:
                self._reader = None
                for other in self._followers - {follower}:
                    other.called.set()

    async def _read(self) -> None:
        """Read the log once and pass on its entries; pause at its end."""
        cursor = self._cursor
        page = await self.events.read(cursor, limit=_READ)
        if self._cursor != cursor:
            return  # the reader has moved meanwhile, and its streams read by themselves
        self._cursor = page.cursor
        items = _items_of(cursor, page)
        for follower in self._followers if items else ():
            follower.take(items)
        self._pause = _FIRST_PAUSE if items else min(self._pause * 2, _LAST_PAUSE)
        if not items:
            await anyio.sleep(self._pause)


class Follower:
    """One stream: its place in the log, and the entries that wait for it."""

    def __init__(self, feed: EventFeed, place: Place) -> None:
        """Start at a place."""
        self.place = place
        #: Set when there is something for it, or when it should read the log from now on.
        self.called = anyio.Event()
        self._feed = feed
        self._joined = False
        self._waiting: list[FeedItem] = []
        #: The ids of entries that it has read by itself, and may receive once more.
        self._seen: set[str] = set()
        self._is_behind = False

    @property
    def has_news(self) -> bool:
        """Whether something waits for it."""
        return bool(self._waiting) or self._is_behind

    def take(self, items: list[FeedItem]) -> None:
        """Add the entries of the reader, without those that the stream has already."""
        if self._is_behind:
            return
        for each in items:
            name = None if each.entry is None else each.entry.event_id
            if name in self._seen:
                self._seen.discard(name)
            else:
                self._waiting.append(each)
        if len(self._waiting) > _MOST_WAITING:
            self.fall_behind()
        self.called.set()

    def fall_behind(self) -> None:
        """Read by itself again, at its own pace."""
        self._waiting.clear()
        self._is_behind = True
        self.called.set()

    async def read(self) -> list[FeedItem]:
        """Read the entries after its place by itself.

        Raises:
            InvalidCursor: the place belongs to another store.
        """
        items, page = await read_from(self._feed.events, self.place, _READ)
        self.place = Place(page.cursor)
        return items

    async def _rest_of(self, place: Place, most: int | None = None) -> list[FeedItem]:
        """Return all entries after a place; stop after a page with more than ``most`` in total."""
        rest: list[FeedItem] = []
        while True:
            items, page = await read_from(self._feed.events, place, _READ)
            rest += items
            if not items or (most is not None and len(rest) > most):
                return rest
            place = Place(page.cursor)

    async def next(self, seconds: float) -> list[FeedItem]:
        """Return the next entries; empty if there are none in time, or when the server stops."""
        if not self._joined:
            items = await self._catch_up()
            if items or not self._joined:
                return items
        with anyio.move_on_after(seconds):
            await self._feed.news(self)
        if self._is_behind:
            self._feed.leave(self)
            self._joined, self._is_behind = False, False
            return []
        items, self._waiting = self._waiting, []
        if items:
            self.place = items[-1].place
        return items

    async def _catch_up(self) -> list[FeedItem]:
        """Return the entries up to the end of the log; at its end, join the other streams."""
        items = await self.read()
        if items:
            return items
        self._joined = True
        reader = self._feed.join(self)
        if reader is None:
            return []
        # If the reader is behind, it will pass on entries that this stream has already sent.
        seen = await self._rest_of(reader, _MOST_WAITING)
        if len(seen) > _MOST_WAITING:  # the other streams are too slow to be waited for
            self._waiting.clear()
            self._feed.leap(self)
            return []
        # Entries that arrived meanwhile are read here, and will be passed on too.
        items = await self._rest_of(self.place)
        self.place = items[-1].place if items else self.place
        self._seen = {each.entry.event_id for each in (*seen, *items) if each.entry is not None}
        handed, self._waiting = self._waiting, []
        self.take(handed)
        return items
