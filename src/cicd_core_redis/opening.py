"""Opens a store on Redis: connects, checks the server's settings, and marks the namespace."""

from __future__ import annotations

import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import CancelScope

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import micros
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.registry import require_asyncio
from cicd_core.values import evolve
from cicd_core_redis.codec import Codec
from cicd_core_redis.durability import KeepsNothing
from cicd_core_redis.failures import broken
from cicd_core_redis.handshake import Handshake, NothingThere
from cicd_core_redis.indexing import complete_indexes
from cicd_core_redis.keys import meta_key
from cicd_core_redis.location import locate
from cicd_core_redis.pipeline import Pipeline
from cicd_core_redis.scripts import Verb, scripts_for
from cicd_core_redis.server_clock import ServerClock
from cicd_core_redis.store import RedisBackend
from cicd_core_redis.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from redis.asyncio import Redis, RedisCluster

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import StoreURL
    from cicd_core_redis.durability import Durability
    from cicd_core_redis.location import Location


@asynccontextmanager
async def open_redis(
    url: StoreURL,
    *,
    collections: tuple[Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
    create: bool = True,
    client: Redis | RedisCluster | None = None,
    durability: Durability | str | None = None,
    replicas: int | None = None,
    replica_timeout: float | None = None,
    call_timeout: float | None = None,
    connect_timeout: float | None = None,
    log_retention: float | None = None,
    clock_skew: float | None = None,
) -> AsyncGenerator[Store, None]:
    """Open a store on a Redis (7.0 or newer) or Valkey server.

    ``redis://user:password@host:6379/0?namespace=team-a``, ``rediss://…`` for TLS,
    ``unix:///run/redis.sock``, ``redis+sentinel://host:26379,host:26379/SERVICE/0`` and
    ``redis+cluster://host:6379,host:6379``. All options below, except ``client``, may be in the
    URL too; the arguments take precedence.

    Args:
        url: the servers.
        collections: the collections of the store.
        namespace: the set of records to open; in a cluster, all of it is in one slot.
        clock: must be None: the server's own clock decides.
        create: False refuses a namespace that does not exist yet.
        client: a redis-py client with the connections' settings; you close it yourself, and it is
            not used for commands. The URL is then only its scheme.
        durability: ``none``, ``everysec``, ``always`` or ``replicated``: the durability that the
            server must have. By default any is enough, with a warning if there is none.
        replicas: number of replicas that must have a write before its acknowledgement, with
            ``replicated``; 1 by default.
        replica_timeout: how many seconds they have for it, 1 by default.
        call_timeout: how many seconds a call may take, 5 by default.
        connect_timeout: how many seconds a connection may take, 2 by default.
        log_retention: how many seconds an event stays in the log, 30 days by default.
        clock_skew: how many seconds the clocks of servers that take over from each other may be
            apart; 0.5 by default with sentinels and in a cluster, else 0.

    Raises:
        UnrecognizedDatabase: another program wrote the namespace's ``meta`` key.
        InvalidInput: the URL or an option is wrong, a clock was given, or the namespace does not
            exist and ``create`` is false.
        SchemaTooNew: a newer version of the library wrote the namespace; it stays unchanged.
        SchemaTooOld: an older version wrote it, in a layout that is not supported any more.
        StoreUnavailable: the server did not answer in time, or too few replicas confirmed a write.
        UnsupportedCapability: the event loop is not asyncio's, or the server is too old, has less
            durability than requested, denies a needed right, or evicts keys.
    """
    if clock is not None:
        raise InvalidInput("clock", clock, "the server's clock decides; do not give a clock")
    given = {
        "durability": durability,
        "replicas": replicas,
        "replica_timeout": replica_timeout,
        "call_timeout": call_timeout,
        "connect_timeout": connect_timeout,
        "log_retention": log_retention,
        "clock_skew": clock_skew,
    }
    require_asyncio(url.scheme)
    location = evolve(locate(url, namespace=namespace, client=client, given=given), create=create)
    async with open_location(location, collections) as store:
        yield store


@asynccontextmanager
async def open_location(
    location: Location, collections: tuple[Collection, ...]
) -> AsyncGenerator[RedisBackend, None]:
    """Open the store at a location that :func:`open_redis` derived from a URL."""
    skew = micros(location.clock_skew)
    clock = ServerClock(skew)
    handshake = Handshake(location)
    pipeline = Pipeline(
        location.source,
        connect=handshake.connect,
        scripts=scripts_for(collections, skew=skew, in_cluster=location.source.in_cluster),
        meta=meta_key(location.namespace),
        clock=clock,
        timeout=location.timeout,
        confirming=location.confirming,
    )
    store = RedisBackend(
        collections=collections,
        lifetime=Lifetime(f"the store on {location.source.where}"),
        codec=Codec(collections),
        pipeline=pipeline,
        clock=clock,
        waiting=lambda store: Waiting(
            location.source, handshake.connect, store.look, location.namespace
        ),
        log_retention=location.log_retention,
        sibling=lambda: open_location(location.sibling(), collections),
    )
    try:
        meta = meta_key(location.namespace)
        try:
            await complete_indexes(
                pipeline, meta, collections, is_new=lambda: handshake.has_created
            )
        except NothingThere as missing:
            raise InvalidInput("url", location.source.where, str(missing)) from missing
        except (AttributeError, TypeError, ValueError) as nonsense:  # not an answer of Redis
            raise broken(location.source.where, nonsense) from nonsense
        if location.confirming:
            await pipeline.run(Verb.GET, ["", 0])  # an empty read, which replicas must confirm
        if handshake.concern is not None:
            warnings.warn(handshake.concern, KeepsNothing, stacklevel=2)
        yield store
    finally:
        with CancelScope(shield=True):
            await store.close()
