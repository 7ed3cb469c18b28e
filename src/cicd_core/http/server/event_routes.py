"""The event log: ``/api/events``, in pages and as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from attrs import define

from cicd_core.control_plane.event_filter import Wanted
from cicd_core.errors import InvalidInput, NotFound
from cicd_core.http.server.event_feed import FeedItem, Follower, read_from
from cicd_core.http.server.replies import linked
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.server.stream_watch import LOOK_SECONDS, RETRY, StreamWatch
from cicd_core.http.wire import events as asked
from cicd_core.http.wire.requests import Nothing
from cicd_core.model.event import UnreadableEvent
from cicd_core.model.job import RESTING_STATES
from cicd_core.model.principal import Scope

if TYPE_CHECKING:
    from cicd_core.http.server.streams import Write
    from cicd_core.http.wire.events import Format, Place

TABLE: Final = RouteTable("/api/events")


@TABLE.add(
    "GET",
    "",
    asked.EventsQuery,
    Scope.EVENTS_READ,
    gives=Object({"events": list[dict[str, Any]], "cursor": str, "truncated": bool}),
)
async def read(call: Call, query: asked.EventsQuery) -> Reply:
    """Return the events after a cursor, as CloudEvents; by default from the oldest stored one.

    The answer has ``events``, the ``cursor`` after them, and ``truncated``: whether retention
    removed some before them.
    """
    place = asked.place_of(query.cursor)
    items, page = await read_from(call.plane.events, place, query.limit)
    events = [asked.written(each.entry, query.format) for each in items if each.entry is not None]
    value = {"events": events, "cursor": page.cursor, "truncated": page.truncated}
    return linked(call, value, page.cursor if events else None)


@TABLE.add("GET", "/end", Nothing, Scope.EVENTS_READ, gives=Object({"cursor": str}))
async def end(call: Call, _: Nothing) -> Reply:
    """Return the cursor after the newest event."""
    return Reply(value={"cursor": await call.plane.events.end()})


@TABLE.add(
    "GET",
    "/stream",
    asked.StreamQuery,
    Scope.EVENTS_READ,
    gives=str,
    media_type="text/event-stream",
)
async def stream(call: Call, query: asked.StreamQuery) -> Reply:
    """Follow events as Server-Sent Events; ``Last-Event-ID`` continues where a stream ended."""
    call.streams.require_room(call.principal.name)
    wanted = Wanted.checked(query.subject_pair(), query.type_list())
    follower = Follower(call.feed, await _begin(call, query))
    first = await follower.read()  # a cursor of another store is refused before the answer begins
    call.streams.require_room(call.principal.name)  # others may have begun during that read
    stream = _EventStream(
        call, wanted, follower, query.format, first, StreamWatch(call, Scope.EVENTS_READ)
    )
    return Reply(
        stream=stream.run,
        media_type="text/event-stream",
        headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
    )


async def _begin(call: Call, query: asked.StreamQuery) -> Place:
    last = call.request.headers.get("last-event-id")
    if last:
        return asked.place_of(last)
    if not query.from_now:
        return asked.place_of(query.cursor)
    if query.cursor is not None:
        raise InvalidInput("from_now", query.from_now, "give a cursor or from_now, not both")
    return asked.place_of(await call.plane.events.end())


@define
class _EventStream:
    """The stream of one caller."""

    call: Call
    wanted: Wanted
    follower: Follower
    form: Format
    #: The entries read before the answer began.
    first: list[FeedItem]
    #: Checks the caller.
    watch: StreamWatch
    #: Whether the followed job may have ended since the last check.
    may_rest: bool = True

    async def run(self, write: Write) -> None:
        """Write events until the server stops, or the followed job has ended.

        Raises:
            CicdError: the log can't be read, or the caller may no longer follow it.
        """
        with (
            self.call.streams.counted(self.call.principal.name),
            self.call.feed.following(self.follower),
        ):
            await write(b": events follow\n\n")
            await self._tell(write, self.first)
            while not self.call.feed.is_stopping():
                items = await self.follower.next(0.0 if self._asks else LOOK_SECONDS)
                await self._tell(write, items)
                if not items and await self._is_over():
                    await self._end(write)
                    return
                # An id without data moves the caller's place.
                await self.watch.look(write, f"id: {self.follower.place.text}\n\n".encode())
            await write(RETRY)

    async def _tell(self, write: Write, items: list[FeedItem]) -> None:
        parts = [_part(each, self.form) for each in items if self._has(each)]
        if parts:
            await write(b"".join(parts))

    def _has(self, item: FeedItem) -> bool:
        if item.entry is None:
            self.may_rest = True
            return True
        self.may_rest = self.may_rest or self.wanted.may_rest(item.entry)
        return self.wanted.has(item.entry)

    @property
    def _asks(self) -> bool:
        """Return whether the followed job may have ended."""
        return self.wanted.job_id is not None and self.may_rest

    async def _is_over(self) -> bool:
        """Return whether the followed job has ended; its last events are still to be written."""
        if self.wanted.job_id is None or not self.may_rest:
            return False
        self.may_rest = False
        try:
            job = await self.call.plane.jobs.get(self.wanted.job_id)
        except NotFound:
            return True
        return job.state in RESTING_STATES

    async def _end(self, write: Write) -> None:
        """Write the events up to the job's end, then the end of the stream."""
        while items := await self.follower.read():
            await self._tell(write, items)
        await write(_lines(self.follower.place.text, asked.END, {}))


def _part(item: FeedItem, form: Format) -> bytes:
    entry, place = item.entry, item.place.text
    if entry is None:
        return _lines(place, asked.GAP, {"after": item.place.cursor})
    name = asked.UNREADABLE if isinstance(entry, UnreadableEvent) else None
    return _lines(place, name, asked.written(entry, form))


def _lines(place: str, name: str | None, data: dict[str, Any]) -> bytes:
    named = "" if name is None else f"event: {name}\n"
    return f"{named}id: {place}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
