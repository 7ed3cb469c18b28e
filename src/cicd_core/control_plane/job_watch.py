"""Waiting for jobs: one reader of the log serves all waiting calls of a control plane."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.model.event import Event
from cicd_core.model.job import RESTING_STATES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.control_plane.events import EventPage, EventService
    from cicd_core.model.event import UnreadableEvent
    from cicd_core.model.job import Job

#: The shortest and longest time between reads of an idle log, in seconds.
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5
#: Number of events per read.
_READ: Final = 500


class _Waiter:
    """A waiting call."""

    def __init__(self) -> None:
        #: Set when the job should be read again, or when this call should read the log from now on.
        self.called = anyio.Event()
        #: Whether the job should be read again.
        self.has_news = False

    def call(self, *, has_news: bool) -> None:
        self.has_news = self.has_news or has_news
        self.called.set()


class JobWatch:
    """Notifies calls of one event loop when the jobs that they wait for may have ended.

    One of the calls reads the log for all of them. When it leaves, another one takes over. So
    nothing runs in the background, and an idle watch costs nothing.
    """

    def __init__(self, events: EventService, get: Callable[[str], Awaitable[Job]]) -> None:
        self._events = events
        self._get = get
        self._waiters: dict[str, set[_Waiter]] = defaultdict(set)
        self._reader: _Waiter | None = None
        self._cursor: str | None = None
        self._pause = _FIRST_PAUSE

    async def rest(self, job_id: str, seen: Callable[[Job], None]) -> Job:
        """Return the job when it has ended: in a final state, or as a dead letter.

        Args:
            job_id: the job.
            seen: called with the job after each read.

        Raises:
            NotFound: there is no such job, or its retention ended meanwhile.
            StoreError: the log, or the job, cannot be read.
        """
        waiter = _Waiter()
        self._pause = _FIRST_PAUSE
        self._waiters[job_id].add(waiter)
        try:
            if self._cursor is None:  # before the job is read, so that no event is missed
                end = await self._events.end()
                self._cursor = self._cursor or end
            while True:
                job = await self._get(job_id)
                seen(job)
                if job.state in RESTING_STATES:
                    return job
                await self._news(waiter)
        finally:
            self._leave(job_id, waiter)

    async def _news(self, waiter: _Waiter) -> None:
        """Return when the job should be read again; read the log if no other call does."""
        while not waiter.has_news:
            if self._reader is None:
                self._reader = waiter
            if self._reader is waiter:
                await self._read()
            else:
                await waiter.called.wait()
                waiter.called = anyio.Event()
        waiter.has_news = False

    async def _read(self) -> None:
        """Read the log once, and call those whose jobs may have ended; pause at its end."""
        page = await self._events.read(self._cursor, limit=_READ)
        self._cursor = page.cursor
        for job_id in self._mentioned_by(page):
            for waiter in self._waiters.get(job_id, ()):
                waiter.call(has_news=True)
        self._pause = _FIRST_PAUSE if page.entries else min(self._pause * 2, _LAST_PAUSE)
        if not page.entries:
            await anyio.sleep(self._pause)

    def _mentioned_by(self, page: EventPage) -> set[str]:
        """Return the jobs that may have ended; where the log has a gap, all of them."""
        if page.truncated:
            return set(self._waiters)
        return {entry.subject[1] for entry in page.entries if _may_end_a_job(entry)}

    def _leave(self, job_id: str, waiter: _Waiter) -> None:
        waiters = self._waiters[job_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[job_id]
        if self._reader is waiter:
            self._reader = None
        if not self._waiters:
            self._cursor = None
        elif self._reader is None:
            next(iter(next(iter(self._waiters.values())))).call(has_news=False)


def _may_end_a_job(entry: Event | UnreadableEvent) -> bool:
    """Return whether an entry may mean that a job ended; an unreadable one may."""
    if entry.subject[0] != "jobs":
        return False
    return not isinstance(entry, Event) or entry.data.get("to") in RESTING_STATES
