"""How much one caller may use of a server: sizes, times, and numbers of waiting requests."""

from __future__ import annotations

from typing import Final

from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.model.claim import MAX_WAIT_SECONDS
from cicd_core.values import frozen

#: The largest limit, and the smallest maximum size of a body: logs come in chunks of that size.
_MOST: Final = 2**31 - 1
_LEAST_BODY: Final = 1024 * 1024
_INTEGERS: Final = {
    "max_waiting": 0,
    "max_streams": 0,
    "max_uploads": 0,
    "max_body_bytes": _LEAST_BODY,
    "max_head_bytes": 1024,
}
_DURATIONS: Final = (
    "body_seconds",
    "head_seconds",
    "stalled_seconds",
    "idle_seconds",
    "grace_seconds",
)


@frozen(kw_only=True)
class Limits:
    """The limits of a server; each can be changed alone.

    Raises:
        InvalidInput: one of them is out of its range; the error names it.
    """

    #: Maximum number of requests of one principal that wait at once, for work or for the end of a
    #: job; another one is refused (429).
    max_waiting: int = 1024
    #: Maximum number of event and log streams of one principal at once; another one is refused
    #: (429).
    max_streams: int = 64
    #: Maximum number of chunks of logs, each a body, that one principal sends at once (429).
    max_uploads: int = 64
    #: Maximum wait of a request, in seconds. A request for a longer wait gets its answer then, as
    #: if its own time were over, and its caller asks again. Choose less than a proxy's timeout.
    max_wait_seconds: float = MAX_WAIT_SECONDS
    #: Maximum size of a body in bytes (413), at least 1 MiB, and the time in which it must arrive,
    #: in seconds (408).
    max_body_bytes: int = 1024 * 1024
    body_seconds: float = 60.0
    #: Maximum size of a request's head in bytes (431), and the time in which a connection must send
    #: one, in seconds; then it is closed.
    max_head_bytes: int = 64 * 1024
    head_seconds: float = 30.0
    #: How long a caller may read nothing of a pending answer, in seconds; then the connection is
    #: dropped. The kernels of both sides buffer some megabytes first.
    stalled_seconds: float = 120.0
    #: How long a connection may be idle, in seconds: longer than clients and proxies keep one.
    idle_seconds: float = 75.0
    #: Time for running requests to finish when the server stops, in seconds.
    grace_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Refuse limits with which no request could be served."""
        for name, least in _INTEGERS.items():
            check_integer(name, getattr(self, name), least=least, most=_MOST)
        check_seconds("max_wait_seconds", self.max_wait_seconds, most=MAX_WAIT_SECONDS)
        for name in _DURATIONS:
            check_seconds(name, getattr(self, name), least=0.001)


#: The default limits.
DEFAULT_LIMITS: Final = Limits()
