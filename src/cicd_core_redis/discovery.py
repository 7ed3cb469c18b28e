"""Finds the server that currently has a namespace: asks sentinels, or the nodes of a cluster.

It uses its own connections, and closes them after each answer. redis-py's clients of sentinels and
clusters hold connections of one event loop, wait and retry by their own rules, and sometimes
swallow a cancellation.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.connection import Connection as PlainConnection
from redis.asyncio.connection import SSLConnection
from redis.crc import key_slot
from redis.exceptions import RedisError

from cicd_core_redis.codec import packed
from cicd_core_redis.connecting import Connecting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis, RedisCluster

    from cicd_core_redis.codec import Answer, Argument
    from cicd_core_redis.connecting import Connection

#: The host and port of a server.
Address = tuple[str, int]
#: The part of the connection's time limit in which each sentinel or node must answer: after two
#: that do not, enough is left for a third.
_SHARE: Final = 0.3
#: The settings taken from a cluster's client, besides those of TLS.
_LENT: Final = frozenset(
    {
        "client_name",
        "credential_provider",
        "password",
        "socket_keepalive",
        "socket_keepalive_options",
        "username",
    }
)


class _Finding(Connecting):
    """The common part of the sources that ask some servers for the address of another one."""

    def __init__(
        self,
        asked: Sequence[Address],
        *,
        asking: Mapping[str, Any],
        settings: Mapping[str, Any],
        where: str,
        connect_timeout: float,
    ) -> None:
        super().__init__(where, connect_timeout)
        #: In the order in which they are asked.
        self._asked = list(asked)
        self._asking = dict(asking)
        self._settings = dict(settings)

    @property
    def fails_over(self) -> bool:
        """Whether another server may take over: always."""
        return True

    async def connect(self) -> Connection:
        """Return an open connection."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                host, port = await self._find()
            return await self._to(host, port, self._settings)
        except (RedisError, OSError):
            self._ask_another_first()  # this one's answer may be outdated
            raise

    async def _find(self) -> Address:
        failures: list[str] = []
        for host, port in self._asked[:]:
            try:
                async with asyncio.timeout(self._connect_timeout * _SHARE):
                    return self._found(await self._answer_of(host, port), host)
            except (RedisError, OSError) as cause:
                failures.append(f"{host}:{port}: {str(cause) or type(cause).__name__}")
                self._ask_another_first()
        raise ConnectionError(f"no server knows its address: {'; '.join(failures)}")

    async def _answer_of(self, host: str, port: int) -> Answer:
        connection = await self._to(host, port, self._asking)
        try:
            question = self._question()
            data = [b"*%d\r\n" % len(question), packed(question)]
            await connection.send_packed_command(data, check_health=False)
            return await connection.read_response(
                disable_decoding=True, timeout=self._connect_timeout
            )
        finally:
            await self.disconnect(connection)

    async def _to(self, host: str, port: int, settings: Mapping[str, Any]) -> Connection:
        arguments = {**settings, "host": host, "port": port}
        kind = SSLConnection if arguments.pop("ssl", False) else PlainConnection
        return await self._opened(kind, arguments)

    def _ask_another_first(self) -> None:
        self._asked.append(self._asked.pop(0))

    @abstractmethod
    def _question(self) -> tuple[Argument, ...]: ...

    @abstractmethod
    def _found(self, answer: Answer, asked: str) -> Address: ...


class SentinelSource(_Finding):
    """The primary that the sentinels name; each connection looks it up again."""

    def __init__(
        self,
        sentinels: Sequence[Address],
        service: str,
        *,
        asking: Mapping[str, Any],
        settings: Mapping[str, Any],
        where: str,
        connect_timeout: float,
    ) -> None:
        """Set the sentinels, and their name of the service.

        Args:
            sentinels: the hosts and ports of the sentinels.
            service: the name by which the sentinels know the primary and its replicas.
            asking: the settings of a connection to a sentinel; ``ssl`` if it is encrypted.
            settings: the settings of a connection to the primary.
            where: the name of the primary in errors.
            connect_timeout: how long a connection may take, in seconds.
        """
        super().__init__(
            sentinels,
            asking=asking,
            settings=settings,
            where=where,
            connect_timeout=connect_timeout,
        )
        self._service = service

    @classmethod
    def of(cls, client: Redis, *, where: str, connect_timeout: float) -> SentinelSource:
        """Return a source that asks the sentinels of a client, over its own connections."""
        pool: Any = client.connection_pool
        settings = _settings_of(pool)
        del settings["connection_pool"]
        pools = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]
        return cls(
            [(item.connection_kwargs["host"], item.connection_kwargs["port"]) for item in pools],
            pool.service_name,
            asking=_settings_of(pools[0]),
            settings=settings,
            where=where,
            connect_timeout=connect_timeout,
        )

    def sibling(self) -> SentinelSource:
        """Return the same: it holds no connection of any event loop."""
        return self

    def _question(self) -> tuple[Argument, ...]:
        return (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service)

    def _found(self, answer: Answer, asked: str) -> Address:
        del asked
        if answer is None:
            raise ConnectionError(f"it has no service {self._service!r}")
        host, port = answer
        return host.decode(), int(port)


class ClusterSource(_Finding):
    """The primary of a cluster with a namespace's slot; each connection looks it up again."""

    def __init__(
        self,
        nodes: Sequence[Address],
        settings: Mapping[str, Any],
        *,
        key: bytes,
        where: str,
        connect_timeout: float,
    ) -> None:
        super().__init__(
            nodes,
            asking=settings,
            settings=settings,
            where=where,
            connect_timeout=connect_timeout,
        )
        self._slot = key_slot(key)
        self._given = list(nodes)

    @classmethod
    def of(
        cls, client: RedisCluster, *, key: bytes, where: str, connect_timeout: float
    ) -> ClusterSource:
        """Return a source that asks the nodes of a client, over its own connections."""
        lender: Any = client  # redis-py has no types for some of its attributes
        arguments = lender.get_connection_kwargs()
        settings = {
            name: value
            for name, value in arguments.items()
            if name in _LENT or name.startswith("ssl_")
        }
        kind = arguments.get("connection_class", PlainConnection)
        return cls(
            [(node.host, int(node.port)) for node in lender.nodes_manager.startup_nodes.values()],
            {**settings, "ssl": issubclass(kind, SSLConnection)},
            key=key,
            where=where,
            connect_timeout=connect_timeout,
        )

    @property
    def in_cluster(self) -> bool:
        """Whether the namespace's keys may move from one server to another: they may."""
        return True

    def sibling(self) -> ClusterSource:
        """Return the same: it holds no connection of any event loop."""
        return self

    def _question(self) -> tuple[Argument, ...]:
        return (b"CLUSTER", b"SLOTS")

    def _found(self, answer: Answer, asked: str) -> Address:
        owner: Address | None = None
        there: dict[Address, None] = {}
        for first, last, *nodes in answer:
            addresses = [(_host(node[0], asked), int(node[1])) for node in nodes]
            there |= dict.fromkeys(addresses)
            if first <= self._slot <= last:
                owner = addresses[0]
        if owner is None:
            raise ConnectionError(f"no node of the cluster serves slot {self._slot}")
        self._ask_only(there)
        return owner

    def _ask_only(self, there: Mapping[Address, None]) -> None:
        """Forget nodes that have left, except the configured ones; keep the order."""
        known = [item for item in self._asked if item in there or item in self._given]
        self._asked = [*known, *(item for item in there if item not in known)]


def _host(answer: bytes | None, asked: str) -> str:
    """Return the host of a node; a node that does not know its own name has the asked host."""
    return asked if answer is None or answer in {b"", b"?"} else str(answer, "ascii")


def _settings_of(pool: Any) -> dict[str, Any]:
    is_encrypted = issubclass(pool.connection_class, SSLConnection)
    return {**pool.connection_kwargs, "ssl": is_encrypted}
