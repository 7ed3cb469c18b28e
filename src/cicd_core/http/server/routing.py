"""Routes: a table of their parameters, their scopes, and the service calls behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from attrs import Factory, field

from cicd_core.http.server.access import require_agent
from cicd_core.http.wire.requests import Asked, Nothing
from cicd_core.values import frozen

if TYPE_CHECKING:
    from starlette.requests import Request

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.server.event_feed import EventFeed
    from cicd_core.http.server.limits import Limits
    from cicd_core.http.server.metrics import Metrics
    from cicd_core.http.server.principal_limits import PrincipalLimit
    from cicd_core.http.server.streams import Stream
    from cicd_core.http.server.waiting import Waiting
    from cicd_core.model.principal import Principal, Scope

Wanted = TypeVar("Wanted", bound=Asked)


@frozen(kw_only=True)
class Call:
    """One request: its caller, and the names in its path."""

    plane: ControlPlane
    principal: Principal
    request: Request
    waiting: Waiting
    metrics: Metrics
    feed: EventFeed
    #: The number of streams of each principal.
    streams: PrincipalLimit
    #: None: the server stores no logs.
    job_logs: JobLogService | None
    limits: Limits
    #: Authenticates the caller again, for an answer that lasts long.
    authenticate: Callable[[], Awaitable[Principal]]

    @property
    def actor(self) -> str:
        """The actor of changes, for the history: the principal, never a name in the body."""
        return self.principal.name

    def name(self, parameter: str) -> str:
        """Return a part of the path; slashes in a name are percent-encoded."""
        return unquote(str(self.request.path_params[parameter]))

    def require(self, scope: Scope) -> None:
        """Check that the caller has a scope besides that of the route.

        Raises:
            NotPermitted: it lacks the scope.
        """
        self.principal.require(scope)

    async def recheck(self, scope: Scope) -> None:
        """Check during a long answer that the caller still has a scope.

        Raises:
            NotAuthenticated: its key or its session has ended meanwhile.
            NotPermitted: it lacks the scope now.
        """
        (await self.authenticate()).require(scope)

    def own_agent(self, agent_id: str, pool_name: str | None = None) -> str:
        """Return the id of an agent that the caller may act as.

        Raises:
            NotPermitted: it belongs to another agent, or the pool is not one of its pools.
        """
        require_agent(self.principal, agent_id, pool_name)
        return agent_id


@frozen(kw_only=True)
class Reply:
    """An answer: a value as JSON, or bytes; None: no content."""

    value: Any = None
    #: Writes the answer instead, part by part.
    stream: Stream | None = None
    #: The media type of the value; bytes are sent unchanged.
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict[str, str])


#: The function of a route; its second argument is the body, or the query string.
Handler = Callable[[Call, Any], Awaitable[Reply]]


@frozen
class Object:
    """An answer that is an object with these members, in addition to those of a value."""

    members: Mapping[str, Any]
    of: Any = None


@frozen(kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    #: The type of the body, or of the query string of a GET or DELETE.
    takes: type[Asked]
    #: The scope that its caller needs; None: callers need no credentials.
    scope: Scope | None
    handler: Handler
    status: int
    #: The type of the answer: a value of the library, a Struct, or an :class:`Object`; None: no
    #: content.
    gives: Any = None
    #: Whether the answer may be empty (204).
    may_be_empty: bool = False
    #: Whether it accepts the header ``Idempotency-Key``.
    takes_key: bool = False
    #: Other headers that it accepts, with their descriptions.
    takes_headers: Mapping[str, str] = field(factory=dict[str, str])
    #: Whether the body is raw bytes instead of JSON.
    takes_bytes: bool = False
    media_type: str = "application/json"

    @property
    def has_body(self) -> bool:
        """Whether its parameters are in the body."""
        return self.method not in {"GET", "DELETE"}


@frozen
class RouteTable:
    """The routes below one prefix, in the order in which they are matched."""

    prefix: str
    routes: list[Route] = Factory(list[Route])

    def add(
        self,
        method: str,
        path: str,
        takes: type[Wanted],
        scope: Scope | None,
        *,
        status: int = 200,
        gives: Any = None,
        may_be_empty: bool = False,
        takes_key: bool = False,
        takes_headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> Callable[
        [Callable[[Call, Wanted], Awaitable[Reply]]], Callable[[Call, Wanted], Awaitable[Reply]]
    ]:
        """Return a decorator that adds a function as a route."""

        def note(
            handler: Callable[[Call, Wanted], Awaitable[Reply]],
        ) -> Callable[[Call, Wanted], Awaitable[Reply]]:
            route = Route(
                method=method,
                path=f"{self.prefix}{path}",
                takes=takes,
                scope=scope,
                handler=handler,
                status=status,
                gives=gives,
                may_be_empty=may_be_empty,
                takes_key=takes_key,
                takes_headers=takes_headers or {},
                media_type=media_type,
            )
            self.routes.append(route)
            return handler

        return note

    def add_upload(
        self,
        method: str,
        path: str,
        scope: Scope,
        *,
        gives: Any,
        takes_headers: Mapping[str, str],
    ) -> Callable[
        [Callable[[Call, bytes], Awaitable[Reply]]], Callable[[Call, bytes], Awaitable[Reply]]
    ]:
        """Return a decorator that adds a function as a route whose body is raw bytes."""

        def note(
            handler: Callable[[Call, bytes], Awaitable[Reply]],
        ) -> Callable[[Call, bytes], Awaitable[Reply]]:
            route = Route(
                method=method,
                path=f"{self.prefix}{path}",
                takes=Nothing,
                scope=scope,
                handler=handler,
                status=200,
                gives=gives,
                takes_headers=takes_headers,
                takes_bytes=True,
            )
            self.routes.append(route)
            return handler

        return note
