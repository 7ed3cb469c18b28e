"""The limit: the raw driver, calls of a loop turn in one write, and the smallest scripts that do.

A job is a hash, the queue a sorted set, what is claimed another one with the expiry of its lease.
No model, no log, no counters, no versions, no checks but that the claim id is the one that holds.
``--level connection`` speaks through redis-py's public Connection, as the store does;
``--level protocol`` through an asyncio protocol and hiredis' reader, the least that Python needs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import hiredis
from measuring import TEXT, main
from redis.asyncio.connection import Connection

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

LEASE = 30_000
ENQUEUE = """
for i = 1, #ARGV, 3 do
  redis.call('HSET', 'q:job:' .. ARGV[i], 'body', ARGV[i + 2])
  redis.call('ZADD', 'q:ready', 0, ARGV[i + 1])
end
return #ARGV / 3
"""
CLAIM = """
local found = redis.call('ZPOPMIN', 'q:ready')
if not found[1] then return nil end
local key = string.sub(found[1], -20)
redis.call('HSET', 'q:job:' .. key, 'claim', ARGV[1])
redis.call('ZADD', 'q:leased', ARGV[2], key)
return {key, redis.call('HGET', 'q:job:' .. key, 'body')}
"""
COMPLETE = """
local job = 'q:job:' .. ARGV[1]
if redis.call('HGET', job, 'claim') ~= ARGV[2] then return 0 end
redis.call('HSET', job, 'claim', '', 'body', ARGV[3])
redis.call('ZREM', 'q:leased', ARGV[1])
return 1
"""


class Wire:
    """Calls that wait for answers, in their order; what one loop turn asks leaves together."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.unsent: list[bytes] = []
        self.waiting: deque[asyncio.Future[Any]] = deque()

    def call(self, *words: Any) -> asyncio.Future[Any]:
        if not self.unsent:
            self.loop.call_soon(self.flush)
        self.unsent.append(hiredis.pack_command(words))
        future = self.loop.create_future()
        self.waiting.append(future)
        return future

    def flush(self) -> None:
        raise NotImplementedError


class ConnectionWire(Wire):
    """Through redis-py."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.sending: set[asyncio.Task[None]] = set()
        self.reading = self.loop.create_task(self.read())

    def flush(self) -> None:
        data, self.unsent = self.unsent, []
        task = self.loop.create_task(self.connection.send_packed_command(data, check_health=False))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def read(self) -> None:
        while True:
            answer = await self.connection.read_response(timeout=float("inf"))
            self.waiting.popleft().set_result(answer)

    async def close(self) -> None:
        self.reading.cancel()
        await asyncio.wait([self.reading])
        await self.connection.disconnect()


class ProtocolWire(Wire, asyncio.Protocol):
    """Without redis-py."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.reader = hiredis.Reader()

    def flush(self) -> None:
        self.transport.write(b"".join(self.unsent))
        self.unsent.clear()

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (answer := self.reader.gets(False)) is not False:
            self.waiting.popleft().set_result(answer)

    async def close(self) -> None:
        self.transport.close()


class Raw:
    blocking = False
    lacks = frozenset({"pickup", "worker"})

    def __init__(self, wire: ConnectionWire | ProtocolWire) -> None:
        self.wire = wire
        self.numbers = count()
        self.scripts: dict[str, bytes] = {}

    async def load(self) -> None:
        for script in (ENQUEUE, CLAIM, COMPLETE):
            self.scripts[script] = await self.wire.call("SCRIPT", "LOAD", script)

    def job(self) -> tuple[str, str, str]:
        key = f"{next(self.numbers):020d}"
        return key, f"2:{key}", TEXT

    async def enqueue(self) -> None:
        await self.wire.call("EVALSHA", self.scripts[ENQUEUE], 0, *self.job())

    async def enqueue_many(self, number: int) -> None:
        words = [word for _ in range(number) for word in self.job()]
        await self.wire.call("EVALSHA", self.scripts[ENQUEUE], 0, *words)

    async def claim(self, caller: int) -> tuple[bytes, str]:
        claim_id = f"{caller:032x}"
        expires = time.time_ns() // 1_000_000 + LEASE
        found = await self.wire.call("EVALSHA", self.scripts[CLAIM], 0, claim_id, expires)
        return found[0], claim_id

    async def complete(self, job: tuple[bytes, str]) -> None:
        key, claim_id = job
        assert await self.wire.call("EVALSHA", self.scripts[COMPLETE], 0, key, claim_id, TEXT) == 1


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Raw, None]:
    parts = urlsplit(options.url)
    wire: ConnectionWire | ProtocolWire
    if options.level == "protocol":
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(ProtocolWire, parts.hostname, parts.port)
    else:
        connection = Connection(
            host=parts.hostname, port=parts.port, protocol=2, socket_timeout=None
        )
        await connection.connect()
        wire = ConnectionWire(connection)
    raw = Raw(wire)
    await raw.load()
    yield raw
    await wire.close()


if __name__ == "__main__":
    main(opened)
