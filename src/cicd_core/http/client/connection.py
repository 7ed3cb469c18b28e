"""The connection to the server: requests, safe repetitions, and answers or errors."""

from __future__ import annotations

import json
import logging
import math
import os
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio
import httpx2
from attrs import define

from cicd_core.agent.retry import Backoff
from cicd_core.errors import InvalidInput, StoreClosed, StoreError
from cicd_core.http.client.answers import (
    EVENT_STREAM,
    error_told,
    refusal_of,
    require_stream,
    value_of,
)
from cicd_core.http.client.retry_after import asked_pause

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Iterator,
        Mapping,
    )

    from cicd_core.http.client.address import Address

_T = TypeVar("_T")

_log = logging.getLogger("cicd_core.http")

#: Unlike msgspec's encoder, it refuses numbers that are not finite, instead of sending null.
_ENCODER: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
#: Maximum number of characters of a query parameter: servers refuse longer URLs anyway.
_PARAMETER: Final = 8192
#: How long the server may take for an answer, in addition to a requested wait, in seconds.
ANSWER_SECONDS: Final = 15.0
#: The longest wait of one request, in seconds: proxies end longer ones.
POLL_SECONDS: Final = 25.0
#: Number of tries of a call that is safe to repeat.
TRIES: Final = 4
#: No request was sent: any call is safe to repeat.
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@define
class Doubt:
    """Whether a try of a call may have taken effect, although its answer does not show that."""

    is_there: bool = False


class Connection:
    """Makes calls. It belongs to one event loop."""

    def __init__(self, address: Address) -> None:
        """Take the address; the first call connects."""
        self.address = address
        self._own = address.client()
        self._process = os.getpid()

    @property
    def _client(self) -> httpx2.AsyncClient:
        """The client that sends the requests.

        Raises:
            StoreClosed: it is closed, or its connections belong to the parent of this process.
        """
        if os.getpid() != self._process:
            reason = "this client was opened before this process was forked"
            raise StoreClosed(f"{reason}; open one in the child")
        if self._own.is_closed:
            raise StoreClosed("this client is closed: open another one")
        return self._own

    async def aclose(self) -> None:
        """Close the connections; a forked child leaves those of its parent open."""
        if os.getpid() == self._process:
            await self._own.aclose()

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the server's answer; parameters that are None are omitted from the query.

        Raises:
            CicdError: the error of the server; ``StoreUnavailable`` if there is no answer.
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
        doubt: Doubt | None = None,
    ) -> Any:
        """Return the JSON of the answer, or None if it has no content.

        Args:
            method: the HTTP method.
            path: the path, from the root of the server.
            body: sent as JSON; bytes are sent unchanged; None: no body.
            query: the parameters; those that are None are omitted.
            repeatable: whether the call may be repeated when its outcome is unknown.
            seconds: how long the answer may take.
            headers: additional headers.
            doubt: notes a try whose outcome stays unknown.

        Raises:
            CicdError: the error of the server; ``StoreUnavailable`` if there is no answer.
        """
        request = self._client.build_request(
            method,
            path.lstrip("/"),
            content=None if body is None else encoded(body),
            headers={**_type_of(body), **(headers or {})},
            params=_parameters(query or {}),
            timeout=httpx2.Timeout(seconds, connect=10.0, pool=10.0),
        )
        return await self._patiently(request, value_of, repeatable=repeatable, doubt=doubt)

    async def get_bytes(
        self, path: str, query: Mapping[str, Any], *, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]] | None:
        """Return the bytes of an answer, and its headers.

        The result is None if there are no bytes in the requested range.

        Raises:
            CicdError: the error of the server; ``StoreUnavailable`` if there is no answer.
        """
        request = self._client.build_request(
            "GET",
            path.lstrip("/"),
            headers=dict(headers),
            params=_parameters(query),
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10.0, pool=10.0),
        )
        return await self._patiently(request, _bytes_of, repeatable=True)

    async def _patiently(
        self,
        request: httpx2.Request,
        read: Callable[[httpx2.Response], _T],
        *,
        repeatable: bool,
        doubt: Doubt | None = None,
    ) -> _T:
        """Send a request; if it is safe, repeat it until there is an answer, up to four times.

        Before the next try it waits for as long as the server asks, see :func:`asked_pause`.

        Raises:
            CicdError: the error of the server; ``StoreUnavailable`` if there is no answer.
        """
        backoff = Backoff(most=2.0)
        for rest in reversed(range(TRIES)):
            response: httpx2.Response | None = None
            try:
                response = await self._client.send(request)
                return read(response)
            except (httpx2.HTTPError, StoreError) as failed:
                was_sent = not isinstance(failed, _NOT_SENT)
                if doubt is not None and was_sent:
                    doubt.is_there = True
                passing = isinstance(failed, httpx2.TransportError) or _is_passing(failed)
                if not rest or not passing or (was_sent and not repeatable):
                    raise error_told(failed, self.address.url) from failed
                delay = backoff.next_delay() + asked_pause(response)
                what = f"{request.method} {request.url.path}"
                _log.debug("%s failed, next try in %.1f s: %s", what, delay, failed)
            await anyio.sleep(delay)
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def streaming(
        self,
        path: str,
        query: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        refused: Callable[[httpx2.Response], None] = lambda _: None,
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open an answer without a fixed end; yields its parts as they come.

        Args:
            path: the path, from the root of the server.
            query: the parameters; those that are None are omitted.
            headers: additional headers.
            refused: called with an answer that is an error.

        Raises:
            CicdError: the error of the server.
            UnsupportedCapability: the answer is not a stream.
            HTTPError: the server can't be reached, or was silent for too long.
        """
        request = self._client.build_request(
            "GET",
            path.lstrip("/"),
            headers={"accept": EVENT_STREAM, **(headers or {})},
            params=_parameters(query),
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10.0, pool=10.0),
        )
        response = await self._client.send(request, stream=True)
        try:
            if not response.is_success:
                await response.aread()
                refused(response)
                raise refusal_of(response)
            require_stream(response)
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


def _bytes_of(response: httpx2.Response) -> tuple[bytes, Mapping[str, str]] | None:
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return None
    if not response.is_success:
        raise refusal_of(response)
    return response.content, response.headers


async def _finish(parts: AsyncIterator[bytes]) -> None:
    """Run the nested readers of a closed answer to their ends.

    Nothing else closes the inner readers, and trio would warn about that.
    """
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for _ in parts:
            pass


def _type_of(body: object) -> dict[str, str]:
    return {} if body is None or isinstance(body, bytes) else {"content-type": "application/json"}


def encoded(body: object) -> bytes:
    """Return a body as JSON; bytes are returned unchanged.

    Raises:
        InvalidInput: JSON has no form for a value in it, such as an infinite number or a set.
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
    """Yield the values in a body that JSON has no form for, with their paths."""
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


def _parameters(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a query as text.

    Raises:
        InvalidInput: one is too long for a URL, or is not valid Unicode.
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
