"""Following the log: one reader serves all streams of a process.

Each stream first reads for itself what lies between its place and the end of the log. Then it joins
the others: one of them reads for all, and when it has something to send, another one goes on. So
nothing runs in the background, and a stream that is slow holds up no other one.
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

#: How soon, and how late at most, the log is read again while nothing happens, in seconds.
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5
#: How many events are read at once, and how many may wait for a slow stream.
_READ: Final = 500
_MOST_WAITING: Final = 2000


@frozen
class FeedItem:
    """What a stream tells next, and the place behind it."""

    place: Place
    #: None: retention dropped events between the place and what comes next.
    entry: Event | UnreadableEvent | None


async def read_from(
    events: EventService, place: Place, limit: int
) -> tuple[list[FeedItem], EventPage]:
    """Return what comes after a place, and the page of the log that it is from.

    Raises:
        InvalidInput: a limit outside 1 to 1,000.
        InvalidCursor: the place is none of this store's.
    """
    check_integer("limit", limit, least=1, most=MOST)
    page = await events.read(place.cursor, limit=min(limit + place.seen, MOST))
    # Where the log lost what was seen, what is there now is new, all of it.
    seen = 0 if page.truncated else place.seen
    return _items_of(place.cursor, page)[seen:], page


def _items_of(cursor: str | None, page: EventPage) -> list[FeedItem]:
    items = [] if not page.truncated else [FeedItem(Place(cursor), None)]
    for number, entry in enumerate(page.entries, start=1):
        is_last = number == len(page.entries)
        items.append(FeedItem(Place(page.cursor) if is_last else Place(cursor, number), entry))
    return items


class EventFeed:
    """The streams of one event loop, and who of them reads the log."""

    def __init__(self, events: EventService, is_stopping: Callable[[], bool]) -> None:
        """Take the log, and what says that the server stops."""
        self.events = events
        self.is_stopping = is_stopping
        #: How many streams follow.
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
        """Take a stream in; return where the reader stands, None where the stream does."""
        self._followers.add(follower)
        if self._cursor is None:
            self._cursor, self._pause = follower.place.cursor, _FIRST_PAUSE
        return None if self._cursor == follower.place.cursor else Place(self._cursor)

    def leave(self, follower: Follower) -> None:
        """Let a stream go."""
        self._followers.discard(follower)
        if not self._followers:
            self._cursor = None

    def leap(self, follower: Follower) -> None:
        """Go on from a stream's place; all others read for themselves until they have caught up."""
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
        """Read the log once and hand out what it says; pause at its end."""
        cursor = self._cursor
        page = await self.events.read(cursor, limit=_READ)
        if self._cursor != cursor:
            return  # it leapt meanwhile, and whom this was for reads for itself
        self._cursor = page.cursor
        items = _items_of(cursor, page)
        for follower in self._followers if items else ():
            follower.take(items)
        self._pause = _FIRST_PAUSE if items else min(self._pause * 2, _LAST_PAUSE)
        if not items:
            await anyio.sleep(self._pause)


class Follower:
    """One stream: its place in the log, and what waits for it."""

    def __init__(self, feed: EventFeed, place: Place) -> None:
        """Stand at a place."""
        self.place = place
        #: Set when there is something for it, or when it should read the log from now on.
        self.called = anyio.Event()
        self._feed = feed
        self._joined = False
        self._waiting: list[FeedItem] = []
        #: The ids of what it read for itself and may be handed once more.
        self._seen: set[str] = set()
        self._is_behind = False

    @property
    def has_news(self) -> bool:
        """Whether something waits for it."""
        return bool(self._waiting) or self._is_behind

    def take(self, items: list[FeedItem]) -> None:
        """Keep what the reader read, unless the stream knows it already."""
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
        """Read for itself again, at its own pace."""
        self._waiting.clear()
        self._is_behind = True
        self.called.set()

    async def read(self) -> list[FeedItem]:
        """Return what comes after its place, read for itself.

        Raises:
            InvalidCursor: the place is none of this store's.
        """
        items, page = await read_from(self._feed.events, self.place, _READ)
        self.place = Place(page.cursor)
        return items

    async def _rest_of(self, place: Place, most: int | None = None) -> list[FeedItem]:
        """Return all that comes after a place, or a little more than ``most`` of it."""
        rest: list[FeedItem] = []
        while True:
            items, page = await read_from(self._feed.events, place, _READ)
            rest += items
            if not items or (most is not None and len(rest) > most):
                return rest
            place = Place(page.cursor)

    async def next(self, seconds: float) -> list[FeedItem]:
        """Return what comes next; empty: nothing did for so many seconds, or the server stops."""
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
        """Return what lies before the end of the log; at its end, join the other streams."""
        items = await self.read()
        if items:
            return items
        self._joined = True
        reader = self._feed.join(self)
        if reader is None:
            return []
        # Where the reader is behind, it hands over what this stream has sent already.
        seen = await self._rest_of(reader, _MOST_WAITING)
        if len(seen) > _MOST_WAITING:  # those that are there take nothing: they hold up no other
            self._waiting.clear()
            self._feed.leap(self)
            return []
        # What came meanwhile is read here, and handed over too.
        items = await self._rest_of(self.place)
        self.place = items[-1].place if items else self.place
        self._seen = {each.entry.event_id for each in (*seen, *items) if each.entry is not None}
        handed, self._waiting = self._waiting, []
        self.take(handed)
        return items
