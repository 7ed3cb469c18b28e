"""The audit as a file: CSV or JSON, read from the log while it is sent."""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from attrs import asdict

from cicd_core.http.server.streams import StreamResponse
from cicd_core.http.web.pages.log import command_of
from cicd_core.http.web.trail import COLUMNS, matches, trail_of
from cicd_core.model.choices import check_choice
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from cicd_core.http.server.streams import Write
    from cicd_core.http.web.site import Site
    from cicd_core.http.web.trail import Trail
    from cicd_core.http.web.visit import Visit

_READ: Final = 1_000
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
    """Send the commands in the log that match, the oldest first."""
    visit = await site.visit(request)
    visit.principal.require(Scope.EVENTS_READ)
    command_of(visit)  # an invalid one is refused before the file begins
    form = check_choice("format", visit.text("format") or ExportFormat.CSV, ExportFormat)
    write = _write_csv if form is ExportFormat.CSV else _write_json
    headers = {"content-disposition": f'attachment; filename="audit.{form}"'}
    return StreamResponse(partial(write, visit), _MEDIA[form], headers)


async def _write_csv(visit: Visit, write: Write) -> None:
    await write(_lines([COLUMNS]))
    async for trails in _trails(visit):
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


async def _write_json(visit: Visit, write: Write) -> None:
    begin = b"["
    async for trails in _trails(visit):
        for trail in trails:
            await write(begin + msgspec.json.encode(to_json(asdict(trail))))
            begin = b",\n"
    await write(b"[]" if begin == b"[" else b"]")


async def _trails(visit: Visit) -> AsyncGenerator[list[Trail], None]:
    actor, command = visit.text("actor"), visit.text("command")
    cursor: str | None = None
    while True:
        page = await visit.plane.events.read(cursor, limit=_READ)
        cursor = page.cursor
        if not page.entries:
            return
        yield [trail_of(entry) for entry in page.entries if matches(entry, actor, command)]
