"""The application: finds routes, authenticates callers, converts values and errors to answers."""

from __future__ import annotations

import logging
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from cicd_core.errors import CicdError, TooLarge, UnsupportedCapability
from cicd_core.http.server import (
    agent_routes,
    dashboard_routes,
    deployment_routes,
    docs_routes,
    event_routes,
    health_routes,
    job_routes,
    key_routes,
    log_routes,
    pool_routes,
    queue_routes,
    session_routes,
)
from cicd_core.http.server.access import ANONYMOUS, Access, LocalAccess
from cicd_core.http.server.bodies import (
    BadRequest,
    check_conditions,
    check_single_headers,
    read_body,
    read_bytes,
    read_query,
)
from cicd_core.http.server.event_feed import EventFeed
from cicd_core.http.server.idempotency import require_no_key
from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.server.metrics import Metrics
from cicd_core.http.server.openapi import description
from cicd_core.http.server.origins import allow_origins
from cicd_core.http.server.principal_limits import PrincipalLimit
from cicd_core.http.server.routing import Call, Reply, Route
from cicd_core.http.server.slashes import DecodedSlashes, EncodedSlashes
from cicd_core.http.server.streams import StreamResponse
from cicd_core.http.server.waiting import CallerGone, Waiting
from cicd_core.http.wire.problems import (
    INTERNAL,
    NO_ROUTE,
    PROBLEM_JSON,
    RETRY_AFTER_SECONDS,
    WRONG_METHOD,
    ProblemKind,
    kind_of,
    problem,
    problem_of,
)
from cicd_core.job_logs.contract import LogOffsetMismatch
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.principal import Principal

_log = logging.getLogger("cicd_core.http")

#: Every route of the API. If two match a path, the first one counts.
ROUTES: Final[tuple[Route, ...]] = (
    *pool_routes.TABLE.routes,
    *agent_routes.TABLE.routes,
    *queue_routes.TABLE.routes,
    *log_routes.TABLE.routes,
    *job_routes.TABLE.routes,
    *deployment_routes.TABLE.routes,
    *dashboard_routes.TABLE.routes,
    *event_routes.TABLE.routes,
    *key_routes.TABLE.routes,
    *session_routes.TABLE.routes,
    *docs_routes.TABLE.routes,
    *health_routes.TABLE.routes,
)


def create_app(
    control_plane: ControlPlane,
    *,
    auth: Access | None = None,
    job_logs: JobLogService | None = None,
    limits: Limits = DEFAULT_LIMITS,
    allowed_origins: Iterable[str] = (),
    status_page: bool = False,
    banner: str | None = None,
) -> Starlette:
    """Return the application, to run with an ASGI server on asyncio, or to mount in another one.

    Args:
        control_plane: the control plane that the routes call; you close it.
        auth: how to authenticate callers. By default, only programs on the same machine are
            answered (:class:`~cicd_core.http.server.access.LocalAccess`).
        job_logs: the logs of jobs; without it, the routes of logs refuse every call.
        limits: how much one caller may use; the ASGI server sets the limits of connections.
        allowed_origins: other origins whose pages may call the API, such as
            ``https://ci.example.org`` (CORS); their scripts need a token.
        banner: a text above every page of the status page, such as that its data is made up.
        status_page: whether ``/`` leads to the status page, which needs the extra ``web``.

    For a graceful stop, ``app.state.waiting.stop()`` ends the streams and the requests that wait
    for work.

    Raises:
        InvalidInput: an origin is invalid.
        UnsupportedCapability: the status page needs the extra ``web``, which is not installed.
    """
    waiting = Waiting(limits.max_waiting)
    server = _Server(
        control_plane,
        auth or LocalAccess(),
        waiting,
        Metrics(),
        EventFeed(control_plane.events, lambda: waiting.is_stopping),
        PrincipalLimit(
            limits.max_streams, "{most} streams of {principal} are open already; close one of them"
        ),
        PrincipalLimit(
            limits.max_uploads, "{most} uploads of {principal} are in progress; try again later"
        ),
        job_logs,
        limits,
    )
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    paths = [StarletteRoute(path, _Path(server, path, routes)) for path, routes in by_path.items()]
    if status_page:
        paths += _pages(server, banner)
    app = Starlette(routes=paths, exception_handlers={HTTPException: _no_route})
    app.router.redirect_slashes = False
    app.router.default = DecodedSlashes(app.router, [each.path for each in paths])
    app.add_middleware(EncodedSlashes)
    allow_origins(app, allowed_origins)
    app.state.waiting = server.waiting
    app.state.streams = server.streams
    app.state.description = _described
    return app


def _pages(server: _Server, banner: str | None) -> list[StarletteRoute]:
    """Return the routes of the status page.

    Raises:
        UnsupportedCapability: the extra ``web`` is not installed.
    """
    try:
        from cicd_core.http.web.site import Site  # noqa: PLC0415 - only where it is wanted
    except ModuleNotFoundError as missing:
        hint = f"{missing.name} is not installed; run pip install 'cicd-core[web]'"
        raise UnsupportedCapability(hint) from missing
    site = Site(plane=server.plane, access=server.access, job_logs=server.job_logs, banner=banner)
    return site.routes()


@cache
def _described() -> bytes:
    return msgspec.json.encode(description(ROUTES, health_routes.VERSION))


@frozen
class _Server:
    """The objects that all routes share."""

    plane: ControlPlane
    access: Access
    waiting: Waiting
    metrics: Metrics
    feed: EventFeed
    streams: PrincipalLimit
    uploads: PrincipalLimit
    job_logs: JobLogService | None
    limits: Limits


class _Path:
    """All methods of one path."""

    def __init__(self, server: _Server, path: str, routes: Sequence[Route]) -> None:
        self._server = server
        self._path = path
        self._routes = {route.method: route for route in routes}
        self._methods = {*self._routes, *(["HEAD"] if "GET" in self._routes else [])}
        self._allow = ", ".join(sorted(self._methods))

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        request, began = Request(scope, receive), anyio.current_time()
        try:
            response = await self._answered(request)
        except (CallerGone, ClientDisconnect):
            return  # the caller has disconnected
        method = request.method if request.method in self._methods else "other"
        seconds = anyio.current_time() - began
        self._server.metrics.answered(method, self._path, response.status_code, seconds)
        await response(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        try:
            return _response(await self._reply(request), is_head=request.method == "HEAD")
        except CicdError as refused:
            return _refusal(refused)
        except BadRequest as bad:
            return _problem(bad.kind, bad.detail, bad.headers)
        except (CallerGone, ClientDisconnect):
            raise
        except Exception:  # noqa: BLE001 - it is logged, and the caller gets a problem
            _log.exception("%s %s failed", request.method, request.scope["path"])
            return _problem(INTERNAL, "the server failed, its log has the cause; try again later")

    async def _reply(self, request: Request) -> Reply:
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get(method)
        if route is None:
            detail = f"{request.method} is not a method of this route; it has {self._allow}"
            raise BadRequest(WRONG_METHOD, detail, {"allow": self._allow})
        check_single_headers(request)
        call = Call(
            plane=self._server.plane,
            principal=await self._admitted(request, route),
            request=request,
            waiting=self._server.waiting,
            metrics=self._server.metrics,
            feed=self._server.feed,
            streams=self._server.streams,
            job_logs=self._server.job_logs,
            limits=self._server.limits,
            authenticate=partial(self._server.access.principal, request),
        )
        if method != "GET":
            check_conditions(request, route.takes_headers)
        if route.status == HTTPStatus.CREATED and not route.takes_key:
            require_no_key(request)
        if route.takes_bytes:
            self._server.uploads.require_room(call.principal.name)
            with self._server.uploads.counted(call.principal.name):
                return await route.handler(call, await read_bytes(request, call.limits))
        if route.has_body:
            return await route.handler(call, await read_body(request, route.takes, call.limits))
        return await route.handler(call, read_query(request, route.takes))

    async def _admitted(self, request: Request, route: Route) -> Principal:
        """Return the principal of a request.

        Raises:
            NotAuthenticated: its credentials are missing, invalid or no longer valid.
            NotPermitted: it may not call this route.
        """
        if route.scope is None:
            return ANONYMOUS
        principal = await self._server.access.principal(request)
        principal.require(route.scope)
        return principal


def _response(reply: Reply, *, is_head: bool) -> Response:
    if reply.stream is not None:
        if is_head:
            headers, status = reply.headers, reply.status
            return Response(status_code=status, headers=headers, media_type=reply.media_type)
        return StreamResponse(reply.stream, reply.media_type, reply.headers, status=reply.status)
    if reply.value is None:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=reply.headers)
    is_whole = isinstance(reply.value, bytes)
    body: bytes = reply.value if is_whole else msgspec.json.encode(reply.value)
    headers = {"cache-control": "no-store", **reply.headers}
    if is_head:
        headers["content-length"] = str(len(body))
    return Response(
        b"" if is_head else body,
        status_code=reply.status,
        headers=headers,
        media_type=reply.media_type,
    )


def _refusal(error: CicdError) -> Response:
    kind = kind_of(error)
    headers: dict[str, str] = {}
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.retryable:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, TooLarge) and error.field == "body":
        headers["connection"] = "close"  # the rest of the body is not read
    if isinstance(error, LogOffsetMismatch):
        headers["content-range"] = f"bytes */{error.end}"
    return _document(kind, problem_of(error), headers)


def _problem(kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return _document(kind, problem(kind, detail), headers or {})


def _document(
    kind: ProblemKind, document: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    return Response(
        msgspec.json.encode(document),
        status_code=kind.status,
        headers={"cache-control": "no-store", **headers},
        media_type=PROBLEM_JSON,
    )


async def _no_route(request: Request, _: Exception) -> Response:
    return _problem(
        NO_ROUTE, f"there is no route {request.scope['path']!r}; see the HTTP routes reference"
    )
