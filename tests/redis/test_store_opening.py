"""A Redis store opens where it is told to, or says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import redis
import redis.asyncio

from cicd_core.clock import SystemClock
from cicd_core.errors import (
    InvalidInput,
    SchemaTooNew,
    SchemaTooOld,
    StoreError,
    StoreUnavailable,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import (
    COLLECTIONS,
    IDS,
    find,
    item,
    keys_in,
    plain,
    read,
    write,
)
from cicd_core.testing.samples import in_lane as lane
from cicd_core_redis.handshake import SCHEMA
from tests.redis.fault_proxy import open_proxy
from tests.redis.stores import opened, refused, works
from tests.unit.store.test_forks import use_after_fork

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tests.redis.certificates import Certificate
    from tests.redis.engines import Server

#: redis-py types its clients for blocking and asynchronous callers at once.
Client = Any

pytestmark = pytest.mark.anyio


# ------------------------------------------------------------------------------------ the places


async def test_a_store_opens_over_tcp_and_over_a_unix_socket(server: Server) -> None:
    namespace = IDS.commit_id()
    async with opened(server.url, namespace=namespace) as store:
        await write(store, plain("by tcp"))
    async with opened(f"unix://{server.socket}", namespace=namespace) as store:
        assert (await read(store, "by tcp", "plain")).key == "by tcp"


async def test_the_path_of_the_url_is_the_database(server: Server) -> None:
    namespace = IDS.commit_id()
    place = f"redis://127.0.0.1:{server.port}"
    async with (
        opened(f"{place}/0", namespace=namespace) as zeroth,
        opened(f"{place}/7", namespace=namespace) as seventh,
        opened(place, namespace=namespace) as default,
    ):
        await write(seventh, plain("a"))
        assert await find(zeroth, "a", "plain") is None
        await write(zeroth, plain("b"))
        await read(default, "b", "plain")


async def test_unused_namespace_is_refused_and_left_unused_where_nothing_may_be_created(
    server: Server,
) -> None:
    namespace = IDS.commit_id()
    error = await refused(server.url, namespace=namespace, create=False)
    assert isinstance(error, InvalidInput)
    assert f"there is no data of the namespace '{namespace}'" in str(error)
    client: Client = redis.asyncio.Redis.from_url(server.url)
    async with client:
        assert await client.keys(f"*{namespace}*") == []
    async with opened(server.url, namespace=namespace) as store:
        await write(store, plain("a"))
    async with opened(server.url, namespace=namespace, create=False) as store:
        await read(store, "a", "plain")


@pytest.mark.thorough
async def test_a_database_that_the_server_has_not_is_refused(server: Server) -> None:
    error = await refused(f"redis://127.0.0.1:{server.port}/4711")
    assert isinstance(error, StoreError)
    assert "out of range" in str(error)


async def test_a_store_opens_over_tls(server: Server, certificate: Certificate) -> None:
    async with open_proxy(server.port, tls=certificate.serving) as proxy:
        async with opened(f"{proxy.url}?ssl_ca_certs={certificate.authority}") as store:
            assert await works(store)
        error = await refused(proxy.url, call_timeout=0.01)
        assert isinstance(error, StoreUnavailable)
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)


async def test_a_server_that_speaks_no_tls_is_told_from_one_that_does(server: Server) -> None:
    error = await refused(
        f"rediss://127.0.0.1:{server.port}/0", call_timeout=0.01, connect_timeout=0.05
    )
    assert isinstance(error, StoreUnavailable)
    assert "could not be reached" in str(error)


async def test_a_server_that_nobody_runs_is_unavailable() -> None:
    error = await refused("redis://127.0.0.1:1/0", call_timeout=0.01)
    assert isinstance(error, StoreUnavailable)
    assert "127.0.0.1:1 could not be reached" in str(error)


async def test_sentinels_and_nodes_that_nobody_runs_are_unavailable(
    certificate: Certificate,
) -> None:
    for url in (
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/cicd/0",
        f"redis+sentinel://127.0.0.1:1/cicd?ssl_ca_certs={certificate.authority}",
        "redis+cluster://127.0.0.1:1,127.0.0.1:2",
        f"redis+cluster://127.0.0.1:1?ssl_ca_certs={certificate.authority}",
    ):
        error = await refused(url, call_timeout=0.01)
        assert isinstance(error, StoreUnavailable), url
        assert "127.0.0.1:1" in str(error)


async def test_a_server_that_is_no_cluster_is_told(server: Server) -> None:
    error = await refused(f"redis+cluster://127.0.0.1:{server.port}", call_timeout=0.01)
    assert isinstance(error, StoreUnavailable)
    assert "cluster support disabled" in str(error)


# ----------------------------------------------------------------------------------- bad options


@pytest.mark.parametrize(
    ("url", "options", "field"),
    [
        ("redis://localhost/zero", {}, "url"),
        ("redis://localhost/-1", {}, "url"),
        ("redis://localhost:99999/0", {}, "url"),
        ("redis://one,two/0", {}, "url"),
        ("redis://localhost/0?colour=red", {}, "url"),
        ("redis+sentinel://localhost", {}, "url"),
        ("redis+sentinel://localhost/cicd/zero", {}, "url"),
        ("redis+cluster://localhost/3", {}, "url"),
        ("redis://localhost?namespace=a b", {}, "namespace"),
        ("redis://localhost?durability=often", {}, "durability"),
        ("redis://localhost", {"durability": 3}, "durability"),
        ("redis://localhost?replicas=2", {}, "replicas"),
        ("redis://localhost", {"replica_timeout": 2}, "replica_timeout"),
        ("redis://localhost?durability=replicated&replicas=some", {}, "replicas"),
        ("redis://localhost?durability=replicated", {"replicas": 0}, "replicas"),
        ("redis://localhost?durability=replicated", {"replicas": []}, "replicas"),
        ("redis://localhost?durability=replicated&replica_timeout=0", {}, "replica_timeout"),
        ("redis://localhost?call_timeout=soon", {}, "call_timeout"),
        ("redis://localhost?call_timeout=0", {}, "call_timeout"),
        ("redis://localhost", {"call_timeout": float("nan")}, "call_timeout"),
        ("redis://localhost", {"call_timeout": []}, "call_timeout"),
        ("redis://localhost?connect_timeout=inf", {}, "connect_timeout"),
        ("redis://localhost?connect_timeout=0", {}, "connect_timeout"),
        ("redis://localhost?log_retention=-1", {}, "log_retention"),
        ("redis://localhost?clock_skew=-1", {}, "clock_skew"),
        ("redis://localhost?ssl_ca_certs=ca.pem", {}, "ssl_ca_certs"),
        ("unix:///run/redis.sock?ssl_cert_reqs=none", {}, "ssl_cert_reqs"),
        ("redis://", {"client": "redis://localhost"}, "client"),
        ("redis://", {"client": redis.Redis()}, "client"),
        ("redis://localhost", {"clock": SystemClock()}, "clock"),
    ],
)
async def test_a_wrong_option_is_named(url: str, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_store(url, collections=COLLECTIONS, **options):
            pass
    assert caught.value.field == field


async def test_an_unknown_option_is_answered_with_those_that_there_are() -> None:
    error = await refused("redis://localhost/0?colour=red")
    assert "call_timeout, clock_skew, connect_timeout, durability, log_retention" in str(error)


async def test_what_is_given_takes_precedence_over_the_url(server: Server) -> None:
    async with opened(
        f"{server.url}?durability=always&call_timeout=0.001", call_timeout=5
    ) as store:
        assert await works(store)


def test_another_event_loop_than_that_of_asyncio_is_refused() -> None:
    async def enter() -> None:
        async with open_store("redis://localhost/0", collections=COLLECTIONS):
            pass

    with pytest.raises(UnsupportedCapability, match="needs asyncio"):
        anyio.run(enter, backend="trio")


# --------------------------------------------------------------------------- a client that is given


@pytest.fixture
async def client(server: Server) -> AsyncGenerator[Client, None]:
    """A client that its owner uses in his own way."""
    settings: dict[str, Any] = {"decode_responses": True, "protocol": 3, "socket_timeout": 1.0}
    client: Client = redis.asyncio.Redis.from_url(f"{server.url[:-1]}6", **settings)
    async with client:
        yield client


async def test_a_client_lends_its_settings_and_stays_its_owners(
    client: Client, server: Server
) -> None:
    await client.set("mine", "yes")
    namespace = IDS.commit_id()
    async with opened("redis://", client=client, namespace=namespace) as store:
        assert await works(store)
        assert await client.get("mine") == "yes"
    assert await client.get("mine") == "yes"
    assert await client.exists(f"cicd:{{{namespace}}}:meta")
    async with opened(f"{server.url[:-1]}6", namespace=namespace) as store:
        assert await keys_in(store, lane()) == ["kept"]


async def test_a_client_may_be_closed_before_the_store(client: Client) -> None:
    async with opened("redis://", client=client) as store:
        await client.aclose()
        assert await works(store)


async def test_a_client_of_a_unix_socket_will_do(server: Server) -> None:
    client: Client = redis.asyncio.Redis(unix_socket_path=str(server.socket))
    async with client, opened("unix://", client=client) as store:
        assert await works(store)


async def test_a_client_and_a_host_are_one_too_many(client: Client) -> None:
    error = await refused("redis://localhost/0", client=client)
    assert "only the scheme" in str(error)


# ------------------------------------------------------------------------------------ namespaces


async def test_every_key_begins_with_the_namespace_in_braces(start: Callable[..., Server]) -> None:
    server = start()
    async with opened(server.url, namespace="team/a") as store:
        await write(store, item("a", expires_at=2**52), plain("b"))
    assert {key[:14] for key in server.ask("KEYS", "*")} == {"cicd:{team/a}:"}


async def test_namespaces_are_apart(server: Server) -> None:
    first, second = IDS.commit_id(), IDS.commit_id()
    async with opened(f"{server.url}?namespace={first}", namespace=None) as store:
        await write(store, item("a"))
    async with opened(server.url, namespace=second) as store:
        assert await find(store, "a") is None
        assert await keys_in(store, lane()) == []
    async with opened(f"{server.url}?namespace={second}", namespace=first) as store:
        assert await keys_in(store, lane()) == ["a"]


async def test_a_newer_layout_is_left_as_it_is(server: Server) -> None:
    namespace = IDS.commit_id()
    key = f"cicd:{{{namespace}}}:meta"
    server.ask("HSET", key, "schema", SCHEMA + 1)
    error = await refused(server.url, namespace=namespace)
    assert isinstance(error, SchemaTooNew)
    assert (error.found, error.supported) == (SCHEMA + 1, SCHEMA)
    assert server.ask("HGETALL", key) == {"schema": str(SCHEMA + 1)}


async def test_an_older_layout_is_refused_and_left_as_it_is(server: Server) -> None:
    namespace = IDS.commit_id()
    key = f"cicd:{{{namespace}}}:meta"
    server.ask("HSET", key, "schema", SCHEMA - 1)
    error = await refused(server.url, namespace=namespace)
    assert isinstance(error, SchemaTooOld)
    assert (error.found, error.oldest) == (SCHEMA - 1, SCHEMA)
    assert server.ask("HGETALL", key) == {"schema": str(SCHEMA - 1)}


@pytest.mark.thorough
async def test_what_is_not_ours_is_left_as_it_is(server: Server) -> None:
    namespace = IDS.commit_id()
    key = f"cicd:{{{namespace}}}:meta"
    server.ask("HSET", key, "schema", "of somebody else")
    assert isinstance(await refused(server.url, namespace=namespace), UnrecognizedDatabase)
    server.ask("DEL", key)
    server.ask("SET", key, "of another kind")
    error = await refused(server.url, namespace=namespace)
    assert isinstance(error, StoreError)
    assert "WRONGTYPE" in str(error)


def test_forked_child_is_refused_and_leaves_the_connections_of_its_parent_alone(
    server: Server, namespace: str
) -> None:
    found = use_after_fork(f"{server.url}?namespace={namespace}&durability=none")
    assert found == "after, before, of a fork, of a worker\n"
