"""HTTP as uvicorn speaks it, with bounds on what comes before a request is one.

uvicorn waits as long as it takes for the head of a request, and keeps as much of it as is sent;
neither needs a key. So a connection on which no request is being answered has a time within which
the next head must be complete, and a head has a limit of bytes. Nor does it give up a caller that
takes no more of its answer, of which the rest stays in memory: here such a connection is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.server.upgrades import OfferIgnoringParser

if TYPE_CHECKING:
    import asyncio

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    #: Of the server; :func:`bounded_by` gives others.
    limits: ClassVar[Limits] = DEFAULT_LIMITS
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _is_in_head = False
    _head_bytes = 0

    def __init__(self, *settings: Any, **more: Any) -> None:
        """Take uvicorn's settings."""
        super().__init__(*settings, **more)
        self.parser = OfferIgnoringParser(self)  # type: ignore[assignment] # what uvicorn uses of it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # narrowed by uvicorn
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        self._stop_expecting()
        self._stop_watching()

    def data_received(self, data: bytes) -> None:
        """Read on, and see what is still missing."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse()
        if self._is_answering():
            self._stop_expecting()
        else:
            self._expect_a_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """A head is whole."""
        super().on_headers_complete()
        self._is_in_head = False

    def pause_writing(self) -> None:
        """More waits for the caller than it takes: watch whether it takes any."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The caller has taken what waited for it."""
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
        if not self._is_answering():
            self.transport.write(_TOO_LARGE)
        self.transport.close()


def bounded_by(limits: Limits) -> type[BoundedHttp]:
    """Return the protocol of a server with other limits."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})
