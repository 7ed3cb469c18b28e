"""Sources of connections: one server here; ``discovery.py`` finds the right one of several.

redis-py opens the connections, and handles TLS, users, sockets and credential providers. It never
sends a command by itself, so none of its retries repeats a call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis.asyncio import Redis

#: The settings of a connection, regardless of its pool: an answer may take any time (the pipeline
#: has its own deadline), and redis-py retries nothing.
_OVERRIDES: Final[Mapping[str, Any]] = {
    "socket_timeout": None,
    "retry_on_timeout": False,
    "health_check_interval": 0,
    "decode_responses": False,
    "protocol": 2,  # a little faster than 3 for these calls, and the same on all servers
}


class Connection(Protocol):
    """The methods used of redis-py's connections, which have only some types."""

    async def connect(self) -> None:
        """Open it, according to its settings."""
        ...

    async def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:
        """Write bytes and wait until there is room for more."""
        ...

    async def read_response(
        self,
        *,
        disable_decoding: bool,
        timeout: float,  # noqa: ASYNC109 - redis-py's name
        disconnect_on_error: bool = ...,
    ) -> Any:
        """Return the next answer; raise it if it is an error."""
        ...

    async def disconnect(self, *, nowait: bool = ...) -> None:
        """Close it."""
        ...


class Source(Protocol):
    """A source of connections to the server that currently has a namespace."""

    @property
    def where(self) -> str:
        """The name of the server in errors, without secrets."""
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
        """Return an open connection.

        Raises:
            RedisError, OSError: the connection could not be opened.
        """
        ...

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection, whatever its state."""
        ...

    def sibling(self) -> Source:
        """Return a source for another event loop."""
        ...


class Connecting:
    """The common part of the sources: a time limit, and a close that never fails."""

    def __init__(self, where: str, connect_timeout: float) -> None:
        """Set the server's name in errors, and the time limit of a connection in seconds."""
        self._where = where
        self._connect_timeout = connect_timeout

    @property
    def where(self) -> str:
        """The name of the server in errors, without secrets."""
        return self._where

    @property
    def in_cluster(self) -> bool:
        """Whether the namespace's keys may move from one server to another: not here."""
        return False

    async def _opened(self, kind: Any, settings: Mapping[str, Any]) -> Connection:
        # Not among the constants above: each connection changes the state of its own Retry.
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
            return  # the connection was already broken


class ClientSource(Connecting):
    """The server of a redis-py client."""

    def __init__(self, client: Redis, *, where: str, connect_timeout: float) -> None:
        """Use the settings of a client; its own connections are never used."""
        super().__init__(where, connect_timeout)
        self._pool: Any = client.connection_pool

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over: never."""
        return False

    async def connect(self) -> Connection:
        """Return an open connection."""
        return await self._opened(self._pool.connection_class, self._pool.connection_kwargs)

    def sibling(self) -> ClientSource:
        """Return the same source: it holds no connections of an event loop."""
        return self
