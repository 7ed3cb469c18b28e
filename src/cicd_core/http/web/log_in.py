"""Log-in of people: a key, entered once, opens a session that the browser keeps in a cookie.

The session has the rights of the key, and ends with it. So people need no log-in service, and a
user name alone never opens a session: see
:meth:`cicd_core.http.server.session_access.TokenAccess.log_in`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from cicd_core.http.server.bodies import BadRequest
from cicd_core.http.server.session_access import (
    NO_COOKIE,
    TokenAccess,
    cookie_of,
    cookie_with,
    require_own_origin,
)
from cicd_core.http.web import rendering
from cicd_core.http.web.addresses import base_of, own_address, redirect
from cicd_core.http.web.forms import read_form
from cicd_core.http.wire.problems import NO_ROUTE
from cicd_core.model.principal import NotAuthenticated, NotPermitted

if TYPE_CHECKING:
    from starlette.requests import Request

    from cicd_core.http.web.site import Site

_HTML = "text/html"
_MOST_AGENT = 200


async def ask_for_key(site: Site, request: Request) -> Response:
    """Return the page with the form."""
    _require_keys(site)
    return _form(site, request, own_address(request, request.query_params.get("back")), None, 200)


async def log_in(site: Site, request: Request) -> Response:
    """Create a session for the holder of a key, and redirect to the requested page."""
    access = _require_keys(site)
    require_own_origin(request)
    form = await read_form(request)
    back = own_address(request, form.text("back"))
    metadata = {"user_agent": request.headers.get("user-agent", "")[:_MOST_AGENT]}
    try:
        issued = await access.log_in((form.text("key") or "").strip(), metadata=metadata)
    except (NotAuthenticated, NotPermitted) as refused:
        return _form(site, request, back, refused.reason, 403)
    response = redirect(back)
    response.headers["set-cookie"] = cookie_with(issued)
    return response


async def log_out(site: Site, request: Request) -> Response:
    """End the session of the cookie."""
    require_own_origin(request)
    await site.plane.sessions.log_out(cookie_of(request))
    response = redirect(f"{base_of(request)}/log-in" if site.has_log_in else f"{base_of(request)}/")
    response.headers["set-cookie"] = NO_COOKIE
    return response


def _require_keys(site: Site) -> TokenAccess:
    """Return the service that checks keys.

    Raises:
        BadRequest: this server needs no keys.
    """
    if not isinstance(site.access, TokenAccess):
        raise BadRequest(NO_ROUTE, "this server asks for no key: open the overview")
    return site.access


def _form(site: Site, request: Request, back: str, error: str | None, status: int) -> Response:
    values: dict[str, Any] = {
        **site.around(request),
        "title": "Log in",
        "back": back,
        "error": error,
    }
    return Response(rendering.page("log_in.html", values), status_code=status, media_type=_HTML)
