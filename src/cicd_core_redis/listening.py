"""One connection that listens to channels, for one event loop."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from cicd_core.errors import StoreError
from cicd_core_redis.codec import packed
from cicd_core_redis.failures import closed, unheard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Sequence
    from typing import NoReturn

    from cicd_core_redis.connecting import Connection, Source

#: Number of unused channels that stay subscribed: repeated waits use them again soon.
_IDLE_CHANNELS: Final = 256
#: After this many seconds without a message, the connection is checked: a firewall or a proxy may
#: drop a silent connection without notice to either end.
_QUIET: Final = 10.0


class Listening:
    """Subscribes to channels, and passes on their messages."""

    def __init__(
        self,
        source: Source,
        connect: Callable[[], Awaitable[Connection]],
        *,
        needed: Container[bytes],
        hear: Callable[[bytes, bytes], object],
        lose: Callable[[], object],
    ) -> None:
        """Connect with the first channel.

        Args:
            source: the server to listen to.
            connect: opens a connection.
            needed: the channels that waiters need now; others may be unsubscribed.
            hear: called with the channel and the content of each message.
            lose: called when the connection has ended: messages may be lost.
        """
        self._source = source
        self._connect = connect
        self._needed = needed
        self._hear_message = hear
        self._lose = lose
        #: The channels that are subscribed, or will be, each with a future of the confirmation.
        self._channels: dict[bytes, asyncio.Future[None]] = {}
        #: The channels to subscribe next.
        self._fresh: list[bytes] = []
        self._wanted = asyncio.Event()
        self._heard = False
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    def check(self) -> None:
        """Raise an error if the store was closed.

        Raises:
            StoreUnavailable: the store was closed.
        """
        if self._closed:
            raise closed(self._source.where)

    async def subscribe(self, channels: Sequence[bytes]) -> None:
        """Subscribe to channels; return when their messages will arrive.

        Raises:
            StoreUnavailable: the store was closed, or the server cannot be listened to.
        """
        self.check()
        loop = asyncio.get_running_loop()
        for channel in channels:
            if channel not in self._channels:
                self._channels[channel] = loop.create_future()
                self._fresh.append(channel)
        if self._serving is None:
            self._serving = loop.create_task(self._serve())
        self._wanted.set()
        for confirmed in [self._channels[channel] for channel in channels]:
            await asyncio.shield(confirmed)  # other waiters may share it

    async def close(self) -> None:
        """Disconnect."""
        self._closed = True
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])

    async def _serve(self) -> None:
        """Send and listen over one connection, until it fails or the store is closed.

        It is a separate task, so that a cancelled caller never leaves a command half sent.
        """
        cause: BaseException = ConnectionError("the store was closed")
        try:
            connection = await self._connect()
            try:
                if self._closed:  # redis-py may swallow a cancellation while it connects
                    raise cause
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send(connection))
                    tasks.create_task(self._listen(connection))
                    tasks.create_task(self._watch())
            finally:
                await self._source.disconnect(connection)
        except* (RedisError, OSError, StoreError) as failures:
            cause = failures.exceptions[0]
        finally:
            self._serving = None
            where, fails_over = self._source.where, self._source.fails_over
            self._forget_all(unheard(where, cause, fails_over=fails_over))

    async def _send(self, connection: Connection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            data: list[bytes] = []
            if self._fresh:
                data += _command(b"SSUBSCRIBE", self._fresh)
                self._fresh.clear()
            idle = [channel for channel in self._channels if channel not in self._needed]
            if len(idle) > _IDLE_CHANNELS:
                data += _command(b"SUNSUBSCRIBE", idle)
                for channel in idle:
                    del self._channels[channel]
            if data:
                await connection.send_packed_command(data, check_health=False)

    async def _listen(self, connection: Connection) -> None:
        while True:
            self._hear(await connection.read_response(disable_decoding=True, timeout=math.inf))

    async def _watch(self) -> NoReturn:
        """Give up the connection when it has become silent."""
        asked = False
        while True:
            self._heard = False
            await asyncio.sleep(_QUIET)
            if asked and not self._heard:
                raise TimeoutError(f"no message for {2 * _QUIET:g} s")
            asked = not self._heard and bool(self._channels)
            if asked:  # a repeated subscription changes nothing, but gets an answer
                self._fresh.append(next(iter(self._channels)))
                self._wanted.set()

    def _hear(self, message: Sequence[bytes]) -> None:
        self._heard = True
        kind, channel, content = message
        if kind == b"smessage":
            self._hear_message(channel, content)
        elif kind == b"ssubscribe":
            confirmed = self._channels.get(channel)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
        elif kind == b"sunsubscribe":
            confirmed = self._channels.get(channel)
            if confirmed is not None and confirmed.done():  # otherwise this process asked for it
                raise ConnectionError("another server now has the namespace")

    def _forget_all(self, error: BaseException) -> None:
        """Wake all waiters: their next calls fail too, or succeed."""
        for confirmed in self._channels.values():
            if not confirmed.done():
                confirmed.set_exception(error)
                confirmed.exception()  # retrieved even if no task waits for it any more
        self._channels.clear()
        self._fresh.clear()
        self._lose()


def _command(verb: bytes, channels: Sequence[bytes]) -> list[bytes]:
    return [b"*%d\r\n" % (len(channels) + 1), packed((verb, *channels))]
