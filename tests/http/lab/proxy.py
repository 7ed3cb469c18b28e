"""A network between agents and a server that breaks: bytes are cut off wherever they are.

It knows no protocol. A connection ends after a number of bytes that is drawn for it, in one of the
two directions, so that it ends in the middle of a request, or of an answer, or between the two; the
part before is delivered. All connections can be cut at once, or swallow what is sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK: Final = 65_536
#: How likely a connection ends in its requests, in its answers, or when its ends want it to.
_FATES: Final = {"request": 3, "answer": 3, "": 4}
#: After how many bytes it ends, at most; often soon, since the number is spread by its logarithm.
_BITS: Final = 18
#: A close that sends a reset: what was not read yet is lost.
_RESET: Final = struct.pack("ii", 1, 0)


@define(eq=False)
class Link:
    """One connection of an agent, and the proxy's own to the server."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    resets: bool
    #: How many bytes each direction still carries; those that are not named carry all.
    left: dict[str, int]

    def close(self) -> None:
        """Close both ends; what was written is delivered, unless they are reset."""
        for end in self.ends:
            if self.resets:
                sent: socket.socket = end.get_extra_info("socket")
                with suppress(OSError):
                    sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.transport.abort()
            else:
                end.close()


@define(eq=False)
class CuttingProxy:
    """A proxy on a free port of 127.0.0.1, in a thread of its own."""

    seed: int
    #: The port of the server; it may change.
    upstream: int = 0
    #: How many connections ended in the middle of requests, in that of answers, or with all others.
    cuts: Counter[str] = field(factory=Counter[str])
    port: int = 0
    _mode: str = "flows"
    _calm: bool = False
    _links: set[Link] = field(factory=set[Link])
    _ready: threading.Event = field(factory=threading.Event)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _flows: asyncio.Event = field(init=False)
    _stopped: asyncio.Event = field(init=False)
    _thread: threading.Thread = field(init=False)
    _random: Random = field(init=False)

    def start(self) -> None:
        """Listen."""
        self._random = Random(self.seed)
        self._thread = threading.Thread(target=asyncio.run, args=[self._live()], daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the proxy does not listen"

    def stop(self) -> None:
        """Cut everything, and listen no more."""
        self.cut_off()
        self._call(self._stopped.set)
        self._thread.join(PATIENCE)

    def cut_off(self) -> None:
        """Cut every connection, and each new one at once, until :meth:`restore`."""
        self._call(self._cut_off)

    def swallow(self) -> None:
        """Take what is sent, and deliver none of it, until :meth:`restore`, which cuts all."""
        self._call(self._swallow)

    def restore(self) -> None:
        """Let new connections through; none of those before is left."""
        self._call(self._restore)

    def calm_down(self) -> None:
        """Cut nothing any more."""
        self._calm = True
        self._call(self._restore)

    def _call(self, change: Callable[[], None]) -> None:
        async def changing() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changing(), self._loop).result(PATIENCE)

    def _cut_off(self) -> None:
        self._mode = "cut"
        self._flows.set()
        self.cuts["all"] += len(self._links)
        for link in tuple(self._links):
            link.close()

    def _swallow(self) -> None:
        self._flows.clear()

    def _restore(self) -> None:
        self._cut_off()
        self._mode = "flows"

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flows, self._stopped = asyncio.Event(), asyncio.Event()
        self._flows.set()
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stopped.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._mode == "cut":
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:  # the network is cut, or the server is not there
            writer.close()
            return
        link = Link((writer, far_writer), self._random.random() < 0.5, self._fate())
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(link, "request", reader, far_writer))
                tasks.create_task(self._carry(link, "answer", far_reader, writer))
        finally:
            self._links.discard(link)

    def _fate(self) -> dict[str, int]:
        (kind,) = self._random.choices(list(_FATES), list(_FATES.values()))
        limit = round(2 ** self._random.uniform(0, _BITS))
        return {kind: limit} if kind and not self._calm else {}

    async def _carry(
        self, link: Link, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                left = link.left.get(kind, len(data) + 1)
                writer.write(data[:left])
                await writer.drain()
                if left <= len(data):
                    self.cuts[kind] += 1
                    break
                if kind in link.left:
                    link.left[kind] = left - len(data)
        link.close()
