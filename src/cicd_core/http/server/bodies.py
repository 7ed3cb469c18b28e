"""Reads requests: the body and the query string, checked for their types."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import msgspec

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.http.server.doubled_names import doubled_name
from cicd_core.http.server.limits import DEFAULT_LIMITS, Limits
from cicd_core.http.wire.problems import (
    MALFORMED_BODY,
    TOO_SLOW,
    WRONG_MEDIA_TYPE,
    ProblemKind,
)
from cicd_core.model.json_values import MAX_DEPTH, nests_deeper
from cicd_core.travelling import reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request

    from cicd_core.http.wire.requests import Asked

#: Maximum number of digits of a Content-Length that are read.
_DIGITS: Final = 18
#: Maximum nesting of a body: a payload, within a job, within a list.
_MAX_DEPTH: Final = MAX_DEPTH + 4
_ONCE: Final = "give it only once"
#: The headers that have one value each.
_SINGLE: Final = (
    *(b"authorization", b"content-encoding", b"content-range", b"content-type"),
    *(b"idempotency-key", b"last-event-id", b"lease-token", b"range"),
)
#: The headers that make a change depend on the current state.
_CONDITIONS: Final = ("if-match", "if-none-match", "if-unmodified-since")
_AT: Final = re.compile(r" - at `(?:\$|key in `?\$)?\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`")

Wanted = TypeVar("Wanted", bound="Asked")


class BadRequest(Exception):
    """A request refused before it reaches a service; its problem has a kind of its own."""

    def __init__(
        self, kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take the kind of problem, and a text that says what to send instead."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Allow a copy with the message and the attributes."""
        return reduced(self)


async def read_body(request: Request, kind: type[Wanted], limits: Limits) -> Wanted:
    """Return the request in a body; an empty body is an object without fields.

    Raises:
        TooLarge: it has too many bytes; with a Content-Length it is refused before it is read.
        BadRequest: it is not JSON, has another content type, or arrives too slowly.
        InvalidInput: a field is unknown, missing, duplicated, or has a wrong type; the error
            names it.
    """
    body = await read_whole(request, limits)
    if body:
        _require_type(request.headers.get("content-type", ""), "application/json")
    if nests_deeper(body, _MAX_DEPTH):
        raise BadRequest(
            MALFORMED_BODY, f"the body nests deeper than {_MAX_DEPTH}; give fewer levels"
        )
    try:
        wanted = msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as wrong:
        raise _refused(str(wrong), "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise BadRequest(MALFORMED_BODY, f"{broken}; send one JSON object in UTF-8") from None
    twice = doubled_name(body) if body else None
    if twice is not None:
        raise InvalidInput(twice, ..., _ONCE)
    return wanted


async def read_bytes(request: Request, limits: Limits) -> bytes:
    """Return the bytes of a body, decompressed if it has the encoding gzip.

    Raises:
        TooLarge: it has too many bytes, compressed or not.
        BadRequest: it has another content type or encoding, does not decompress, or arrives
            too slowly.
    """
    body = await read_whole(request, limits)
    _require_type(request.headers.get("content-type", ""), "application/octet-stream")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        return _unzipped(body, limits.max_body_bytes)
    if encoding != "identity":
        detail = f"the content encoding {encoding!r} is not supported; send gzip or none"
        raise BadRequest(WRONG_MEDIA_TYPE, detail, {"accept-encoding": "gzip"})
    return body


def check_single_headers(request: Request) -> None:
    """Refuse duplicates of headers with one value: two readers may use different ones.

    Raises:
        InvalidInput: such a header appears twice.
    """
    names = [name for name, _ in request.headers.raw]
    if len(set(names)) == len(names):
        return
    for name in _SINGLE:
        if names.count(name) > 1:
            raise InvalidInput(name.decode(), ..., _ONCE)


def check_conditions(request: Request, taken: Iterable[str]) -> None:
    """Check that a changing request has no condition that its route ignores.

    Args:
        request: a request whose method may change something.
        taken: the names of the headers that the route supports.

    Raises:
        InvalidInput: it has one; ignoring it might overwrite a newer state.
    """
    checked = {name.lower() for name in taken}
    for name in _CONDITIONS:
        if name in request.headers and name not in checked:
            raise InvalidInput(name, ..., "this route does not check the header: omit it")


def _unzipped(body: bytes, most: int) -> bytes:
    """Return a decompressed body; stop at the maximum size.

    Raises:
        TooLarge: it is larger than that.
        BadRequest: it does not decompress, ends too early, or has bytes after its end.
    """
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unzip.decompress(body, most + 1)
    except zlib.error as broken:
        raise BadRequest(MALFORMED_BODY, f"the body is not gzip: {broken}") from None
    if len(data) > most:
        raise TooLarge("body", len(data), most)
    if not unzip.eof or unzip.unused_data:
        raise BadRequest(MALFORMED_BODY, "the body must be one complete gzip member; send it again")
    return data


def read_query(request: Request, kind: type[Wanted]) -> Wanted:
    """Return the request in a query string.

    Raises:
        InvalidInput: a parameter is unknown, duplicated, or has a wrong type.
    """
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) < len(pairs):
        numbers = Counter(name for name, _ in pairs)
        twice = next(name for name, number in numbers.items() if number > 1)
        raise InvalidInput(twice, request.query_params.getlist(twice), _ONCE)
    try:
        wanted = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as wrong:
        raise _refused(str(wrong), "query") from None
    for name, text in given.items():
        # For texts, msgspec's lax mode accepts "null" as None, and a number as an instant.
        value = getattr(wanted, name)
        if value is None:
            raise InvalidInput(name, text, "omit it if it has no value")
        if isinstance(value, datetime) and text[4:5] != "-":
            raise InvalidInput(name, text, "give a time such as 2030-06-01T12:00:00Z")
    return wanted


async def read_whole(request: Request, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a body of any type.

    Raises:
        TooLarge: it has too many bytes; with a Content-Length it is refused before it is read.
        BadRequest: it arrives too slowly.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:_DIGITS]) > limits.max_body_bytes:
        raise TooLarge("body", int(length[:_DIGITS]), limits.max_body_bytes)
    try:
        with anyio.fail_after(limits.body_seconds):
            return await _read_all(request, limits.max_body_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {limits.body_seconds:g} seconds; send it again"
        raise BadRequest(TOO_SLOW, detail, {"connection": "close"}) from None


async def _read_all(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLarge("body", size, most)
        parts.append(part)
    return b"".join(parts)


def _require_type(content_type: str, wanted: str) -> None:
    if content_type.partition(";")[0].strip().lower() != wanted:
        detail = f"the content type {content_type!r} is not supported; send {wanted}"
        raise BadRequest(WRONG_MEDIA_TYPE, detail, {"accept": wanted})


def _refused(message: str, whole: str) -> InvalidInput:
    """Return the error for a message of msgspec, with the name of the field."""
    place = _AT.search(message)
    path = place["path"] if place else ""
    reason = message[: place.start()] if place else message
    for pattern, said in ((_UNKNOWN, "there is no such field"), (_MISSING, "it is required")):
        if found := pattern.fullmatch(reason):
            path = f"{path}.{found['name']}" if path else found["name"]
            return _error(path, said)
    return _error(path or whole, f"{reason[:1].lower()}{reason[1:]}")


def _error(field: str, reason: str) -> InvalidInput:
    """Return the error without the given value, which may be a secret."""
    value: Any = ...
    return InvalidInput(field, value, reason)
