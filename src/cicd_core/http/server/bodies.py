"""What a request says: its body and its query string, checked for their types."""

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
    from collections.abc import Mapping

    from starlette.requests import Request

    from cicd_core.http.wire.requests import Asked

#: How many digits of a Content-Length are looked at.
_DIGITS: Final = 18
#: How deep a body may nest: a payload, within a job, within a list.
_MAX_DEPTH: Final = MAX_DEPTH + 4
_ONCE: Final = "give it only once"
_AT: Final = re.compile(r" - at `(?:\$|key in `?\$)?\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`")

Wanted = TypeVar("Wanted", bound="Asked")


class BadRequest(Exception):
    """A request that no service sees; its answer is a problem of a kind of its own."""

    def __init__(
        self, kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Say what is wrong, and what is to be sent instead."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be copied with its message and attributes."""
        return reduced(self)


async def read_body(request: Request, kind: type[Wanted], limits: Limits) -> Wanted:
    """Return what the body of a request asks for; an empty one is an object without fields.

    Raises:
        TooLarge: it has too many bytes; with a Content-Length it is refused before it is read.
        BadRequest: it is no JSON, its content type is another one, or it comes too slowly.
        InvalidInput: a field is unknown, missing, of a wrong type, or there twice; the error names
            it.
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
    """Return the bytes that a request sends, of which gzip may have made fewer.

    Raises:
        TooLarge: it has too many bytes, as it is sent or behind gzip.
        BadRequest: its content type or encoding is another one, gzip does not decode, or it comes
            too slowly.
    """
    body = await read_whole(request, limits)
    _require_type(request.headers.get("content-type", ""), "application/octet-stream")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        return _unzipped(body, limits.max_body_bytes)
    if encoding != "identity":
        detail = f"the content encoding {encoding!r} is not taken; send gzip or none"
        raise BadRequest(WRONG_MEDIA_TYPE, detail, {"accept-encoding": "gzip"})
    return body


def _unzipped(body: bytes, most: int) -> bytes:
    """Return what gzip made a body of, without making more of it than a body may have.

    Raises:
        TooLarge: it is too much.
        BadRequest: it does not decode, ends too early, or something follows it.
    """
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unzip.decompress(body, most + 1)
    except zlib.error as broken:
        raise BadRequest(MALFORMED_BODY, f"the body is no gzip: {broken}") from None
    if len(data) > most:
        raise TooLarge("body", len(data), most)
    if not unzip.eof or unzip.unused_data:
        raise BadRequest(MALFORMED_BODY, "the body must be one whole gzip member; send it again")
    return data


def read_query(request: Request, kind: type[Wanted]) -> Wanted:
    """Return what the query string of a request asks for.

    Raises:
        InvalidInput: a parameter is unknown, is there twice, or is of a wrong type.
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
        # Being lax about texts, msgspec takes "null" for no value, and a number for an instant.
        value = getattr(wanted, name)
        if value is None:
            raise InvalidInput(name, text, "omit it if it has no value")
        if isinstance(value, datetime) and text[4:5] != "-":
            raise InvalidInput(name, text, "give a time such as 2030-06-01T12:00:00Z")
    return wanted


async def read_whole(request: Request, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a body, of any type.

    Raises:
        TooLarge: it has too many bytes; with a Content-Length it is refused before it is read.
        BadRequest: it comes too slowly.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:_DIGITS]) > limits.max_body_bytes:
        raise TooLarge("body", int(length[:_DIGITS]), limits.max_body_bytes)
    try:
        with anyio.fail_after(limits.body_seconds):
            return await _read_all(request, limits.max_body_bytes)
    except TimeoutError:
        detail = f"the body did not come within {limits.body_seconds:g} seconds; send it again"
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
        detail = f"the content type {content_type!r} is not taken; send {wanted}"
        raise BadRequest(WRONG_MEDIA_TYPE, detail, {"accept": wanted})


def _refused(message: str, whole: str) -> InvalidInput:
    """Return the error that names the field, of a message of msgspec."""
    place = _AT.search(message)
    path = place["path"] if place else ""
    reason = message[: place.start()] if place else message
    for pattern, said in ((_UNKNOWN, "there is no such field"), (_MISSING, "it is required")):
        if found := pattern.fullmatch(reason):
            path = f"{path}.{found['name']}" if path else found["name"]
            return _error(path, said)
    return _error(path or whole, f"{reason[:1].lower()}{reason[1:]}")


def _error(field: str, reason: str) -> InvalidInput:
    """Return the error; what was given instead is not repeated, since it may be a secret."""
    value: Any = ...
    return InvalidInput(field, value, reason)
