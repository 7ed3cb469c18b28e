"""Other origins whose pages may call the API: none by default.

Their scripts need a token: the cookie of a session works only for pages of the server itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware

from cicd_core.errors import InvalidInput
from cicd_core.http.wire.job_logs import ATTEMPT, COMPLETE, LEASE_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.applications import Starlette

_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_TAKEN: Final = (
    *("authorization", "content-type", "idempotency-key", "if-match", "last-event-id"),
    *("range", "content-range", "content-encoding", LEASE_TOKEN),
)
_SHOWN: Final = (
    *("etag", "link", "location", "retry-after"),
    *("content-range", ATTEMPT, COMPLETE),
)
#: How long a browser may cache the answer of a preflight request, in seconds.
_REMEMBERED: Final = 600


def allow_origins(app: Starlette, origins: Iterable[str]) -> None:
    """Let the scripts of some origins call an application; without any, nothing changes.

    Raises:
        InvalidInput: an origin is invalid.
    """
    allowed = [_checked(origin) for origin in origins]
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=_METHODS,
            allow_headers=_TAKEN,
            expose_headers=_SHOWN,
            max_age=_REMEMBERED,
        )


def _checked(origin: object) -> str:
    reason = "give a scheme and a host, such as https://ci.example.org, as browsers send them"
    if not isinstance(origin, str):
        raise InvalidInput("allowed_origins", origin, reason)
    try:
        parts = urlsplit(origin)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise InvalidInput("allowed_origins", origin, reason) from None
    whole = f"{parts.scheme}://{parts.hostname}{port}"
    if parts.scheme not in {"http", "https"} or not parts.hostname or origin != whole:
        raise InvalidInput("allowed_origins", origin, reason)
    return origin
