"""The location and options of a Redis store, from its URL, checked and with defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_seconds
from cicd_core.values import evolve, frozen
from cicd_core_redis.connecting import ClientSource
from cicd_core_redis.discovery import ClusterSource, SentinelSource
from cicd_core_redis.durability import (
    REPLICA_TIMEOUT,
    Durability,
    durability_of,
)
from cicd_core_redis.keys import meta_key
from cicd_core_redis.replication import Confirming
from cicd_core_redis.scripts import confirming_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.registry import StoreURL
    from cicd_core_redis.connecting import Source

#: How many seconds an event stays in the log by default: 30 days.
LOG_RETENTION: Final = 30 * 86400.0
#: How many seconds a call and a connection may take by default.
CALL_TIMEOUT: Final = 5.0
CONNECT_TIMEOUT: Final = 2.0
#: How far the clocks of servers that take over from each other may be apart, in seconds.
CLOCK_SKEW: Final = 0.5

_TLS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_OWN: Final = frozenset(
    {
        "durability",
        "replicas",
        "replica_timeout",
        "call_timeout",
        "connect_timeout",
        "log_retention",
        "clock_skew",
    }
)
_PORTS: Final = {"redis+sentinel": 26379, "redis+cluster": 6379}
#: A time limit shorter than this is a mistake, in seconds.
_LEAST: Final = 0.001
#: The most digits of a database's number: Python refuses to parse a number with thousands of them.
_DIGITS: Final = 9


@frozen(kw_only=True)
class Location:
    """The server of a store, and the options of its connections."""

    source: Source
    namespace: str | None
    durability: Durability | None
    confirming: Confirming | None
    #: All three in seconds.
    timeout: float
    log_retention: float
    clock_skew: float
    #: Whether a missing namespace may be created.
    create: bool = True

    def sibling(self) -> Location:
        """Return the same location for another event loop."""
        return evolve(self, source=self.source.sibling())


def locate(
    url: StoreURL,
    *,
    namespace: str | None,
    client: Redis | RedisCluster | None,
    given: Mapping[str, Any],
) -> Location:
    """Return the location that a URL names; settings in ``given`` take precedence over its options.

    Raises:
        InvalidInput: the URL or a setting is wrong; the error names it.
    """
    url.check_options(_OWN | _TLS)
    settings = {
        **url.options,
        **{name: value for name, value in given.items() if value is not None},
    }
    _check_tls(url)
    connect_timeout = _seconds(settings, "connect_timeout", CONNECT_TIMEOUT, least=_LEAST)
    source = _source(url, namespace, client, connect_timeout)
    durability = durability_of(settings.get("durability"))
    return Location(
        source=source,
        namespace=namespace,
        durability=durability,
        confirming=_confirming(durability, settings),
        timeout=_seconds(settings, "call_timeout", CALL_TIMEOUT, least=_LEAST),
        log_retention=_seconds(settings, "log_retention", LOG_RETENTION),
        clock_skew=_seconds(settings, "clock_skew", CLOCK_SKEW if source.fails_over else 0.0),
    )


def _confirming(durability: Durability | None, settings: Mapping[str, Any]) -> Confirming | None:
    if durability is not Durability.REPLICATED:
        for name in ("replicas", "replica_timeout"):
            if name in settings:
                raise InvalidInput(name, settings[name], "it is only for durability=replicated")
        return None
    text = settings.get("replicas", 1)
    try:
        replicas = int(text)
    except (TypeError, ValueError):
        replicas = 0
    if replicas < 1:
        raise InvalidInput("replicas", text, "give a number of servers, 1 or more")
    timeout = _seconds(settings, "replica_timeout", REPLICA_TIMEOUT, least=_LEAST)
    return Confirming(replicas, timeout, confirming_text())


def _seconds(
    settings: Mapping[str, Any], name: str, default: float, *, least: float = 0.0
) -> float:
    text = settings.get(name, default)
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        raise InvalidInput(name, text, "give a number of seconds") from None
    return check_seconds(name, seconds, least=least)


def _check_tls(url: StoreURL) -> None:
    """Refuse options of TLS that an unencrypted connection would ignore."""
    if url.scheme in {"redis", "unix"}:
        for name, value in _tls(url).items():
            raise InvalidInput(
                name, value, "it is only for rediss://, redis+sentinel:// and redis+cluster://"
            )


def _source(
    url: StoreURL,
    namespace: str | None,
    client: Redis | RedisCluster | None,
    connect_timeout: float,
) -> Source:
    if client is not None:
        if url.netloc or url.path:
            reason = "with your own client, give only the scheme, such as redis://"
            raise InvalidInput("url", str(url), reason)
        return _of_client(client, namespace, connect_timeout)
    if url.scheme == "redis+cluster":
        return _cluster(url, namespace, connect_timeout)
    if url.scheme == "redis+sentinel":
        return _sentinel(url, connect_timeout)
    if url.scheme == "unix":
        client = Redis(unix_socket_path=url.path, **_credentials(url))
        return ClientSource(client, where=url.path, connect_timeout=connect_timeout)
    ((host, port),) = _addresses(url, 6379)
    tls: dict[str, Any] = {"ssl": True, **_tls(url)} if url.scheme == "rediss" else {}
    database = _database(url, url.path)
    client = Redis(host=host, port=port, db=database, **_credentials(url), **tls)
    return ClientSource(client, where=f"{host}:{port}", connect_timeout=connect_timeout)


def _of_client(client: object, namespace: str | None, connect_timeout: float) -> Source:
    if isinstance(client, RedisCluster):
        where = "the cluster of the client"
        key = meta_key(namespace)
        return ClusterSource.of(client, key=key, where=where, connect_timeout=connect_timeout)
    if not isinstance(client, Redis):
        reason = "give a redis.asyncio.Redis, or a redis.asyncio.RedisCluster"
        raise InvalidInput("client", client, reason)
    if hasattr(client.connection_pool, "sentinel_manager"):
        where = "the primary of the client"
        return SentinelSource.of(client, where=where, connect_timeout=connect_timeout)
    return ClientSource(client, where="the server of the client", connect_timeout=connect_timeout)


def _cluster(url: StoreURL, namespace: str | None, connect_timeout: float) -> Source:
    if url.path.strip("/"):
        raise InvalidInput("url", url.path, "a cluster has no databases: omit the path")
    nodes = _addresses(url, _PORTS[url.scheme])
    settings = {**_credentials(url), **_tls(url), "ssl": bool(_tls(url))}
    where = "the cluster of " + ", ".join(f"{host}:{port}" for host, port in nodes)
    return ClusterSource(
        nodes, settings, key=meta_key(namespace), where=where, connect_timeout=connect_timeout
    )


def _sentinel(url: StoreURL, connect_timeout: float) -> Source:
    nodes = _addresses(url, _PORTS[url.scheme])
    service, _, database = url.path.strip("/").partition("/")
    if not service:
        reason = "give the service: redis+sentinel://host:26379,host:26379/SERVICE/DATABASE"
        raise InvalidInput("url", str(url), reason)
    tls = {**_tls(url), "ssl": bool(_tls(url))}
    return SentinelSource(
        nodes,
        service,
        asking=tls,
        settings={"db": _database(url, database), **_credentials(url), **tls},
        where=f"the primary of {service!r}",
        connect_timeout=connect_timeout,
    )


def _database(url: StoreURL, path: str) -> int:
    text = path.strip("/")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise InvalidInput("url", str(url), "the path must be the number of a database, such as /0")
    return int(text or 0)


def _addresses(url: StoreURL, default_port: int) -> list[tuple[str, int]]:
    """Return the hosts and ports between ``//`` and the path, split at commas."""
    _, _, hosts = url.netloc.rpartition("@")
    addresses: list[tuple[str, int]] = []
    for text in (hosts or "localhost").split(","):
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "localhost", parts.port or default_port
        except ValueError:
            raise InvalidInput("url", str(url), "write each server as host or host:port") from None
        addresses.append((host, port))
    if len(addresses) > 1 and url.scheme not in _PORTS:
        reason = "give one server; only redis+sentinel:// and redis+cluster:// take several"
        raise InvalidInput("url", str(url), reason)
    return addresses


def _credentials(url: StoreURL) -> dict[str, Any]:
    user_info, at, _ = url.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    found = {"username": unquote(user) or None, "password": unquote(password) or None}
    return found if at else {}


def _tls(url: StoreURL) -> dict[str, Any]:
    return {name: value for name, value in url.options.items() if name in _TLS}
