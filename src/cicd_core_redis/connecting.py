"""Where connections come from: one server, whatever the sentinels call the primary, or a cluster.

redis-py makes the connections, so that TLS, users, sockets and credential providers are its
business; it never sends anything by itself, so that none of its retries repeats a call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import Connection as PlainConnection
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException

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


#: Which part of the time for a connection each sentinel or node has to say where the primary is:
#: two that do not answer leave enough for a third.
_SHARE: Final = 1 / 3


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


class SentinelSource(_Connecting):
    """The primary that some sentinels name, asked for anew at each connection."""

    def __init__(
        self,
        sentinels: Sequence[tuple[str, int]],
        service: str,
        settings: Mapping[str, Any],
        *,
        asking: Mapping[str, Any],
        where: str,
        connect_timeout: float,
    ) -> None:
        """Take the sentinels, and the settings of connections to the primary.

        Args:
            sentinels: their hosts and ports.
            service: what they call the set of servers.
            settings: those of a connection to the primary; ``ssl`` if it is encrypted.
            asking: those of a connection to a sentinel.
            where: what an error calls the primary.
            connect_timeout: how long a connection may take, in seconds.
        """
        super().__init__(where, connect_timeout)
        self._sentinels = list(sentinels)
        self._service = service
        self._settings = dict(settings)
        self._kind = SSLConnection if self._settings.pop("ssl", False) else PlainConnection
        self._asking = dict(asking)

    @classmethod
    def of(cls, client: Redis, *, where: str, connect_timeout: float) -> SentinelSource:
        """Ask the sentinels that a client asks, by connections of our own."""
        pool: Any = client.connection_pool
        own = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        settings = dict(pool.connection_kwargs)
        del settings["connection_pool"]
        return cls(
            [(each["host"], each["port"]) for each in own],
            pool.service_name,
            {**settings, "ssl": issubclass(pool.connection_class, SSLConnection)},
            asking=pool.sentinel_manager.sentinel_kwargs,
            where=where,
            connect_timeout=connect_timeout,
        )

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over: always."""
        return True

    async def connect(self) -> Connection:
        """Return a connection that is open."""
        async with asyncio.timeout(self._connect_timeout):
            host, port = await self._primary()
        return await self._opened(self._kind, {**self._settings, "host": host, "port": port})

    async def _primary(self) -> tuple[str, int]:
        limit = self._connect_timeout * _SHARE
        limits = {"socket_timeout": limit, "socket_connect_timeout": limit}
        make: Any = Sentinel  # redis-py leaves it untyped
        asked = make(
            self._sentinels,
            sentinel_kwargs={**self._asking, **limits, "retry": Retry(NoBackoff(), 0)},
        )
        try:
            found: tuple[str, int] = await asked.discover_master(self._service)
        except MasterNotFoundError as cause:
            names = ", ".join(f"{host}:{port}" for host, port in self._sentinels)
            raise ConnectionError(f"none of the sentinels {names} names it") from cause
        else:
            return found
        finally:
            for each in asked.sentinels:
                await each.aclose()

    def sibling(self) -> SentinelSource:
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
        limit = self._connect_timeout * _SHARE
        limits = {"socket_timeout": limit, "socket_connect_timeout": limit}
        settings = {**self._settings, **limits}
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port, **settings) for host, port in self._nodes],
            require_full_coverage=False,
            retry=Retry(NoBackoff(), 0),
            **settings,
        )
        try:
            await cluster.initialize()
            return self._owner(cluster)
        except RedisClusterException as cause:  # which is no RedisError
            raise ConnectionError(str(cause)) from cause
        finally:
            await cluster.aclose()

    def _owner(self, cluster: RedisCluster) -> ClusterNode:
        known = {(node.host, int(node.port)) for node in cluster.get_nodes()}
        self._nodes = sorted(known | set(self._nodes))
        node = cluster.get_node_from_key(self._key)
        if node is None:
            raise ConnectionError("no node of the cluster has the namespace's slot")
        return node

    def sibling(self) -> ClusterSource:
        """Return another that knows the same nodes."""
        return ClusterSource(
            self._nodes,
            self._settings,
            key=self._key.encode(),
            where=self.where,
            connect_timeout=self._connect_timeout,
        )
