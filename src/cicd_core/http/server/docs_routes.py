"""The description of the API, and a page to read it and try it: ``/api/docs``.

The page uses only files of this package, so it also works without internet access.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

from cicd_core.http.server.routing import Call, Reply, RouteTable
from cicd_core.http.wire.requests import Nothing

TABLE: Final = RouteTable("/api")
_HTML: Final = "text/html"
_SCRIPT: Final = "text/javascript"
_STYLE: Final = "text/css"
#: The page runs its own script, calls its own server, and is not shown in a frame.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@TABLE.add("GET", "/openapi.json", Nothing, None, gives=dict[str, Any])
async def openapi(call: Call, _: Nothing) -> Reply:
    """Return the description of the API (OpenAPI 3.1)."""
    return Reply(value=call.request.app.state.description())


@TABLE.add("GET", "/docs", Nothing, None, gives=str, media_type=_HTML)
async def docs(_: Call, __: Nothing) -> Reply:
    """Return a page that shows every route, and lets you try it."""
    return _asset("docs.html", _HTML)


@TABLE.add("GET", "/docs/docs.js", Nothing, None, gives=str, media_type=_SCRIPT)
async def script(_: Call, __: Nothing) -> Reply:
    """Return the script of that page."""
    return _asset("docs.js", _SCRIPT)


@TABLE.add("GET", "/docs/docs.css", Nothing, None, gives=str, media_type=_STYLE)
async def style(_: Call, __: Nothing) -> Reply:
    """Return the style of that page."""
    return _asset("docs.css", _STYLE)


def _asset(name: str, media_type: str) -> Reply:
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    return Reply(value=_content(name), media_type=media_type, headers=headers)


@cache
def _content(name: str) -> bytes:
    return files("cicd_core.http.server").joinpath("assets", name).read_bytes()
