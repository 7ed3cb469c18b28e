"""One request for a page: the caller, the parameters, and the address of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

from cicd_core.errors import InvalidInput
from cicd_core.http.web.addresses import PLACE
from cicd_core.model.principal import NotPermitted
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.web.recent import RecentEvents
    from cicd_core.model.principal import Principal, Scope


@frozen(kw_only=True)
class Visit:
    """The context of a request, for views and actions."""

    plane: ControlPlane
    recent: RecentEvents
    #: The logs of jobs; None: this server stores none.
    job_logs: JobLogService | None
    principal: Principal
    #: The time of the store's calendar.
    now: datetime
    #: The address of the server, for clients of its API.
    server: str
    #: The path prefix of all pages, such as ``/ui``.
    base: str
    #: The path of this page, with its query string.
    here: str
    path: Mapping[str, str]
    #: The query string; an empty field of a form counts as missing.
    query: Mapping[str, str]

    def may(self, scope: Scope) -> bool:
        """Return whether the caller has a scope: actions without it are not offered."""
        try:
            self.principal.require(scope)
        except NotPermitted:
            return False
        return True

    def name(self, parameter: str) -> str:
        """Return a part of the path; slashes in a name are percent-encoded."""
        return unquote(self.path[parameter])

    def text(self, name: str) -> str | None:
        """Return a field of the query string; None: it is missing."""
        return self.query.get(name)

    def link(self, *parts: str, **query: object) -> str:
        """Return the address of a page; its parts are names; query fields of None are omitted."""
        path = "/".join((self.base, *(quote(part, safe="") for part in parts)))
        given = {name: value for name, value in query.items() if value is not None}
        return f"{path}?{urlencode(given)}" if given else path

    def api(self, *parts: str) -> str:
        """Return the address of a route of the API; its parts are names."""
        root = self.base.removesuffix(PLACE)
        return "/".join((root, "api", *(quote(part, safe="") for part in parts)))

    def same(self, **changes: object) -> str:
        """Return the address of this page with other fields in its query string."""
        path = self.here.partition("?")[0]
        query = {**self.query, **changes}
        given = {name: value for name, value in query.items() if value is not None}
        return f"{path}?{urlencode(given)}" if given else path

    def number(self, name: str, default: int, *, most: int) -> int:
        """Return a field that is a number from 1 to ``most``.

        Raises:
            InvalidInput: it is not such a number.
        """
        said = self.text(name)
        if said is None:
            return default
        if not said.isdecimal() or not 1 <= int(said[:9]) <= most:
            raise InvalidInput(name, said, f"give a number from 1 to {most}")
        return int(said)
