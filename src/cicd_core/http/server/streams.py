"""Answers without a fixed end: they last until the caller leaves, or the server stops."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import anyio
from starlette.responses import Response

from cicd_core.errors import CicdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

_log = logging.getLogger("cicd_core.http")

#: Sends a part of an answer.
Write: TypeAlias = Callable[[bytes], Awaitable[None]]
#: Writes an answer, part by part.
Stream: TypeAlias = Callable[[Write], Awaitable[None]]


class StreamResponse(Response):
    """Sends the parts that a function writes, until it returns or its caller leaves."""

    def __init__(
        self,
        stream: Stream,
        media_type: str,
        headers: Mapping[str, str],
        *,
        status: int = 200,
        is_file: bool = False,
    ) -> None:
        """Take the function; headers with the length of the answer are kept.

        A file is of use only as a whole: if the function fails, the connection is closed without
        the end of the answer, so that the caller sees that the rest is missing.
        """
        super().__init__(status_code=status, headers=headers, media_type=media_type)
        if "content-length" not in headers:
            del self.headers["content-length"]
        self._stream = stream
        self._is_file = is_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})

        async def write(part: bytes) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": True})

        failure: CicdError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
            try:
                await self._stream(write)
            except CicdError as failed:  # the answer has begun, so it can only be ended
                _log.warning("%s ended: %s", scope["path"], failed)
                failure = failed if self._is_file else None
            if failure is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
