"""Writes the reference of the routes from the table that the server runs on.

    python docs/http_routes.py

writes ``docs/reference/http-routes.md``. A test fails when the page is not what this script makes.
Needs the extra ``http``.
"""

from __future__ import annotations

import inspect
import re
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from cicd_core.http.server.app import ROUTES
from cicd_core.http.wire.problems import (
    INTERNAL,
    KINDS,
    MALFORMED_BODY,
    NO_ROUTE,
    RANGE_NOT_SATISFIABLE,
    TOO_MANY,
    TOO_SLOW,
    WRONG_MEDIA_TYPE,
    WRONG_METHOD,
    WRONG_RANGE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.http.server.routing import Route
    from cicd_core.http.wire.problems import ProblemKind

PAGE: Final = Path(__file__).with_name("reference") / "http-routes.md"

#: The problems of requests that no service sees.
_OF_REQUESTS: Final = (
    MALFORMED_BODY,
    WRONG_MEDIA_TYPE,
    TOO_SLOW,
    NO_ROUTE,
    WRONG_METHOD,
    TOO_MANY,
    RANGE_NOT_SATISFIABLE,
    WRONG_RANGE,
    INTERNAL,
)

_HEAD: Final = """\
# HTTP routes

<!-- made by docs/http_routes.py -->

Bodies and answers are JSON; values have the form that [JSON](json.md) describes. Parameters of
`GET` and `DELETE` belong in the query string. Required names are **bold**. `HEAD` answers like
`GET`, without the body. A list answers a page: `items`, `cursor`, `unreadable` and `incomplete`,
and a `Link` to the next page.

"""


def rendered() -> str:
    """Return the whole page."""
    lines = ["| route | scope | takes | |", "|---|---|---|---|"]
    lines += [_row(route) for route in ROUTES]
    problems = ["", "## Problems", "", "| type | status | error |", "|---|---|---|", *_problems()]
    return _HEAD + "\n".join([*lines, *problems]) + "\n"


def _row(route: Route) -> str:
    scope = "" if route.scope is None else f"`{route.scope}`"
    said = re.sub(r"`{2}", "`", (inspect.getdoc(route.handler) or "").splitlines()[0])
    return f"| `{route.method} {route.path}` | {scope} | {', '.join(_fields(route))} | {said} |"


def _fields(route: Route) -> Iterator[str]:
    for each in msgspec.structs.fields(route.takes):
        yield f"**`{each.name}`**" if each.required else f"`{each.name}`"
    for name in route.takes_headers:
        yield f"header `{name}`"
    if route.takes_bytes:
        yield "bytes"


def _problems() -> Iterator[str]:
    for error, kind in KINDS.items():
        yield _problem(kind, f"`{error.__name__}`")
    for kind in _OF_REQUESTS:
        yield _problem(kind, "")


def _problem(kind: ProblemKind, error: str) -> str:
    status = HTTPStatus(kind.status)
    return f"| `{kind.uri}` | {status.value} {status.phrase} | {error} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")


if __name__ == "__main__":
    main()
