"""How much one caller may take of a server: sizes, times, and how many requests wait."""

from __future__ import annotations

from typing import Final

from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.model.claim import MAX_WAIT_SECONDS
from cicd_core.values import frozen

#: The most that any number here may be, and the least bytes of a body: logs come in such chunks.
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

    #: How many requests of one principal may wait at once, for work or for the end of a job; one
    #: more is refused (429).
    max_waiting: int = 1024
    #: How many streams, of events and of logs, one principal may follow at once; one more is
    #: refused (429).
    max_streams: int = 64
    #: How many chunks of logs, each a body, one principal may send at once (429).
    max_uploads: int = 64
    #: How long a request may wait, in seconds. One that asks for more is answered then as one whose
    #: own time is over, and its caller asks again. Choose less than a proxy before the server does.
    max_wait_seconds: float = MAX_WAIT_SECONDS
    #: The most bytes of a body (413), at least 1 MiB, and how long it may take to come, in seconds
    #: (408).
    max_body_bytes: int = 1024 * 1024
    body_seconds: float = 60.0
    #: The most bytes of a request's head (431), and how long a connection may take to send one, in
    #: seconds; it is closed then.
    max_head_bytes: int = 64 * 1024
    head_seconds: float = 30.0
    #: How long a caller may take nothing of an answer that waits for it, in seconds; the connection
    #: is dropped then. What the kernels of both sides hold, some megabytes, is read before.
    stalled_seconds: float = 120.0
    #: How long a connection may be idle, in seconds: longer than a client or a proxy keeps one.
    idle_seconds: float = 75.0
    #: How long requests that run may take to finish when the server stops, in seconds.
    grace_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Refuse numbers with which no request could be served."""
        for name, least in _INTEGERS.items():
            check_integer(name, getattr(self, name), least=least, most=_MOST)
        check_seconds("max_wait_seconds", self.max_wait_seconds, most=MAX_WAIT_SECONDS)
        for name in _DURATIONS:
            check_seconds(name, getattr(self, name), least=0.001)


#: What a server has that names no others.
DEFAULT_LIMITS: Final = Limits()
