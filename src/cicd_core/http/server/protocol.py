"""HTTP by uvicorn, with limits on what comes before a complete request.

uvicorn waits without limit for the head of a request, and keeps all bytes of it in memory; neither
needs a key. So here a connection without a pending answer has a time limit for the next complete
head, and a head has a size limit. uvicorn also keeps a connection whose caller stops reading, with
the rest of the answer in memory; here such a connection is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.server.upgrades import OfferIgnoringParser

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)

#: The bytes of a header besides its name and value: a colon, a space, and the end of the line.
_HEADER_BYTES: Final = 4


class _HeadTooLarge(Exception):
    """Ends the parser's work on a read; uvicorn then sends the answer to an invalid request."""


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    #: The limits of the server; :func:`bounded_by` sets others.
    limits: ClassVar[Limits] = DEFAULT_LIMITS
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _is_in_head = False
    _is_in_message = False
    #: Number of requests that began in the current read.
    _begun = 0
    #: The bytes of the reads of an incomplete head, and those of its parsed parts.
    _raw_bytes = 0
    _head_bytes = 0

    def __init__(self, *settings: Any, **more: Any) -> None:
        """Take uvicorn's settings."""
        super().__init__(*settings, **more)
        #: The requests without a complete answer: one is being answered, others wait (pipelining).
        self._open: list[RequestResponseCycle] = []
        self.parser = OfferIgnoringParser(self)  # type: ignore[assignment] # what uvicorn uses of it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # narrowed by uvicorn
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and notify every open request: uvicorn notifies only the newest."""
        super().connection_lost(exc)
        for cycle in self._open:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._stop_expecting()
        self._stop_watching()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, refuse a head that is too large, and set the timer of the next head."""
        is_idle, self._begun = not self._is_in_message, 0
        super().data_received(data)
        # All bytes belong to an incomplete head if no other request ended among them.
        if self._is_in_head and self._begun == (1 if is_idle else 0):
            self._raw_bytes += len(data)
            if self._raw_bytes > self.limits.max_head_bytes:
                self._refuse()
        if self._is_answering():
            self._stop_expecting()
        else:
            self._expect_a_head()

    def on_message_begin(self) -> None:
        """Count the bytes of a new head."""
        super().on_message_begin()
        self._is_in_head, self._is_in_message = True, True
        self._begun += 1
        self._raw_bytes = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the bytes of a header; those after the body count too."""
        super().on_header(name, value)
        self._count(len(name) + len(value) + _HEADER_BYTES)

    def _count(self, read: int) -> None:
        """Count bytes of the head that are parsed: a whole head may arrive in one read."""
        self._head_bytes += read
        if self._head_bytes > self.limits.max_head_bytes:
            raise _HeadTooLarge

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        super().on_message_complete()
        self._is_in_message = False

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP, or whose head is too large."""
        if self._head_bytes > self.limits.max_head_bytes:
            self._refuse()
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        super().on_headers_complete()
        self._is_in_head = False
        self._open = [each for each in self._open if not each.response_complete]
        self._open.append(self.cycle)

    def pause_writing(self) -> None:
        """Check whether the caller reads at all: the write buffer is full."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop checking: the caller has read the buffer."""
        super().resume_writing()
        self._stop_watching()

    def _watch(self, waits: int) -> None:
        seconds = self.limits.stalled_seconds
        self._stalled = self.loop.call_later(seconds, self._drop_or_watch_on, waits)

    def _drop_or_watch_on(self, waited: int) -> None:
        waits = self.transport.get_write_buffer_size()
        if waits >= waited:
            self.transport.abort()
        else:
            self._watch(waits)

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_a_head(self) -> None:
        if self._timer is None and not self.transport.is_closing():
            seconds = self.limits.head_seconds
            self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_expecting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self.transport.close()


def bounded_by(limits: Limits) -> type[BoundedHttp]:
    """Return the protocol with other limits."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})
