"""``events``: the newest events, a part of the log, or new events as they come."""

from __future__ import annotations

import math
import sys
from collections import deque
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cicd_core.cli import completion
from cicd_core.cli.options import JsonOption, StoreOption
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.control_plane.events import EventPage
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event, UnreadableEvent

#: Maximum number of events per read.
_READ: Final = 1000
#: Number of events shown: the newest ones, and those after a cursor.
_TAIL: Final = 50
_LIMIT: Final = 100
#: Interval of reads of an idle log, in seconds.
_PAUSE: Final = 0.2


def events(
    *,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Follow until Ctrl-C, or until the --job ends; JSON: one object per line.",
        ),
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail",
            "-n",
            metavar="N",
            min=0,
            show_default=False,
            help=f"Show the newest N. Default: {_TAIL}.",
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Start now; the same as --tail 0.")] = False,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="Start with the oldest stored event.")
    ] = False,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="CURSOR", help="Continue after an earlier call."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            show_default=False,
            help=f"With --oldest, --cursor or --follow: stop after N events. Default: {_LIMIT}, or "
            "no limit with --follow.",
        ),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(
            "--job", metavar="JOB", autocompletion=completion.jobs, help="Only events of this job."
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="GLOB",
            autocompletion=completion.event_types,
            help="A type, such as 'job.*' or '*.failed'.",
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest events of the log, or follow it.

    Without --cursor and --oldest, it reads the whole log to find the newest events.
    """
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.opening import run, store_url
    from cicd_core.model.event_types import check_event_type

    with reporting(as_json=as_json):
        if kind is not None:
            check_event_type("type", kind)
        _check_start(tail=tail, new=new, oldest=oldest, cursor=cursor)
        begins = oldest or cursor is not None
        _check_limit(limit, allowed=begins or follow)
        newest = None if begins else 0 if new else _TAIL if tail is None else tail
        view = _View(cursor=cursor, newest=newest, limit=limit, job=job, kind=kind, as_json=as_json)
        run(view.follow if follow else view.show, store_url(store, quiet=as_json))


def _check_start(*, tail: int | None, new: bool, oldest: bool, cursor: str | None) -> None:
    """Refuse more than one start.

    Raises:
        InvalidInput: more than one is given.
    """
    from cicd_core.errors import InvalidInput

    places = {"tail": tail is not None, "new": new, "oldest": oldest, "cursor": cursor is not None}
    given = [f"--{name}" for name, is_given in places.items() if is_given]
    if len(given) > 1:
        hint = "give only one start"
        raise InvalidInput(given[-1].removeprefix("--"), ", ".join(given), hint)


def _check_limit(limit: int | None, *, allowed: bool) -> None:
    """Refuse a limit for the newest events, whose number is --tail.

    Raises:
        InvalidInput: there is a limit.
    """
    from cicd_core.errors import InvalidInput

    if limit is not None and not allowed:
        hint = "give --tail for the newest, or a start: --oldest or --cursor"
        raise InvalidInput("limit", limit, hint)


@frozen(kw_only=True)
class _Seen:
    """A part of the log."""

    entries: list[Event | UnreadableEvent]
    cursor: str
    truncated: bool
    #: Whether there is more: before the newest events, else after the part.
    more: bool


@frozen(kw_only=True)
class _View:
    """The shown part of the log, and its form."""

    cursor: str | None
    #: Number of newest events to start with; None: start at the cursor, or with the oldest.
    newest: int | None
    limit: int | None
    job: str | None
    kind: str | None
    as_json: bool

    async def show(self, plane: ControlPlane) -> None:
        """Write the existing events, and the cursor for later ones."""
        if self.newest is None:
            seen = await self._onward(plane, self.limit or _LIMIT)
        else:
            seen = await self._last(plane, self.newest)
        if not seen.entries and self.job is not None:
            await plane.jobs.get(self.job)  # a mistyped id looks like a job without events
        if self.as_json:
            from cicd_core.cli.output import emit

            page_json = {"items": seen.entries, "cursor": seen.cursor, "truncated": seen.truncated}
            emit(page_json | {"more": seen.more})
            return
        self._tell(seen.entries, seen.cursor, truncated=seen.truncated)
        if not seen.entries:
            sys.stdout.write("no events\n")
        if seen.more:
            sys.stdout.flush()
            sys.stderr.write(f"{self._rest(seen.cursor)}\n")

    def _rest(self, cursor: str) -> str:
        if self.newest is None:
            return f"more: --cursor {cursor}"
        return "older events are not shown: --tail N shows more, --oldest starts with the first"

    async def follow(self, plane: ControlPlane) -> None:
        """Write each event as it happens."""
        import anyio

        from cicd_core.agent.retry import patiently

        cursor, left = self.cursor, self.limit or math.inf
        # Read from the job at first, and after each event that may be its last.
        ask, is_over = self.job is not None, False
        if self.newest is not None:
            seen = await self._last(plane, int(min(self.newest, left)))
            self._tell(seen.entries, seen.cursor, truncated=seen.truncated)
            cursor, left = seen.cursor, left - len(seen.entries)
        while left > 0:
            read = partial(plane.events.read, cursor, limit=int(min(left, _READ)))
            page = await patiently(read, what="reading the log")
            kept = self._kept(page)
            self._tell(kept, page.cursor, truncated=page.truncated)
            left -= len(kept)
            cursor, ask = page.cursor, ask or self._may_end(page)
            if page.entries:
                continue
            if is_over:  # and all events up to then have been read
                return
            if ask and self.job is not None:
                ask, is_over = False, await _has_ended(plane, self.job)
            if not is_over:
                await anyio.sleep(_PAUSE)

    async def _onward(self, plane: ControlPlane, limit: int) -> _Seen:
        """Read from the cursor, or from the oldest event."""
        shown: list[Event | UnreadableEvent] = []
        cursor, truncated = self.cursor, False
        while True:
            left = limit - len(shown)
            page = await plane.events.read(cursor, limit=min(left or _READ, _READ))
            kept = self._kept(page)
            if kept and not left:
                return _Seen(
                    entries=shown, cursor=cursor or page.cursor, truncated=truncated, more=True
                )
            shown += kept
            cursor, truncated = page.cursor, truncated or page.truncated
            if not page.entries:
                return _Seen(entries=shown, cursor=page.cursor, truncated=truncated, more=False)

    async def _last(self, plane: ControlPlane, number: int) -> _Seen:
        """Read the newest events, from the whole log, since a store reads it only in order."""
        if number == 0:
            return _Seen(entries=[], cursor=await plane.events.end(), truncated=False, more=False)
        shown: deque[Event | UnreadableEvent] = deque(maxlen=number)
        cursor, truncated, found = None, False, 0
        while True:
            page = await plane.events.read(cursor, limit=_READ)
            kept = self._kept(page)
            shown.extend(kept)
            cursor, truncated, found = page.cursor, truncated or page.truncated, found + len(kept)
            if not page.entries:
                return _Seen(
                    entries=[*shown], cursor=cursor, truncated=truncated, more=found > number
                )

    def _may_end(self, page: EventPage) -> bool:
        """Return whether a page, or a gap in it, may mean that the job has ended."""
        from cicd_core.model.event import Event
        from cicd_core.model.job import RESTING_STATES

        return self.job is not None and (
            page.truncated
            or any(
                not isinstance(each, Event) or each.data.get("to") in RESTING_STATES
                for each in page.entries
                if each.subject == ("jobs", self.job)
            )
        )

    def _kept(self, page: EventPage) -> list[Event | UnreadableEvent]:
        """Return the shown entries of a page; an unreadable event may be of any type."""
        from cicd_core.model.event import UnreadableEvent

        return [
            each
            for each in page.entries
            if self.job is None or each.subject == ("jobs", self.job)
            if isinstance(each, UnreadableEvent)
            or self.kind is None
            or fnmatchcase(each.type, self.kind)
        ]

    def _tell(
        self, shown: list[Event | UnreadableEvent], cursor: str | None, *, truncated: bool
    ) -> None:
        """Write the events of a page; the last one has the cursor to continue from."""
        if self.as_json:
            from cicd_core.cli.output import emit_line
            from cicd_core.public_json import to_json

            for each in shown:
                place = cursor if each is shown[-1] else None
                emit_line(
                    to_json(each) | {"cursor": place, "truncated": truncated and each is shown[0]}
                )
            return
        from cicd_core.cli.event_lines import show_events

        show_events(shown, truncated=truncated)


async def _has_ended(plane: ControlPlane, job_id: str) -> bool:
    """Return whether the job has ended.

    Raises:
        NotFound: there is no such job, or no longer: it has no further events.
    """
    from cicd_core.agent.retry import patiently
    from cicd_core.model.job import RESTING_STATES

    job = await patiently(partial(plane.jobs.get, job_id), what="reading a job")
    return job.state in RESTING_STATES
