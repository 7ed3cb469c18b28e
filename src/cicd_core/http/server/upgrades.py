"""A parser of requests that ignores offers of another protocol.

Java's HTTP client, and ``curl --http2``, offer HTTP/2 with each request on a plain connection
(``Upgrade: h2c``). A server may ignore the offer and answer as usual. But httptools ends such a
request after its head: the body would be lost, or parsed as the next request. So a new parser gets
the same head without the offer, and then the bytes after the head.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import httptools

#: The headers with the length of a body.
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


class Listener(Protocol):
    """Receives the results of a parser, such as a connection of uvicorn."""

    #: The headers of the current request.
    headers: list[tuple[bytes, bytes]]

    def on_message_begin(self) -> None:
        """Called at the start of a request."""

    def on_url(self, url: bytes) -> None:
        """Called with a part of the target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with a header."""

    def on_headers_complete(self) -> None:
        """Called after the head."""

    def on_body(self, body: bytes) -> None:
        """Called with a part of the body."""

    def on_message_complete(self) -> None:
        """Called at the end of the request."""


class OfferIgnoringParser:
    """The part of ``httptools.HttpRequestParser`` that uvicorn uses."""

    def __init__(self, listener: Listener) -> None:
        """Take the listener that receives the results."""
        self._listener = listener
        #: Whether the listener has already received the current head.
        self._repeats = False
        self._parser = _lenient(self)

    def feed_data(self, data: bytes) -> None:
        """Parse the next bytes.

        Raises:
            HttpParserError: it is not HTTP.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                (read,) = offer.args
                self._parser = _lenient(self)
                self._repeats = True
                self._parser.feed_data(_head_without_offer(self._listener.headers))
                data = data[read:]
            else:
                return

    def should_upgrade(self) -> bool:
        """Return False: no offer is accepted."""
        return False

    def should_keep_alive(self) -> bool:
        """Return whether the caller keeps the connection open."""
        return self._parser.should_keep_alive()

    def get_http_version(self) -> str:
        """Return the HTTP version of the request."""
        return self._parser.get_http_version()

    def get_method(self) -> bytes:
        """Return the method of the request."""
        return self._parser.get_method()

    def on_message_begin(self) -> None:
        """Pass it on."""
        if not self._repeats:
            self._listener.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Pass it on."""
        if not self._repeats:
            self._listener.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass it on."""
        if not self._repeats:
            self._listener.on_header(name, value)

    def on_headers_complete(self) -> None:
        """Pass it on."""
        if self._repeats:
            self._repeats = False
        else:
            self._listener.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass it on."""
        self._listener.on_body(body)

    def on_message_complete(self) -> None:
        """Pass it on, unless this is only the head of a request with an offer."""
        if not self._parser.should_upgrade():
            self._listener.on_message_complete()


def _lenient(listener: OfferIgnoringParser) -> httptools.HttpRequestParser:
    """Return a parser with the settings of uvicorn's own."""
    parser = httptools.HttpRequestParser(listener)
    with suppress(AttributeError):  # httptools before 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _head_without_offer(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return a head for a body of the same length; the target and other headers are not needed."""
    lengths = [b"%s: %s" % pair for pair in headers if pair[0] in _LENGTHS]
    return b"\r\n".join([b"POST / HTTP/1.1", *lengths, b"", b""])
