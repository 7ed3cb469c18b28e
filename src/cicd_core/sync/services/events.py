"""EventService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.events import EventService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from cicd_core.control_plane.events import EventPage
    from cicd_core.model.event import Event, EventGap, UnreadableEvent


class EventService(Facade[Service]):
    """Reads the log. Each subject's events come in the order of its versions."""

    def read(self, cursor: str | None = None, *, limit: int = 100) -> EventPage:
        """Return events after a cursor; None starts at the oldest stored event.

        Raises:
            InvalidInput: a limit outside 1 to 1,000.
            InvalidCursor: the cursor is not a text, is damaged, or belongs to another store.
        """
        return self._call(partial(self._service.read, cursor, limit=limit))

    def end(self) -> str:
        """Return the cursor after the newest event: a reader from here sees later events."""
        return self._call(partial(self._service.end))

    def follow(
        self,
        cursor: str | None = None,
        *,
        subject: tuple[str, str] | None = None,
        types: Iterable[str] | None = None,
        from_now: bool = False,
    ) -> Generator[Event | UnreadableEvent | EventGap]:
        """Yield events as they happen, found within half a second.

        It continues forever, with one exception: for a job it ends after the last event of the
        job, once the job is in a final state or a dead letter.

        Two other values may come in place of events: an ``EventGap`` where retention removed
        events before they were read, and an ``UnreadableEvent`` for an event that does not decode.
        Neither ends the iteration; a reader that needs every event reads the lists again then.
        ``types`` never filters them out, since a missing event may be of any type.

        Close it when you leave early: ``with closing(plane.events.follow()) as events``.

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
        return self._walk(
            partial(self._service.follow, cursor, subject=subject, types=types, from_now=from_now)
        )
