"""The log: every event of every transition, once, to a reader that follows the cursor (I3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from cicd_core.control_plane.event_filter import Wanted
from cicd_core.errors import CorruptRecord, InvalidInput
from cicd_core.model.checks import check_integer, check_kind
from cicd_core.model.event import Event, EventGap, UnreadableEvent
from cicd_core.model.job import RESTING_STATES
from cicd_core.persistence.cursors import seal, unseal
from cicd_core.persistence.event_bodies import decode_event
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import LogEntry

#: First and longest time between a follower's reads of an idle log, in seconds.
_FIRST_LOOK = 0.02
_LAST_LOOK = 0.5
#: Number of events per read.
_READ = 500


@frozen
class EventPage:
    """A part of the log, in its order."""

    #: An event that does not decode appears as such and does not block readers.
    entries: tuple[Event | UnreadableEvent, ...]
    #: The cursor to continue from.
    cursor: str
    #: Whether retention removed events between the given cursor and the first event here.
    truncated: bool

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that decode; if there are none, ``entries`` shows the end of the log."""
        return tuple(entry for entry in self.entries if isinstance(entry, Event))

    @property
    def unreadable(self) -> tuple[UnreadableEvent, ...]:
        """The entries that do not decode."""
        return tuple(entry for entry in self.entries if isinstance(entry, UnreadableEvent))


class EventService:
    """Reads the log. Each subject's events come in the order of its versions."""

    def __init__(self, context: Context, jobs: Repository[Job]) -> None:
        self._context = context
        self._jobs = jobs

    async def read(self, cursor: str | None = None, *, limit: int = 100) -> EventPage:
        """Return events after a cursor; None starts at the oldest stored event.

        Raises:
            InvalidInput: a limit outside 1 to 1,000.
            InvalidCursor: the cursor is not a text, is damaged, or belongs to another store.
        """
        check_integer("limit", limit, least=1, most=1000)
        place = None if cursor is None else unseal(cursor)
        page = await self._context.store.read_log(place, limit)
        return EventPage(tuple(map(_event_of, page.entries)), seal(page.cursor), page.truncated)

    async def end(self) -> str:
        """Return the cursor after the newest event: a reader from here sees later events."""
        return seal((await self._context.store.counters("none|")).cursor)

    async def follow(
        self,
        cursor: str | None = None,
        *,
        subject: tuple[str, str] | None = None,
        types: Iterable[str] | None = None,
        from_now: bool = False,
    ) -> AsyncGenerator[Event | UnreadableEvent | EventGap, None]:
        """Yield events as they happen, found within half a second.

        It continues forever, with one exception: for a job it ends after the last event of the
        job, once the job is in a final state or a dead letter.

        Two other values may come in place of events: an ``EventGap`` where retention removed
        events before they were read, and an ``UnreadableEvent`` for an event that does not decode.
        Neither ends the iteration; a reader that needs every event reads the lists again then.
        ``types`` never filters them out, since a missing event may be of any type.

        Close it when you leave early: ``async with aclosing(plane.events.follow()) as events``.

        Args:
            cursor: where to start; None starts with the oldest stored event.
            subject: only its events: a collection and a key, such as ``("jobs", job_id)``.
            types: only these; ``*`` matches anything, as in ``job.*`` and ``*.failed``.
                Each must match an existing type.
            from_now: start with the next event, instead of a cursor.

        Raises:
            InvalidInput: a filter is wrong, or both ``cursor`` and ``from_now`` are given.
            InvalidCursor: the cursor is not a text, is damaged, or belongs to another store.
        """
        wanted = Wanted.checked(subject, types)
        check_kind("from_now", from_now, bool)
        if from_now and cursor is not None:
            raise InvalidInput("from_now", from_now, "give a cursor or from_now, not both")
        place = await self.end() if from_now else cursor
        pause, ask, is_over = _FIRST_LOOK, wanted.job_id is not None, False
        while True:
            page = await self.read(place, limit=_READ)
            if page.truncated:
                yield EventGap(after=place)
            place = page.cursor
            for entry in page.entries:
                if wanted.has(entry):
                    yield entry
            ask = ask or page.truncated or any(map(wanted.may_rest, page.entries))
            pause = _FIRST_LOOK if page.entries else min(pause * 2, _LAST_LOOK)
            if len(page.entries) == _READ:
                continue
            if is_over:  # and all events up to then have been read
                return
            if ask and wanted.job_id is not None:
                ask, is_over = False, await self._rests(wanted.job_id)
            if not is_over and not page.entries:
                await anyio.sleep(pause)

    async def _rests(self, job_id: str) -> bool:
        """Return whether a job has ended; a job that does not exist has no further events."""
        found = (await self._jobs.get_many([job_id])).get(job_id)
        return found is None or found.value.state in RESTING_STATES


def _event_of(entry: LogEntry) -> Event | UnreadableEvent:
    try:
        return decode_event(entry)
    except CorruptRecord as broken:
        return UnreadableEvent(
            subject=(entry.collection, entry.key),
            version=entry.version,
            ordinal=entry.ordinal,
            reason=broken.reason,
        )
