"""Converts answers to values or errors, including answers of other servers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from cicd_core.errors import (
    CicdError,
    OperationRejected,
    StoreClosed,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.http.client.address import without_password
from cicd_core.http.wire.problems import error_of
from cicd_core.model.principal import NotAuthenticated, NotPermitted
from cicd_core.redaction import redacted_url

if TYPE_CHECKING:
    import httpx2

#: The media type of a stream.
EVENT_STREAM: Final = "text/event-stream"


def value_of(response: httpx2.Response) -> Any:
    """Return the JSON of an answer, or None if it has no content.

    Raises:
        CicdError: the answer has an error, or comes from another server.
    """
    if response.status_code == HTTPStatus.NO_CONTENT:
        return None
    said = _decoded(response)
    if response.is_success and said is not None:
        return said
    raise _error_of(response, said)


def refusal_of(response: httpx2.Response) -> CicdError:
    """Return the error in an answer."""
    return _error_of(response, _decoded(response))


def require_stream(response: httpx2.Response) -> None:
    """Check that an answer is an event stream: another server may answer with a page.

    Raises:
        UnsupportedCapability: it is something else.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != EVENT_STREAM:
        what = f"the server answered {response.status_code} with the type {media_type!r}"
        raise UnsupportedCapability(f"{what}, not an event stream; check the URL")


def error_told(failed: Exception, url: str) -> CicdError:
    """Return the error of the library for a failed call."""
    if isinstance(failed, CicdError):
        return failed
    why = without_password(url, failed) or type(failed).__name__
    return StoreUnavailable(f"the server at {redacted_url(url)} is unreachable: {why}; try again")


def _error_of(response: httpx2.Response, said: object) -> CicdError:
    error = error_of(said) or _unknown(response, said)
    if isinstance(error, StoreClosed):  # of the stopping server: this client is open
        return StoreUnavailable(str(error))
    return error


def _decoded(response: httpx2.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, RecursionError):  # answers of the server do not nest so deeply
        return None


def _unknown(response: httpx2.Response, said: object) -> CicdError:
    """Return the error of an answer without a problem document: from a proxy or another server."""
    status = response.status_code
    detail = cast("dict[str, Any]", said).get("detail") if isinstance(said, dict) else None
    what = f"the server answered {status}: {detail or response.reason_phrase}"
    if status == HTTPStatus.UNAUTHORIZED:
        return NotAuthenticated(what)
    if status == HTTPStatus.FORBIDDEN:
        return NotPermitted("the caller", what)
    if advice := _advice(response):
        return UnsupportedCapability(f"{what}; {advice}")
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }:
        return OperationRejected(what)
    return StoreUnavailable(what)


def _advice(response: httpx2.Response) -> str | None:
    """Return the advice for an answer that a repetition would not change."""
    if response.is_success:
        return "that is not JSON; check the URL"
    if response.is_redirect:
        place = redacted_url(response.headers.get("location", "another place"))
        return f"it redirects to {place}; give the URL of the server itself"
    if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return "check the URL, and that the server is as new as this client"
    return None
