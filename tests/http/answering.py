"""A server that is not ours: it answers every request the same."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import SocketStream


@asynccontextmanager
async def answering(head: str, body: bytes = b"") -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Answer with a status and headers, and a body; yields the URL, and what was asked."""
    asked: list[bytes] = []

    async def answer(stream: SocketStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            text = f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            await stream.send(text.encode() + body)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610 - no database
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield f"http://127.0.0.1:{port}", asked
        tasks.cancel_scope.cancel()
