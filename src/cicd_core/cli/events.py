"""``events``: the log, once or for as long as one likes to look."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import frozen

from cicd_core.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from cicd_core.control_plane.events import EventPage
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event, UnreadableEvent

#: The most events that are read at once, and that are shown when nobody says how many.
_READ = 500
_LIMIT = 100
#: How often a follower looks while nothing happens, in seconds.
_PAUSE = 0.2


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; JSON: an object a line.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin now, not where the log begins.")
    ] = False,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="CURSOR", help="Go on where an earlier call ended."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=1,
            show_default=False,
            help="End after so many. Left out: 100, and none with --follow.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="GLOB", help="Such as 'job.*' or '*.failed'."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the log of all that happened, or follow it."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.opening import run, store_url
    from cicd_core.errors import InvalidInput

    view = _View(cursor=cursor, new=new, limit=limit, kind=kind, as_json=as_json)
    with reporting(as_json=as_json):
        if new and cursor is not None:
            raise InvalidInput("cursor", cursor, "give --new or --cursor, not both")
        run(view.follow if follow else view.show, store_url(store, quiet=as_json))


@frozen(kw_only=True)
class _View:
    """What of the log is shown, and how."""

    cursor: str | None
    new: bool
    limit: int | None
    kind: str | None
    as_json: bool

    async def show(self, plane: ControlPlane) -> None:
        """Write what there is, and the cursor of what comes later."""
        cursor, limit = await self._start(plane), self.limit or _LIMIT
        shown: list[Event | UnreadableEvent] = []
        torn = False
        while len(shown) < limit:
            page = await plane.events.read(cursor, limit=min(limit - len(shown), _READ))
            shown += self._kept(page)
            cursor, torn = page.cursor, torn or page.torn
            if not page.entries:
                break
        if self.as_json:
            from cicd_core.cli.output import emit

            emit({"items": shown, "cursor": cursor, "torn": torn})
        else:
            self._tell(shown, cursor, torn=torn)

    async def follow(self, plane: ControlPlane) -> None:
        """Write each event when it happens."""
        import anyio

        from cicd_core.agent.retry import patiently

        cursor, left = await self._start(plane), self.limit or math.inf
        while left > 0:
            read = partial(plane.events.read, cursor, limit=int(min(left, _READ)))
            page = await patiently(read, what="reading the log")
            kept = self._kept(page)
            self._tell(kept, page.cursor, torn=page.torn)
            left -= len(kept)
            cursor = page.cursor
            if not page.entries:
                await anyio.sleep(_PAUSE)

    async def _start(self, plane: ControlPlane) -> str | None:
        return await plane.events.end() if self.new else self.cursor

    def _kept(self, page: EventPage) -> list[Event | UnreadableEvent]:
        """Return what is shown of a page; an event that can't be read may be of any type."""
        from cicd_core.model.event import UnreadableEvent

        return [
            each
            for each in page.entries
            if isinstance(each, UnreadableEvent)
            or self.kind is None
            or fnmatchcase(each.type, self.kind)
        ]

    def _tell(
        self, shown: list[Event | UnreadableEvent], cursor: str | None, *, torn: bool
    ) -> None:
        """Write the events of a page; the last one carries the cursor to go on from."""
        if self.as_json:
            from cicd_core.cli.output import emit_line, plain

            for each in shown:
                place = cursor if each is shown[-1] else None
                emit_line(plain(each) | {"cursor": place, "torn": torn and each is shown[0]})
            return
        from cicd_core.cli.event_lines import show_events

        show_events(shown, torn=torn)
