"""The proxy does to redis-py what a test tells it to, to exactly the exchange that it names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.redis.fault_proxy import open_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.redis.certificates import Certificate
    from tests.redis.engines import Server
    from tests.redis.fault_proxy import FaultProxy

#: Its own annotations are those of the blocking client and of this one at once.
Client = Any


pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncGenerator[Client, None]:
    """Open a client with one connection, which tries nothing twice."""
    settings: dict[str, Any] = {
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
    } | options
    client: Client = redis.asyncio.Redis.from_url(url, single_connection_client=True, **settings)
    async with client:
        yield client


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncGenerator[Client, None]:
    async with opened(proxy.url) as client:
        yield client


@pytest.mark.parametrize("protocol", [2, 3])
async def test_without_a_fault_everything_passes(proxy: FaultProxy, protocol: int) -> None:
    async with opened(proxy.url, protocol=protocol) as client:
        large = b"x" * 300_000
        await client.set("proxy:large", large)
        assert await client.get("proxy:large") == large
        pipeline = client.pipeline(transaction=True)
        pipeline.incrby("proxy:sum", 0).hgetall("proxy:none").echo("heard")
        assert (await pipeline.execute())[1:] == [{}, b"heard"]
        assert await client.eval("return {1, {'two', false}, {}}", 0) == [1, [b"two", None], []]
    assert proxy.requests["EVAL"] == 1


@pytest.mark.parametrize("protocol", [2, 3])
async def test_messages_count_as_no_answers(proxy: FaultProxy, protocol: int) -> None:
    async with opened(proxy.url, protocol=protocol) as client:
        channels = client.pubsub()
        await channels.subscribe("proxy:one", "proxy:two")
        await client.publish("proxy:two", "hello")
        fault = proxy.cut_answer("PING")
        seen = [await channels.get_message(timeout=None) for _ in range(3)]
        assert [each["type"] for each in seen] == ["subscribe", "subscribe", "message"]
        await channels.ping()
        with pytest.raises(redis.ConnectionError):
            await channels.get_message(timeout=None)
        assert fault.has_struck
        await channels.aclose()


@pytest.mark.parametrize("keep", [0, 1, 3])
async def test_an_answer_that_is_cut_was_given_for_a_request_that_took_effect(
    proxy: FaultProxy, client: Client, server: Server, keep: int
) -> None:
    server.ask("DEL", "proxy:count")
    fault = proxy.cut_answer("INCRBY", skip=2, keep=keep)
    assert [await client.incr("proxy:count") for _ in range(2)] == [1, 2]
    with pytest.raises(redis.ConnectionError):
        await client.incr("proxy:count")
    assert fault.has_struck
    assert server.ask("GET", "proxy:count") == "3"
    assert await client.incr("proxy:count") == 4
    assert proxy.accepted == 2


async def test_a_request_that_is_cut_takes_no_effect(
    proxy: FaultProxy, client: Client, server: Server
) -> None:
    server.ask("SET", "proxy:cut", "before")
    proxy.cut_request("SET", keep=20)
    with pytest.raises(redis.ConnectionError):
        await client.set("proxy:cut", "after")
    assert server.ask("GET", "proxy:cut") == "before"
    await client.set("proxy:cut", "after")
    assert server.ask("GET", "proxy:cut") == "after"


async def test_a_pipeline_is_cut_at_the_answer_that_is_named(
    proxy: FaultProxy, client: Client, server: Server
) -> None:
    server.ask("DEL", "proxy:many")
    proxy.cut_answer("RPUSH", skip=3, keep=2)
    pipeline = client.pipeline(transaction=False)
    for number in range(10):
        pipeline.rpush("proxy:many", number)
    with pytest.raises(redis.ConnectionError):
        await pipeline.execute()
    assert server.ask("LLEN", "proxy:many") >= 4


async def test_a_swallowed_answer_takes_the_later_ones_with_it(
    proxy: FaultProxy, client: Client, server: Server
) -> None:
    await client.ping()
    server.ask("DEL", "proxy:swallowed")
    fault = proxy.swallow_answers("INCRBY")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.incr, "proxy:swallowed")
        await fault.struck()
        tasks.cancel_scope.cancel()
    assert server.ask("GET", "proxy:swallowed") == "1"
    async with opened(proxy.url) as another:
        assert await another.incr("proxy:swallowed") == 2


async def test_an_answer_is_held_until_it_is_released(
    proxy: FaultProxy, client: Client, server: Server
) -> None:
    fault = proxy.hold_answers("ECHO")
    heard: list[object] = []

    async def shout(text: str) -> None:
        heard.append(await client.echo(text))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shout, "held")
        await fault.struck()
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        fault.release()
    assert heard == [b"held"]


async def test_a_delayed_answer_is_late_and_right(proxy: FaultProxy, client: Client) -> None:
    await client.ping()
    proxy.delay(0.05)
    started = anyio.current_time()
    assert await client.echo("late") == b"late"
    assert anyio.current_time() - started > 0.04


async def test_what_waits_in_a_black_hole_passes_when_it_heals(
    proxy: FaultProxy, client: Client, server: Server
) -> None:
    await client.set("proxy:hole", "before")
    proxy.black_hole()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.set, "proxy:hole", "after")
        await anyio.wait_all_tasks_blocked()
        assert server.ask("GET", "proxy:hole") == "before"
        with pytest.raises(redis.TimeoutError):
            async with opened(proxy.url, socket_timeout=0.05):
                pass
        await proxy.heal()
    assert server.ask("GET", "proxy:hole") == "after"


async def test_connects_are_refused_and_open_connections_stay(
    proxy: FaultProxy, client: Client
) -> None:
    await client.ping()
    await proxy.refuse()
    with pytest.raises(redis.ConnectionError, match="Connect call failed"):
        async with opened(proxy.url):
            pass
    assert await client.ping()
    await proxy.heal()
    async with opened(proxy.url) as another:
        assert await another.ping()


async def test_all_connections_are_cut_at_once(proxy: FaultProxy, client: Client) -> None:
    async with opened(proxy.url) as another:
        await client.ping()
        await another.ping()
        assert proxy.connections == 2
        await proxy.cut_all()
        assert proxy.connections == 0
        for each in (client, another):
            with pytest.raises(redis.ConnectionError):
                await each.ping()
            assert await each.ping()


async def test_a_server_that_is_gone_closes_the_connection(start: Any) -> None:
    server = start()
    async with open_proxy(server.port) as proxy, opened(proxy.url) as client:
        await client.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            await client.ping()
        server.start()
        assert await client.ping()


async def test_clients_may_speak_tls_to_a_server_that_does_not(
    server: Server, certificate: Certificate
) -> None:
    async with open_proxy(server.port, tls=certificate.serving) as proxy:
        async with opened(proxy.url, ssl_ca_certs=str(certificate.authority)) as client:
            assert await client.echo("sealed") == b"sealed"
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            async with opened(proxy.url):
                pass
