"""Routes: a table of what each takes, who may call it, and which call of a service it is."""

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
    """One request: who calls, and what the path names."""

    plane: ControlPlane
    principal: Principal
    request: Request
    waiting: Waiting
    metrics: Metrics
    feed: EventFeed
    #: How many streams each principal follows.
    streams: PrincipalLimit
    #: None: the server keeps no logs.
    job_logs: JobLogService | None
    limits: Limits
    #: Finds out once more who calls, for what lasts longer than what was found out.
    authenticate: Callable[[], Awaitable[Principal]]

    @property
    def actor(self) -> str:
        """Who asks, for the history of what is changed: the principal, never the body."""
        return self.principal.name

    def name(self, parameter: str) -> str:
        """Return a part of the path; a name may hold slashes, which come percent-encoded."""
        return unquote(str(self.request.path_params[parameter]))

    def require(self, scope: Scope) -> None:
        """Check that the caller may do something besides what the route asks for.

        Raises:
            NotPermitted: it lacks the scope.
        """
        self.principal.require(scope)

    async def recheck(self, scope: Scope) -> None:
        """Check that the caller still may do something, in the middle of a long answer.

        Raises:
            NotAuthenticated: its key or its session has ended meanwhile.
            NotPermitted: it lacks the scope now.
        """
        (await self.authenticate()).require(scope)

    def own_agent(self, agent_id: str, pool_name: str | None = None) -> str:
        """Return an agent's id that the caller may speak for.

        Raises:
            NotPermitted: it is another agent, or the pool is not on its list.
        """
        require_agent(self.principal, agent_id, pool_name)
        return agent_id


@frozen(kw_only=True)
class Reply:
    """What is answered: a value that is JSON already, or bytes; None: no content."""

    value: Any = None
    #: What writes the answer instead, part by part.
    stream: Stream | None = None
    #: Of the value; one that is bytes is sent as it is.
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict[str, str])


#: What a route does; its second argument is the body, or the query string.
Handler = Callable[[Call, Any], Awaitable[Reply]]


@frozen
class Object:
    """An answer that is an object with these members, besides those of a value."""

    members: Mapping[str, Any]
    of: Any = None


@frozen(kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    #: The type of the body, or of the query string of a GET or DELETE.
    takes: type[Asked]
    #: What its caller must be allowed to; None: anybody may call it, without credentials.
    scope: Scope | None
    handler: Handler
    status: int
    #: The type of the answer: a value of the library, a Struct, or an :class:`Object`; None: there
    #: is no content.
    gives: Any = None
    #: Whether there may be nothing to answer (204).
    may_be_empty: bool = False
    #: Whether it takes the header ``Idempotency-Key``.
    takes_key: bool = False
    #: Headers that it takes besides, each with what it says.
    takes_headers: Mapping[str, str] = field(factory=dict[str, str])
    #: Whether the body is bytes as they are, in place of JSON.
    takes_bytes: bool = False
    media_type: str = "application/json"

    @property
    def has_body(self) -> bool:
        """Whether what it takes comes in the body."""
        return self.method not in {"GET", "DELETE"}


@frozen
class RouteTable:
    """The routes below one prefix, in the order in which they are looked at."""

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
        """Return a decorator: the function is what that route does."""

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
        """Return a decorator: the function is what that route does with the bytes of a body."""

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
