"""The audit as a file: CSV or JSON, read from the log while it is sent."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import anyio
import msgspec
from attrs import asdict

from cicd_core.errors import OperationRejected
from cicd_core.http.server.streams import StreamResponse
from cicd_core.http.web.pages.log import command_of
from cicd_core.http.web.trail import COLUMNS, matches, trail_of
from cicd_core.model.choices import check_choice
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from cicd_core.http.server.streams import Write
    from cicd_core.http.web.site import Site
    from cicd_core.http.web.trail import Trail
    from cicd_core.http.web.visit import Visit

_READ: Final = 1_000
#: The longest that an export may take, in seconds, and how many one principal has at once.
LONGEST_SECONDS: Final = 900.0
MOST_EXPORTS: Final = 2
#: A spreadsheet takes a cell that starts with one of these (also as a wide character) for a
#: formula, so an apostrophe is put before it.
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_AS_TEXT: Final = "'"


class ExportFormat(StrEnum):
    """The formats of an audit file."""

    CSV = "csv"
    JSON = "json"


_MEDIA: Final = {ExportFormat.CSV: "text/csv", ExportFormat.JSON: "application/json"}


async def export(site: Site, request: Request) -> Response:
    """Send the commands in the log that match, the oldest first.

    It ends where the log ended at its start. If it can't be completed, the connection is
    closed, so that no part is taken for the whole.
    """
    visit = await site.visit(request)
    visit.principal.require(Scope.EVENTS_READ)
    command_of(visit)  # an invalid one is refused before the file begins
    form = check_choice("format", visit.text("format") or ExportFormat.CSV, ExportFormat)
    write = _write_csv if form is ExportFormat.CSV else _write_json
    headers = {"content-disposition": f'attachment; filename="audit.{form}"'}
    name = visit.principal.name
    site.exports.require_room(name)

    async def send(part: Write) -> None:
        with site.exports.counted(name), anyio.move_on_after(LONGEST_SECONDS) as in_time:
            await write(_trails(site, request, visit), part)
        if in_time.cancelled_caught:
            reason = "choose an actor or a command, or read /api/events in pages"
            raise OperationRejected(f"the export took over {LONGEST_SECONDS:g} s: {reason}")

    return StreamResponse(send, _MEDIA[form], headers, is_file=True)


async def _write_csv(found: AsyncIterator[list[Trail]], write: Write) -> None:
    await write(_lines([COLUMNS]))
    async for trails in found:
        rows = (to_json(asdict(trail)) for trail in trails)
        await write(_lines([_cell(row[name]) for name in COLUMNS] for row in rows))


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: str | None) -> str:
    """Return a text that no spreadsheet takes for a formula: some texts come from callers."""
    text = value or ""
    return f"{_AS_TEXT}{text}" if text.startswith(_FORMULA) else text


async def _write_json(found: AsyncIterator[list[Trail]], write: Write) -> None:
    begin = b"["
    async for trails in found:
        for trail in trails:
            await write(begin + msgspec.json.encode(to_json(asdict(trail))))
            begin = b",\n"
    await write(b"[]" if begin == b"[" else b"]")


async def _trails(site: Site, request: Request, visit: Visit) -> AsyncIterator[list[Trail]]:
    """Yield the matching entries of each page of the log, up to its end at the first one.

    Raises:
        NotAuthenticated, NotPermitted: the caller lost its right meanwhile.
    """
    events, actor, command = visit.plane.events, visit.text("actor"), visit.text("command")
    end = await events.end()
    cursor: str | None = None
    behind: str | None = None
    while True:
        page = await events.read(cursor, limit=_READ)
        cursor = page.cursor
        if behind is None:  # the first event after the end, once there is one
            later = (await events.read(end, limit=1)).entries
            behind = later[0].event_id if later else None
        ids = [entry.event_id for entry in page.entries]
        entries = page.entries[: ids.index(behind)] if behind in ids else page.entries
        yield [trail_of(entry) for entry in entries if matches(entry, actor, command)]
        if not page.entries or len(entries) < len(page.entries):
            return
        (await site.principal(request)).require(Scope.EVENTS_READ)
