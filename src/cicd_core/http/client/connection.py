"""The way to the server: requests, repeated where that is safe, and answers or errors."""

from __future__ import annotations

import json
import logging
import math
import re
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec
from attrs import field

from cicd_core.agent.retry import Backoff
from cicd_core.errors import (
    CicdError,
    InvalidInput,
    OperationRejected,
    StoreError,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.http.wire.problems import error_of
from cicd_core.model.principal import NotAuthenticated, NotPermitted
from cicd_core.redaction import redacted_quote, redacted_url
from cicd_core.values import frozen

if TYPE_CHECKING:
    import ssl
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
    )

_T = TypeVar("_T")
_TOKEN: Final = re.compile(r"[!-~]+")

_log = logging.getLogger("cicd_core.http")

#: Unlike msgspec's, which makes null of a number that is not finite: another request.
_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
#: How many characters a parameter of a query may have: servers refuse longer URLs anyway.
_PARAMETER: Final = 8192
#: How long the server may take for an answer besides what it was asked to wait, in seconds.
ANSWER_SECONDS: Final = 15.0
#: The longest that one request asks the server to wait, in seconds: proxies end what takes longer.
POLL_SECONDS: Final = 25.0
#: How often a call is made in all, where it is safe to repeat.
TRIES: Final = 4
#: No request was sent: the call is safe to make again, whatever it does.
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
#: How many connections one client keeps; each claim that waits takes one.
_LIMITS: Final = httpx2.Limits(
    max_connections=1024, max_keepalive_connections=64, keepalive_expiry=4.0
)


@frozen(kw_only=True)
class Address:
    """Where the server is, and how it is reached."""

    url: str = field(repr=lambda url: repr(redacted_url(url)))
    #: The token of an API key, an agent's key or a session; None: the server asks for none.
    credentials: str | None = field(default=None, repr=False)
    #: Whom to trust; None: the system's certificates, or those of ``SSL_CERT_FILE``.
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    #: The URL of a proxy; None: what the environment says.
    proxy: str | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what is no address of a server."""
        if not _is_address(self.url):
            raise InvalidInput("url", self.url, "give a URL that begins with https:// or http://")
        if self.credentials is not None and not _is_token(self.credentials):
            reason = "give a token without leading or trailing whitespace, or None"
            raise InvalidInput("credentials", ..., reason)

    def client(self) -> httpx2.AsyncClient:
        """Return a client of its own for one event loop.

        Raises:
            InvalidInput: the URL of the server, or of the proxy, is none.
        """
        headers = {"accept": "application/json"}
        if self.credentials is not None:
            headers["authorization"] = f"Bearer {self.credentials}"
        try:
            proxy = None if self.proxy is None else httpx2.Proxy(self.proxy)
        except (httpx2.InvalidURL, ValueError) as wrong:
            raise InvalidInput("proxy", self.proxy, _without(self.proxy, wrong)) from None
        try:
            return httpx2.AsyncClient(
                base_url=self.url,
                headers=headers,
                verify=True if self.ssl_context is None else self.ssl_context,
                proxy=proxy,
                limits=_LIMITS,
            )
        except httpx2.InvalidURL as wrong:
            raise InvalidInput("url", self.url, _without(self.url, wrong)) from None


class Connection:
    """Makes calls. It belongs to one event loop."""

    def __init__(self, address: Address) -> None:
        """Connect at the first call."""
        self.address = address
        self._client = address.client()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return what the server says; what is None is left out of the query.

        Raises:
            CicdError: what the server refused with; ``StoreUnavailable`` when there is no answer.
        """
        return await self.call("GET", path, query=query, repeatable=True)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, Any] | None = None,
        repeatable: bool,
        seconds: float = ANSWER_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the answer's JSON, or None where it has no content.

        Args:
            method: of HTTP.
            path: from the root of the server.
            body: becomes JSON; bytes are sent as they are; None: there is none.
            query: the parameters; what is None is left out.
            repeatable: whether the call may be made again when its outcome is unknown.
            seconds: how long the answer may take.
            headers: besides those that every call has.

        Raises:
            CicdError: what the server refused with; ``StoreUnavailable`` when there is no answer.
        """
        request = self._client.build_request(
            method,
            path.lstrip("/"),
            content=None if body is None else _encoded(body),
            headers={**_type_of(body), **(headers or {})},
            params=_parameters(query or {}),
            timeout=httpx2.Timeout(seconds, connect=10.0, pool=10.0),
        )
        return await self._patiently(request, self._answered, repeatable=repeatable)

    async def get_bytes(
        self, path: str, query: Mapping[str, Any], *, headers: Mapping[str, str]
    ) -> tuple[bytes, str | None]:
        """Return bytes that the server has, and the ``Content-Range`` that it says they are.

        None are returned where there are none in the range that was asked for.

        Raises:
            CicdError: what the server refused with; ``StoreUnavailable`` when there is no answer.
        """
        request = self._client.build_request(
            "GET",
            path.lstrip("/"),
            headers=dict(headers),
            params=_parameters(query),
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10.0, pool=10.0),
        )
        return await self._patiently(request, self._bytes, repeatable=True)

    async def _patiently(
        self,
        request: httpx2.Request,
        once: Callable[[httpx2.Request], Awaitable[_T]],
        *,
        repeatable: bool,
    ) -> _T:
        """Send a request until there is an answer, four times at most, where that is safe.

        Raises:
            CicdError: what the server refused with; ``StoreUnavailable`` when there is no answer.
        """
        backoff = Backoff(most=2.0)
        for rest in reversed(range(TRIES)):
            try:
                return await once(request)
            except (httpx2.HTTPError, StoreError) as failed:
                safe = repeatable or isinstance(failed, _NOT_SENT)
                passing = isinstance(failed, httpx2.TransportError) or _is_passing(failed)
                if not rest or not safe or not passing:
                    raise error_told(failed, self.address.url) from failed
                delay = backoff.next_delay()
                what = f"{request.method} {request.url.path}"
                _log.debug("%s failed, next try in %.1f s: %s", what, delay, failed)
            await anyio.sleep(delay)
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def streaming(
        self, path: str, query: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open an answer without an end; yields its parts as they come.

        Raises:
            CicdError: what the server refused with.
            HTTPError: it can't be reached, or it was silent for too long.
        """
        request = self._client.build_request(
            "GET",
            path.lstrip("/"),
            headers={"accept": "text/event-stream", **(headers or {})},
            params=_parameters(query),
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10.0, pool=10.0),
        )
        response = await self._client.send(request, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                said = _decoded(response)
                raise error_of(said) or _unknown(response, said)
            parts = response.aiter_bytes()
            try:
                yield parts
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
                    await _finish(parts)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _answered(self, request: httpx2.Request) -> Any:
        response = await self._client.send(request)
        if response.status_code == HTTPStatus.NO_CONTENT:
            return None
        said = _decoded(response)
        if response.is_success and said is not None:
            return said
        raise error_of(said) or _unknown(response, said)

    async def _bytes(self, request: httpx2.Request) -> tuple[bytes, str | None]:
        response = await self._client.send(request)
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return b"", None
        if not response.is_success:
            said = _decoded(response)
            raise error_of(said) or _unknown(response, said)
        return response.content, response.headers.get("content-range")


async def _finish(parts: AsyncIterator[bytes]) -> None:
    """Let the readers of an answer that was closed come to their ends.

    There is one within the other, and nothing else closes the inner ones: trio would complain.
    """
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for _ in parts:
            pass


def _decoded(response: httpx2.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None


def _type_of(body: object) -> dict[str, str]:
    return {} if body is None or isinstance(body, bytes) else {"content-type": "application/json"}


def _encoded(body: object) -> bytes:
    """Return a body as JSON; bytes as they are.

    Raises:
        InvalidInput: a value in it is none of JSON: an infinite number, say, or a set.
    """
    if isinstance(body, bytes):
        return body
    try:
        return _ENCODER.encode(body).encode()
    except (TypeError, ValueError) as wrong:
        field, value = next(_odd_values("", body), ("body", ...))
        reason = "give JSON values: finite numbers, strings, lists, objects with string keys"
        raise InvalidInput(field, value, reason) from wrong


def _odd_values(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield where in a body there is a value that JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            yield from _odd_values(f"{path}.{name}" if path else name, member)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(cast("list[object]", value)):
            yield from _odd_values(f"{path}[{place}]", item)
    elif not isinstance(value, str | int | float | None):
        yield path, value


def _is_passing(failed: Exception) -> bool:
    return isinstance(failed, StoreError) and failed.retryable


def error_told(failed: Exception, url: str) -> CicdError:
    """Return the error that a caller gets of a call that failed."""
    if isinstance(failed, CicdError):
        return failed
    why = _without(url, failed) or type(failed).__name__
    return StoreUnavailable(f"the server at {redacted_url(url)} is unreachable: {why}; try again")


def _is_address(url: object) -> bool:
    """Return whether a text is a URL of HTTP with a host, and a port that there is, if any."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(url)
        return parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False


def _is_token(credentials: object) -> bool:
    """Return whether a header can carry it; an error of the header would show it."""
    return isinstance(credentials, str) and _TOKEN.fullmatch(credentials) is not None


def _without(url: str | None, error: Exception) -> str:
    """Return the text of an error, without the password of the URL that it may quote."""
    return redacted_quote(str(error), url or "")


def _unknown(response: httpx2.Response, said: object) -> CicdError:
    """Return the error of an answer that is no problem of ours: a proxy's, or another server's."""
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
    """Return what to do about an answer that stays the same however often it is asked for."""
    if response.is_success:
        return "that is not JSON; check the URL"
    if response.is_redirect:
        place = redacted_url(response.headers.get("location", "another place"))
        return f"it redirects to {place}; give the URL of the server itself"
    if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return "check the URL, and that the server is as new as this client"
    return None


def _parameters(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a query as text.

    Raises:
        InvalidInput: one is longer than a URL takes, or is no text of Unicode.
    """
    texts = {name: _text(each) for name, each in query.items() if each is not None}
    for name, text in texts.items():
        if len(text) > _PARAMETER:
            raise InvalidInput(name, ..., f"give at most {_PARAMETER} characters")
        if not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text):
            raise InvalidInput(name, text, "give text without lone surrogates")
    return texts


def _text(value: object) -> str:
    return ("false", "true")[value] if isinstance(value, bool) else str(value)
