"""Where connections come from: one server here; ``finding.py`` asks which of several it is.

redis-py makes the connections, so that TLS, users, sockets and credential providers are its
business; it never sends anything by itself, so that none of its retries repeats a call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis.asyncio import Redis

#: The settings of a connection, regardless of its pool: an answer may take as long as it
#: does (the pipeline has a deadline of its own), and nothing is tried again behind our back.
_OVERRIDES: Final[Mapping[str, Any]] = {
    "socket_timeout": None,
    "retry_on_timeout": False,
    "health_check_interval": 0,
    "decode_responses": False,
    "protocol": 2,  # a little faster than 3 with what we ask, and the same everywhere
}


class Connection(Protocol):
    """What we use of redis-py's connections, which are typed in part only."""

    async def connect(self) -> None:
        """Open it, with all that its settings ask for."""
        ...

    async def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:
        """Write bytes and wait until there is room for more."""
        ...

    async def read_response(
        self,
        *,
        disable_decoding: bool,
        timeout: float,  # noqa: ASYNC109 - redis-py calls it so
        disconnect_on_error: bool = ...,
    ) -> Any:
        """Return the next answer; an error that the server answers is raised."""
        ...

    async def disconnect(self, *, nowait: bool = ...) -> None:
        """Close it."""
        ...


class Source(Protocol):
    """Gives connections to the server that has a namespace now."""

    @property
    def where(self) -> str:
        """What an error calls it; no secrets."""
        ...

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over."""
        ...

    @property
    def in_cluster(self) -> bool:
        """Whether the namespace's keys may move from one server to another."""
        ...

    async def connect(self) -> Connection:
        """Return a connection that is open.

        Raises:
            RedisError, OSError: none could be had.
        """
        ...

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection, whatever its state."""
        ...

    def sibling(self) -> Source:
        """Return a source for another event loop."""
        ...


class Connecting:
    """What the sources share: a limit of time, and a close that never fails."""

    def __init__(self, where: str, connect_timeout: float) -> None:
        """Take what an error calls the server, and how long a connection may take (seconds)."""
        self._where = where
        self._connect_timeout = connect_timeout

    @property
    def where(self) -> str:
        """What an error calls the server; no secrets."""
        return self._where

    @property
    def in_cluster(self) -> bool:
        """Whether the namespace's keys may move from one server to another: not here."""
        return False

    async def _opened(self, kind: Any, settings: Mapping[str, Any]) -> Connection:
        # Not among the constants above: each connection changes the state of its own.
        own = {**settings, **_OVERRIDES, "retry": Retry(NoBackoff(), 0)}
        connection: Connection = kind(**own)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
        except BaseException:
            await self.disconnect(connection)
            raise
        return connection

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection, whatever its state."""
        try:
            await connection.disconnect(nowait=True)
        except (OSError, TimeoutError):
            return  # it was broken before


class ClientSource(Connecting):
    """The one server that a redis-py client speaks to."""

    def __init__(self, client: Redis, *, where: str, connect_timeout: float) -> None:
        """Take the settings of a client; its own connections are never touched."""
        super().__init__(where, connect_timeout)
        self._pool: Any = client.connection_pool

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over: never."""
        return False

    async def connect(self) -> Connection:
        """Return a connection that is open."""
        return await self._opened(self._pool.connection_class, self._pool.connection_kwargs)

    def sibling(self) -> ClientSource:
        """Return the same: connections of one event loop never reach another."""
        return self
