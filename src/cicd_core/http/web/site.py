"""Passes requests to pages and actions, and returns their answers."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from attrs import Factory
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cicd_core.errors import CicdError, InvalidInput
from cicd_core.http.server.bodies import BadRequest
from cicd_core.http.server.principal_limits import PrincipalLimit
from cicd_core.http.server.session_access import TokenAccess, require_own_origin
from cicd_core.http.web import looks, rendering
from cicd_core.http.web.actions import NOTICES, Done
from cicd_core.http.web.addresses import PLACE, base_of, own_address, path_of, redirect, root_of
from cicd_core.http.web.export import MOST_EXPORTS, export
from cicd_core.http.web.forms import in_words_of_forms, read_form
from cicd_core.http.web.log_in import ask_for_key, log_in, log_out
from cicd_core.http.web.recent import RecentEvents
from cicd_core.http.web.table import ACTIONS, PAGES, Action, Page
from cicd_core.http.web.visit import Visit
from cicd_core.http.wire.problems import NO_ROUTE, WRONG_METHOD, kind_of
from cicd_core.model.amounts import amount
from cicd_core.model.principal import NotAuthenticated, Principal, Scope
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.server.access import Access
    from cicd_core.http.web.forms import Form

_log = logging.getLogger("cicd_core.http")

#: What a page may load and do: only files of its own server, no script or style in the page itself.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
#: The header with which the script requests the changing part of a page.
FRAGMENT: Final = "x-page-fragment"
_HTML: Final = "text/html"
#: Minimum size in bytes for compression, and its level.
_SMALL: Final = 1_000
_LEVEL: Final = 4
#: How long a browser may cache an asset, whose address has its version: a year, in seconds.
_KEPT: Final = 365 * 24 * 3600


@frozen(kw_only=True)
class Site:
    """The pages of one application."""

    plane: ControlPlane
    access: Access
    job_logs: JobLogService | None = None
    #: A text above every page, such as that its data is made up; None: no text.
    banner: str | None = None
    #: The number of exports of each principal.
    exports: PrincipalLimit = Factory(
        lambda: PrincipalLimit(MOST_EXPORTS, "{most} exports of {principal} are running; wait")
    )
    recent: RecentEvents = Factory(lambda site: RecentEvents(site.plane.events), takes_self=True)

    def routes(self) -> list[Route]:
        """Return the routes of all pages."""
        answers: list[tuple[str, str, Answer]] = [("GET", "", _to_overview)]
        answers += [
            ("POST", path, partial(_act, scope, action))
            for path, (scope, action) in ACTIONS.items()
        ]
        answers += [
            ("GET", "/log-in", ask_for_key),
            ("POST", "/log-in", log_in),
            ("POST", "/log-out", log_out),
            ("GET", "/audit/export", export),
            ("GET", "/assets/{name}", _asset),
        ]
        answers += [("GET", page.path, partial(_show, page)) for page in PAGES]
        by_path: dict[str, dict[str, Answer]] = {}
        for method, path, answer in answers:
            by_path.setdefault(f"{PLACE}{path}", {})[method] = answer
        by_path["/"] = {"GET": _to_overview}
        by_path[f"{PLACE}/{{rest:path}}"] = {"GET": _no_page}
        return [Route(path, _Endpoint(self, methods)) for path, methods in by_path.items()]

    @property
    def has_log_in(self) -> bool:
        """Whether people may log in with a key."""
        return isinstance(self.access, TokenAccess)

    def around(self, request: Request) -> dict[str, Any]:
        """Return the common values of every page."""
        return {
            "root": root_of(request),
            "base": base_of(request),
            "banner": self.banner,
            "has_log_in": self.has_log_in,
        }

    async def principal(self, request: Request) -> Principal:
        """Return the principal of a request; a form must always come from a page of this server.

        Raises:
            NotAuthenticated: its credentials are missing, or invalid.
            NotPermitted: the server answers no caller with these headers.
        """
        if request.method == "POST":
            # The rule of the API, without its content type: a form does not send JSON.
            require_own_origin(request)
            request = Request({**request.scope, "method": "GET"})
        return await self.access.principal(request)

    async def visit(self, request: Request) -> Visit:
        """Return the visit of a request."""
        principal = await self.principal(request)
        said = ((name, value.strip()) for name, value in request.query_params.items())
        query = {name: value for name, value in said if value}
        path = path_of(request)
        return Visit(
            plane=self.plane,
            recent=self.recent,
            job_logs=self.job_logs,
            principal=principal,
            now=await self.plane.now(),
            server=str(request.base_url).rstrip("/"),
            base=base_of(request),
            here=f"{path}?{urlencode(query)}" if query else path,
            path=request.path_params,
            query=query,
        )


#: Answers a request.
Answer = Callable[[Site, Request], Awaitable[Response]]


class _Endpoint:
    """All methods of one path."""

    def __init__(self, site: Site, methods: Mapping[str, Answer]) -> None:
        self._site = site
        self._methods = methods

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answered(request)
        except ClientDisconnect:
            return
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if _takes_gzip(request):
            response = _compressed(response)
        await response(scope, receive, send)

    def _answer(self, method: str) -> Answer:
        """Return the function that answers a method.

        Raises:
            BadRequest: this path has no such method.
        """
        answer = self._methods.get("GET" if method == "HEAD" else method)
        if answer is None:
            methods = {*self._methods, *(["HEAD"] if "GET" in self._methods else [])}
            allow = ", ".join(sorted(methods))
            raise BadRequest(WRONG_METHOD, f"this address supports {allow}", {"allow": allow})
        return answer

    async def _answered(self, request: Request) -> Response:
        try:
            return await self._answer(request.method)(self._site, request)
        except NotAuthenticated as unknown:
            return _stranger(self._site, request, unknown)
        except CicdError as refused:
            return _refusal(self._site, request, kind_of(refused).status, str(refused))
        except BadRequest as bad:
            refusal = _refusal(self._site, request, bad.kind.status, bad.detail)
            refusal.headers.update(bad.headers)
            return refusal
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 - it is logged, and the person gets a page
            _log.exception("%s %s failed", request.method, request.scope["path"])
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return _refusal(
                self._site, request, status, "the server failed; see its log for the cause"
            )


def _takes_gzip(request: Request) -> bool:
    """Return whether a browser accepts gzip; it may also refuse it by name (``gzip;q=0``)."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = (text.strip() for text in part.partition(";"))
        if coding == "gzip":
            return weight.removeprefix("q=").strip("0.") != "" or not weight
    return False


def _compressed(response: Response) -> Response:
    """Return a compressed response, if it is complete and not small."""
    if type(response) is not Response or len(response.body) < _SMALL:
        return response
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
    packed = gzip.compress(response.body, compresslevel=_LEVEL)
    return Response(packed, status_code=response.status_code, headers=headers)


async def _show(page: Page, site: Site, request: Request) -> Response:
    visit = await site.visit(request)
    for scope in page.scopes:
        visit.principal.require(scope)
    values = _frame(site, request, visit, page) | await page.view(visit)
    fragment = FRAGMENT in request.headers
    return Response(rendering.page(page.template, values, fragment=fragment), media_type=_HTML)


async def _act(scope: Scope, action: Action, site: Site, request: Request) -> Response:
    visit = await site.visit(request)
    visit.principal.require(scope)
    form = await read_form(request)
    try:
        done = await action(visit, form)
    except InvalidInput as wrong:
        raise in_words_of_forms(wrong) from None
    return _back(request, form, done)


def _back(request: Request, form: Form, done: Done) -> Response:
    """Redirect to the page that sent a form, with the result of its action."""
    back = own_address(request, form.text("back"))
    path, _, query = back.partition("?")
    said = urlencode({"notice": done.notice, "n": done.number, "refused": done.refused})
    return redirect(f"{path}?{query}&{said}" if query else f"{path}?{said}")


async def _to_overview(_: Site, request: Request) -> Response:
    return redirect(f"{base_of(request)}/")


async def _no_page(_: Site, request: Request) -> Response:
    path = path_of(request)
    if path.endswith("/"):  # typed by hand, as for a folder
        return redirect(path.rstrip("/"))
    raise BadRequest(NO_ROUTE, f"there is no page {path}")


async def _asset(_: Site, request: Request) -> Response:
    name = request.path_params["name"]
    try:
        content = rendering.asset(name)
    except KeyError:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    headers = {"cache-control": f"public, max-age={_KEPT}, immutable"}
    return Response(content, media_type=rendering.ASSETS[name], headers=headers)


def _frame(site: Site, request: Request, visit: Visit, page: Page) -> dict[str, Any]:
    """Return the values that every page shows around its own part."""
    types = page.types if visit.may(Scope.EVENTS_READ) else None
    stream = f"{root_of(request)}/api/events/stream?from_now=true"
    if types is not None and types != "*":
        stream += f"&{urlencode({'types': types})}"
    return {
        **site.around(request),
        "visit": visit,
        "page": page,
        "title": page.title,
        "navigation": [
            (each.label, f"{visit.base}{each.path}", each.path == page.path)
            for each in PAGES
            if each.label is not None and all(map(visit.may, each.scopes))
        ],
        "stream": None if types is None else stream,
        "every": page.every,
        "notice": _notice(visit),
    }


def _notice(visit: Visit) -> str | None:
    """Return the result of an action from the address, in this server's own words."""
    found = NOTICES.get(visit.text("notice") or "")
    if found is None:
        return None
    done, noun = found
    number, refused = (_count(visit.text(name)) for name in ("n", "refused"))
    why = "not found, or not possible in the present state"
    left = f"; {amount(refused, noun)} refused: {why}" if refused else ""
    return f"{amount(number, noun)} {done}{left}."


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else 0  # noqa: PLR2004 - no page has so many


def _stranger(site: Site, request: Request, unknown: NotAuthenticated) -> Response:
    """Redirect to the log-in, or refuse if a log-in would not help."""
    if not site.has_log_in or FRAGMENT in request.headers:
        return _refusal(site, request, HTTPStatus.UNAUTHORIZED, str(unknown))
    if request.method != "GET":  # the page that sent the form, whose session has ended
        back = own_address(request, _path_of_referer(request))
        return redirect(f"{base_of(request)}/log-in?{urlencode({'back': back})}")
    query = request.scope.get("query_string", b"").decode("ascii", "replace")
    here = f"{path_of(request)}?{query}" if query else path_of(request)
    return redirect(f"{base_of(request)}/log-in?{urlencode({'back': here})}")


def _refusal(site: Site, request: Request, status: int, text: str) -> Response:
    values = {
        **site.around(request),
        "title": looks.refusal(status),
        "status": int(status),
        "text": text,
        "back": own_address(request, _path_of_referer(request)),
    }
    return Response(rendering.page("refusal.html", values), status_code=status, media_type=_HTML)


def _path_of_referer(request: Request) -> str:
    """Return the page that sent a form, according to the browser; other callers may lie."""
    try:
        parts = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
