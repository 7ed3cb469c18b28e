"""Where connections come from: one server, whatever the sentinels call the primary, or a cluster.

redis-py makes the connections, so that TLS, users, sockets and credential providers are its
business; it never sends anything by itself, so that none of its retries repeats a call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis.asyncio import Redis

#: What we need of a connection, whatever its pool was told: an answer may take as long as it
#: does (the pipe has a deadline of its own), and nothing is tried again behind our back.
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


class _Connecting:
    """What the sources share: a limit of time, and a close that never fails."""

    def __init__(self, where: str, connect_timeout: float) -> None:
        self._where = where
        self._connect_timeout = connect_timeout

    @property
    def where(self) -> str:
        return self._where

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
        try:
            await connection.disconnect(nowait=True)
        except (OSError, TimeoutError):
            return  # it was broken before


class ClientSource(_Connecting):
    """The server, or the set of sentinels, that a redis-py client speaks to."""

    def __init__(self, client: Redis, *, where: str, connect_timeout: float) -> None:
        """Take the settings of a client; its own connections are never touched."""
        super().__init__(where, connect_timeout)
        self._client = client  # sentinels' connections know their pool by a weak reference only
        self._pool: Any = client.connection_pool

    @property
    def fails_over(self) -> bool:
        """Whether the client asks sentinels."""
        return hasattr(self._pool, "sentinel_manager")

    async def connect(self) -> Connection:
        """Return a connection that is open."""
        return await self._opened(self._pool.connection_class, self._pool.connection_kwargs)

    def sibling(self) -> ClientSource:
        """Return the same: connections of one event loop never reach another."""
        return self


class ClusterSource(_Connecting):
    """The primary of a cluster that has a namespace's slot, asked for anew at each connection."""

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        settings: Mapping[str, Any],
        *,
        key: bytes,
        where: str,
        connect_timeout: float,
    ) -> None:
        """Take some of the nodes, and the namespace's key that tells its slot."""
        super().__init__(where, connect_timeout)
        self._nodes = list(nodes)
        self._settings = dict(settings)
        self._key = key.decode()

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over: always."""
        return True

    async def connect(self) -> Connection:
        """Return a connection that is open."""
        async with asyncio.timeout(self._connect_timeout):
            node = await self._primary()
        return await self._opened(node.connection_class, node.connection_kwargs)

    async def _primary(self) -> ClusterNode:
        starts = [ClusterNode(host, port, **self._settings) for host, port in self._nodes]
        cluster = RedisCluster(
            startup_nodes=starts,
            require_full_coverage=False,
            cluster_error_retry_attempts=0,
            **self._settings,
        )
        try:
            await cluster.initialize()
            known = {(node.host, int(node.port)) for node in cluster.get_nodes()}
            self._nodes = sorted(known | set(self._nodes))
            node = cluster.get_node_from_key(self._key)
            if node is None:
                raise ConnectionError("no node of the cluster has the namespace's slot")
            return node
        finally:
            await cluster.aclose()

    def sibling(self) -> ClusterSource:
        """Return another that knows the same nodes."""
        return ClusterSource(
            self._nodes,
            self._settings,
            key=self._key.encode(),
            where=self.where,
            connect_timeout=self._connect_timeout,
        )
