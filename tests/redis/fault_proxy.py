"""A proxy before a server that fails on command: which bytes arrive is counted, never timed.

It reads the protocol, so a fault strikes exactly the request or the answer that a test names::

    async with open_proxy(server.port) as proxy:
        client = redis.asyncio.Redis.from_url(proxy.url)
        fault = proxy.cut_answer("EVALSHA", skip=2, keep=5)  # 5 bytes of the third answer
        ...
        await fault.struck()
        proxy.heal()

A fault that names a command strikes once; without a name, any request counts, the handshake of a
new connection included. Faults work on every connection through the proxy; the first that
matches takes it. What a client sees is what a network can do to it: an answer that is lost takes
all later ones of its connection with it.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import anyio
from anyio.streams.tls import TLSListener
from attrs import define, field

from tests.redis.ports import Port
from tests.redis.resp import FrameSplitter, words

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import ByteStream, Listener, TaskGroup, TaskStatus

_GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class Kind(Enum):
    """What a fault does to the exchange that it strikes."""

    CUT_REQUEST = auto()
    CUT_ANSWER = auto()
    SWALLOW = auto()
    HOLD = auto()


@define(eq=False)
class Fault:
    """One fault, from the moment that it is asked for; it strikes once."""

    kind: Kind
    command: bytes | None
    skip: int
    keep: int = 0
    _struck: anyio.Event = field(factory=anyio.Event)
    _released: anyio.Event = field(factory=anyio.Event)

    @property
    def has_struck(self) -> bool:
        """Whether it has done what it was made for."""
        return self._struck.is_set()

    async def struck(self) -> None:
        """Wait until it has."""
        await self._struck.wait()

    def release(self) -> None:
        """Let the answers that it holds go on, in their order."""
        self._released.set()

    def strike(self) -> None:
        """Tell those who wait for it."""
        self._struck.set()

    async def hold(self) -> None:
        """Wait for `release`."""
        self.strike()
        await self._released.wait()

    def takes(self, request: bytes) -> bool:
        """Count a request; whether it is the one."""
        if self.command is not None and self.command != words(request)[0]:
            return False
        self.skip -= 1
        return self.skip == -1


@define(eq=False)
class Link:
    """One connection of a client, and the proxy's own to the server."""

    client: ByteStream
    server: ByteStream
    scope: anyio.CancelScope
    #: What becomes of the answers that are still to come, in the order of their requests.
    expected: deque[Fault | None] = field(factory=deque)
    gone: anyio.Event = field(factory=anyio.Event)

    def fault_of_answer(self, frame: bytes) -> Fault | None:
        """Return the fault that an answer meets."""
        if is_pushed(frame) or not self.expected:
            return None
        return self.expected.popleft()


def is_subscription(request: bytes) -> bool:
    """Whether the answer comes as pushed messages, of which there may be several."""
    return words(request)[0].endswith(b"SUBSCRIBE")


def is_pushed(frame: bytes) -> bool:
    """Whether no request waits for this: RESP3 marks it so, in RESP2 it is an array like any."""
    return frame.startswith(b">") or words(frame)[0].endswith((b"MESSAGE", b"SUBSCRIBE"))


@define(eq=False)
class FaultProxy:
    """A proxy on a port of 127.0.0.1; see the module for how to use it."""

    #: The port of the server; another one holds for connections to come.
    upstream: int
    _tasks: TaskGroup
    _tls: ssl.SSLContext | None
    _port: Port = field(factory=Port.reserve)
    _listening: anyio.CancelScope | None = None
    _refusing: anyio.Event = field(factory=anyio.Event)
    _flowing: anyio.Event = field(factory=anyio.Event)
    _delay: float = 0.0
    _faults: list[Fault] = field(factory=list)
    _links: set[Link] = field(factory=set)
    #: How many connections it has taken so far.
    accepted: int = 0
    #: How often each command went to the server, by its name.
    requests: Counter[str] = field(factory=Counter)

    @property
    def port(self) -> int:
        """Where it listens; it stays the same."""
        return self._port.number

    @property
    def url(self) -> str:
        """The first database of the server, through the proxy."""
        return f"redis{'s' * bool(self._tls)}://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many connections are open through it."""
        return len(self._links)

    # ---------------------------------------------------------------------- faults of one exchange

    def swallow_answers(self, command: str | None = None, *, skip: int = 0) -> Fault:
        """Drop the answer of a request, and all that its connection would be told after it.

        Args:
            command: the name of the request, such as ``"EVALSHA"``; None is any.
            skip: how many such requests pass unharmed first.
        """
        return self._plan(Kind.SWALLOW, command, skip)

    def hold_answers(self, command: str | None = None, *, skip: int = 0) -> Fault:
        """Keep the answer of a request back, and later ones of its connection, until `release`."""
        return self._plan(Kind.HOLD, command, skip)

    def cut_answer(self, command: str | None = None, *, skip: int = 0, keep: int = 0) -> Fault:
        """Close the connection after the first ``keep`` bytes of an answer; 0 is before it."""
        return self._plan(Kind.CUT_ANSWER, command, skip, keep)

    def cut_request(self, command: str | None = None, *, skip: int = 0, keep: int = 0) -> Fault:
        """Close the connection when ``keep`` bytes of a request have reached the server."""
        return self._plan(Kind.CUT_REQUEST, command, skip, keep)

    # --------------------------------------------------------------------------- faults that last

    def delay(self, seconds: float) -> None:
        """From now on, hold back for so long what the server has sent, each time it sends."""
        self._delay = seconds

    def black_hole(self) -> None:
        """Accept connections and bytes, and let nothing through, either way, until `heal`."""
        self._flowing = anyio.Event()

    async def refuse(self) -> None:
        """Refuse new connections, until `heal`; those that are open stay."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None
            await self._refusing.wait()

    async def cut_all(self) -> None:
        """Close every connection that is open, whatever is under way on it."""
        links = list(self._links)
        for link in links:
            link.scope.cancel()
        for link in links:
            await link.gone.wait()

    async def heal(self) -> None:
        """Undo every fault: forget those that have not struck, release what is held, listen.

        A connection whose answers were swallowed stays mute: they would come out of order.
        """
        for fault in self._faults:
            fault.release()
        self._faults.clear()
        self._delay = 0.0
        self._flowing.set()
        if self._listening is None:
            self._listening = await self._tasks.start(self._listen)

    async def close(self) -> None:
        """Close everything, and give the port up."""
        await self.refuse()
        await self.cut_all()
        self._port.free()

    # ------------------------------------------------------------------------------------- inside

    def _plan(self, kind: Kind, command: str | None, skip: int, keep: int = 0) -> Fault:
        fault = Fault(kind, command.upper().encode() if command else None, skip, keep)
        self._faults.append(fault)
        return fault

    async def _listen(self, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        listener: Listener[ByteStream] = await anyio.create_tcp_listener(
            local_host="127.0.0.1", local_port=self.port
        )
        if self._tls is not None:
            listener = TLSListener(listener, self._tls, standard_compatible=False)
        self._refusing = anyio.Event()
        with anyio.CancelScope() as scope:
            async with listener:
                task_status.started(scope)
                await listener.serve(self._serve, self._tasks)
        self._refusing.set()

    async def _serve(self, client: ByteStream) -> None:
        self.accepted += 1
        async with client:
            try:
                server = await anyio.connect_tcp("127.0.0.1", self.upstream)
            except OSError:
                return  # the client learns of it by the end of its connection
            async with server, anyio.create_task_group() as group:
                link = Link(client, server, group.cancel_scope)
                self._links.add(link)
                group.start_soon(self._pump, link, self._carry_requests)
                group.start_soon(self._pump, link, self._carry_answers)
        self._links.discard(link)
        link.gone.set()

    async def _pump(self, link: Link, carry: Callable[[Link], Awaitable[None]]) -> None:
        """Carry until an end closes or a fault cuts; then the link is no more."""
        with suppress(*_GONE):
            await carry(link)
        link.scope.cancel()

    async def _carry_requests(self, link: Link) -> None:
        frames = FrameSplitter()
        while True:
            data = await link.client.receive()
            await self._flowing.wait()
            for request in frames.feed(data):
                fault = self._fault_of(request)
                if fault is not None and fault.kind is Kind.CUT_REQUEST:
                    await link.server.send(request[: fault.keep])
                    fault.strike()
                    return
                if not is_subscription(request):
                    link.expected.append(fault)
                await link.server.send(request)

    async def _carry_answers(self, link: Link) -> None:
        frames = FrameSplitter()
        while True:
            data = await link.server.receive()
            if self._delay:
                await anyio.sleep(self._delay)
            await self._flowing.wait()
            for answer in frames.feed(data):
                fault = link.fault_of_answer(answer)
                if fault is not None and fault.kind is not Kind.HOLD:
                    await self._lose(answer, fault, link)
                    return
                if fault is not None:
                    await fault.hold()
                await link.client.send(answer)

    async def _lose(self, answer: bytes, fault: Fault, link: Link) -> None:
        if fault.kind is Kind.CUT_ANSWER:
            await link.client.send(answer[: fault.keep])
        fault.strike()
        while fault.kind is Kind.SWALLOW:
            await link.server.receive()

    def _fault_of(self, request: bytes) -> Fault | None:
        self.requests[words(request)[0].decode()] += 1
        hits = [fault for fault in self._faults if fault.takes(request)]
        return hits[0] if hits else None


@asynccontextmanager
async def open_proxy(
    upstream: int, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[FaultProxy, None]:
    """Run a proxy before the server on this port of 127.0.0.1.

    Args:
        upstream: the port of the server.
        tls: speak TLS with the clients, as a server with this certificate.
    """
    async with anyio.create_task_group() as tasks:
        proxy = FaultProxy(upstream, tasks, tls)
        try:
            await proxy.heal()
            yield proxy
        finally:
            with anyio.CancelScope(shield=True):
                await proxy.close()
