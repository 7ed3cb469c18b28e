"""A small answer leaves at once: no connection of the server waits to fill a packet."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import pytest

from cicd_core.http.server.running import Listening, listen

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: An option of a connection; asyncio sets it where it knows that the protocol is TCP.
NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_every_accepted_connection_sends_without_delay(host: str) -> None:
    accepted: asyncio.Queue[int] = asyncio.Queue()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.put_nowait(transport.get_extra_info("socket").getsockopt(*NO_DELAY))
            transport.close()

    listener = listen(Listening(host=host, port=0))
    async with await asyncio.get_running_loop().create_server(Answering, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        is_set = await accepted.get()
        writer.close()
        await writer.wait_closed()
    assert is_set != 0
