"""The log of events, over HTTP."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from cicd_core.control_plane.event_filter import Wanted
from cicd_core.control_plane.events import EventPage
from cicd_core.errors import InvalidInput
from cicd_core.http.client.paths import path_of
from cicd_core.http.client.resuming import ResumedStream
from cicd_core.http.wire.events import GAP, UNREADABLE
from cicd_core.http.wire.values import from_wire, has_part, part_of
from cicd_core.model.checks import check_cursor, check_integer, check_kind
from cicd_core.model.event import Event, EventGap, UnreadableEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from cicd_core.http.client.connection import Connection
    from cicd_core.http.client.server_sent import Message

_FORMAT: Final = "event"


class RemoteEvents:
    """The log of a server; the same methods as ``EventService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def read(self, cursor: str | None = None, *, limit: int = 100) -> EventPage:
        """Return events after a cursor; None starts at the oldest stored event.

        Raises:
            InvalidInput: a limit outside 1 to 1,000.
            InvalidCursor: the cursor is not a text, is damaged, or belongs to another store.
        """
        check_integer("limit", limit, least=1, most=1000)
        given = None if cursor is None else check_cursor(cursor)
        query = {"cursor": given, "limit": limit, "format": _FORMAT}
        answer = await self._connection.get(path_of("events"), query)
        return EventPage(
            entries=tuple(map(_entry, part_of(answer, "events", list[Any]))),
            cursor=part_of(answer, "cursor", str),
            truncated=part_of(answer, "truncated", bool),
        )

    async def end(self) -> str:
        """Return the cursor after the newest event: a reader from here sees later events."""
        answer = await self._connection.get(path_of("events", "end"))
        cursor: str = part_of(answer, "cursor", str)
        return cursor

    async def follow(
        self,
        cursor: str | None = None,
        *,
        subject: tuple[str, str] | None = None,
        types: Iterable[str] | None = None,
        from_now: bool = False,
    ) -> AsyncGenerator[Event | UnreadableEvent | EventGap, None]:
        """Yield events as they happen; the arguments are those of ``EventService.follow``.

        If the stream breaks off, it continues where it ended.

        Close it when you leave early: ``async with aclosing(plane.events.follow()) as events``.

        Raises:
            InvalidInput: a filter is wrong, or both ``cursor`` and ``from_now`` are given.
            InvalidCursor: the cursor is not a text, is damaged, or belongs to another store.
            StoreUnavailable: the server did not answer four times in a row, or for a minute once it
                has sent something.
        """
        wanted = Wanted.checked(subject, types)
        check_kind("from_now", from_now, bool)
        if from_now and cursor is not None:
            raise InvalidInput("from_now", from_now, "give a cursor or from_now, not both")
        begin = await self.end() if from_now else cursor
        query = {
            "cursor": None if begin is None else check_cursor(begin),
            "subject": None if wanted.subject is None else "/".join(wanted.subject),
            "types": None if wanted.types is None else ",".join(wanted.types),
            "format": _FORMAT,
        }
        stream = ResumedStream(self._connection, path_of("events", "stream"), query)
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                yield _parsed(message)


def _parsed(message: Message) -> Event | UnreadableEvent | EventGap:
    if message.name == GAP:
        return EventGap(after=part_of(message.data, "after", str | None))
    if message.name == UNREADABLE:
        return from_wire(UnreadableEvent, message.data)
    return from_wire(Event, message.data)


def _entry(raw: object) -> Event | UnreadableEvent:
    return from_wire(Event, raw) if has_part(raw, "type") else from_wire(UnreadableEvent, raw)
