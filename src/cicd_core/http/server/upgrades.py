"""A parser of requests that ignores offers of another protocol.

Java's HTTP client, and ``curl --http2``, offer HTTP/2 with each request on a plain connection
(``Upgrade: h2c``). A server may ignore an offer, and answers the request as any other. But
httptools ends such a request at its head: the body would be lost, or be read as the next request.
So what follows the head goes to a new parser, which gets the same head without the offer first.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import httptools

#: The headers that say how long a body is.
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


class Listener(Protocol):
    """What a parser calls with its findings, such as a connection of uvicorn."""

    #: The headers of the request that is being read.
    headers: list[tuple[bytes, bytes]]

    def on_message_begin(self) -> None:
        """A request begins."""

    def on_url(self, url: bytes) -> None:
        """A part of its target was read."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers was read."""

    def on_headers_complete(self) -> None:
        """Its head is complete."""

    def on_body(self, body: bytes) -> None:
        """A part of its body was read."""

    def on_message_complete(self) -> None:
        """It is complete."""


class OfferIgnoringParser:
    """The part of ``httptools.HttpRequestParser`` that uvicorn uses."""

    def __init__(self, listener: Listener) -> None:
        """Read requests for a listener."""
        self._listener = listener
        #: Whether the head that is being read repeats one that the listener has had.
        self._repeats = False
        self._parser = _lenient(self)

    def feed_data(self, data: bytes) -> None:
        """Read on.

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
        """Pass it on, unless only the head of a request with an offer was read."""
        if not self._parser.should_upgrade():
            self._listener.on_message_complete()


def _lenient(listener: OfferIgnoringParser) -> httptools.HttpRequestParser:
    """Return a parser with the settings of uvicorn's own."""
    parser = httptools.HttpRequestParser(listener)
    with suppress(AttributeError):  # httptools before 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _head_without_offer(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return a head with a body of the same length; the target and the rest are not read again."""
    lengths = [b"%s: %s" % pair for pair in headers if pair[0] in _LENGTHS]
    return b"\r\n".join([b"POST / HTTP/1.1", *lengths, b"", b""])
