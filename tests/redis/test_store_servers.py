"""What a server must be and keep for a store to open on it."""

from __future__ import annotations

import re
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.errors import (
    StoreError,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.testing.samples import (
    COLLECTIONS,
    item,
    plain,
    write,
)
from cicd_core_redis import KeepsNothing
from cicd_core_redis.handshake import SCHEMA
from cicd_core_redis.indexing import indexes_of
from tests.redis.sentinels import open_replicated
from tests.redis.stores import opened, refused, works

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio


def warned(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return the warnings that a server keeps nothing."""
    return [str(each.message) for each in caught if each.category is KeepsNothing]


@pytest.mark.parametrize(
    ("settings", "durability", "warns"),
    [
        ({}, None, True),
        ({}, "none", False),
        ({"save": "3600 1"}, None, False),
        ({"appendonly": True}, None, False),
        ({"appendonly": True}, "everysec", False),
        ({"appendonly": True, "appendfsync": "always"}, "everysec", False),
        ({"appendonly": True, "appendfsync": "always"}, "always", False),
    ],
)
async def test_a_server_that_keeps_nothing_is_warned_of_unless_that_was_asked_for(
    start: Callable[..., Server], settings: dict[str, Any], durability: str | None, warns: bool
) -> None:
    server = start(**settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with opened(server.url, durability=durability) as store:
            assert await works(store)
    assert bool(warned(caught)) == warns


@pytest.mark.parametrize(
    ("settings", "warns"),
    [({}, True), ({"save": "3600 1"}, True), ({"appendonly": True}, False)],
)
async def test_a_primary_that_may_come_back_with_less_than_was_confirmed_is_warned_of(
    settings: dict[str, Any], warns: bool
) -> None:
    with open_replicated(**settings) as servers, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with opened(servers.primary.url, durability="replicated") as store:
            assert await works(store)
    assert [("on the replicas too" in each) for each in warned(caught)] == [True] * warns


@pytest.mark.parametrize(
    ("settings", "durability", "what"),
    [
        ({}, "everysec", "no append-only file"),
        ({}, "always", "no append-only file"),
        ({"save": "3600 1"}, "everysec", "no append-only file"),
        ({"appendonly": True}, "always", "appendfsync 'everysec'"),
        ({"appendonly": True, "appendfsync": "no"}, "everysec", "appendfsync 'no'"),
        (
            {"appendonly": True, "no_appendfsync_on_rewrite": True},
            "everysec",
            "no-appendfsync-on-rewrite 'yes'",
        ),
        (
            {
                "appendonly": True,
                "appendfsync": "always",
                "no_appendfsync_on_rewrite": True,
            },
            "always",
            "set no-appendfsync-on-rewrite to no",
        ),
    ],
)
async def test_a_server_that_keeps_less_than_was_asked_for_is_refused(
    start: Callable[..., Server], settings: dict[str, Any], durability: str, what: str
) -> None:
    error = await refused(start(**settings).url, durability=durability)
    assert isinstance(error, UnsupportedCapability)
    assert what in str(error)


@pytest.mark.parametrize(
    ("policy", "maxmemory", "is_refused"),
    [
        ("allkeys-lru", "64mb", True),
        ("allkeys-random", "64mb", True),
        ("allkeys-lru", 0, False),
        ("volatile-lru", "64mb", False),  # nothing of ours has a time to live
        ("noeviction", "64mb", False),
    ],
)
async def test_a_server_that_throws_our_keys_away_is_refused(
    start: Callable[..., Server], policy: str, maxmemory: str | int, is_refused: bool
) -> None:
    server = start(maxmemory_policy=policy, maxmemory=maxmemory)
    if is_refused:
        error = await refused(server.url)
        assert isinstance(error, UnsupportedCapability)
        assert f"maxmemory-policy {policy}" in str(error)
        return
    async with opened(server.url) as store:
        assert await works(store)


async def test_nothing_of_ours_has_a_time_to_live(start: Callable[..., Server]) -> None:
    server = start()
    async with opened(server.url) as store:
        await write(store, item("a", expires_at=2**52), plain("b"))
    assert {server.ask("TTL", key) for key in server.ask("KEYS", "*")} == {-1}


@asynccontextmanager
async def answering(**answers: str) -> AsyncGenerator[str, None]:
    """Run something that answers each command by its first word, and give its URL."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            while True:
                request = (await stream.receive()).decode()
                words = re.findall(r"\*\d+\r\n\$\d+\r\n(\w+)", request)
                await stream.send("".join(answers.get(each, "+OK\r\n") for each in words).encode())

    async def live(stream: anyio.abc.SocketStream) -> None:
        try:
            await serve(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return  # the client has gone

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, live)
        place = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
        yield f"redis://127.0.0.1:{place}/0"
        tasks.cancel_scope.cancel()


async def test_a_server_that_is_too_old_is_refused() -> None:
    facts = "redis_version:6.2.14\r\nmaxmemory_policy:noeviction"
    async with answering(INFO=f"${len(facts)}\r\n{facts}\r\n") as url:
        error = await refused(url)
    assert isinstance(error, UnsupportedCapability)
    assert "is Redis 6.2.14: 7.0 or newer is needed" in str(error)


async def test_what_answers_as_no_server_does_fails_the_call_and_not_the_store() -> None:
    facts = "redis_version:7.0.0"
    words = {"INFO": f"${len(facts)}\r\n{facts}\r\n", "HGET": f"$1\r\n{SCHEMA}\r\n"}
    empty = "*1\r\n$0\r\n\r\n"
    fields = [word for field, _, _ in indexes_of(COLLECTIONS) for word in (field, "1")]
    known = "".join(f"${len(word)}\r\n{word}\r\n" for word in fields)
    words |= {"HGETALL": f"*{len(fields)}\r\n{known}", "EVAL": empty, "EVALSHA": empty}
    async with answering(**words) as url, opened(url) as store:
        for _ in range(2):  # it serves on
            with pytest.raises(StoreError, match="cannot talk to"):
                await store.get("plain", ["a"])


async def test_what_answers_nonsense_when_a_store_is_opened_is_refused_as_no_server() -> None:
    facts = "redis_version:7.0.0"
    words = {"INFO": f"${len(facts)}\r\n{facts}\r\n", "HGET": f"$1\r\n{SCHEMA}\r\n"}
    async with answering(**words) as url:
        error = await refused(url)
    assert isinstance(error, StoreError)
    assert "cannot talk to" in str(error)


async def test_what_speaks_another_protocol_is_unavailable() -> None:
    async with answering(CLIENT="HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        error = await refused(url, call_timeout=0.01)
    assert isinstance(error, StoreUnavailable)
