"""A Redis store opens where it is told to, or says what is wrong: nothing else, and no secrets."""

from __future__ import annotations

import re
import warnings
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
import redis
import redis.asyncio

from cicd_core.clock import SystemClock
from cicd_core.errors import (
    CicdError,
    ForeignDatabase,
    InvalidInput,
    NewerSchema,
    StoreError,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.store.records import Increment, Renewal
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import (
    COLLECTIONS,
    IDS,
    SECOND,
    claim,
    find,
    item,
    keys_in,
    numbers_in,
    plain,
    read,
    remove,
    watch,
    write,
)
from cicd_core.testing.samples import in_lane as lane
from cicd_core.testing.samples import told as happened
from cicd_core_redis import KeepsNothing
from tests.redis.fault_proxy import open_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from tests.redis.certificates import Certificate
    from tests.redis.engines import Engine, Server

PASSWORD: Final = "tr0ub4dor&3/="
QUOTED: Final = "tr0ub4dor%263%2F%3D"
ONE: Final = Increment("a|b", 1)
#: redis-py types its clients for blocking and asynchronous callers at once.
Client = Any

pytestmark = pytest.mark.anyio


def opened(url: str, **options: Any) -> AbstractAsyncContextManager[Store]:
    """Open a store of the suite's collections, by default in a namespace of its own."""
    words: dict[str, Any] = {"namespace": IDS.commit_id(), "durability": "none", **options}
    return open_store(url, collections=COLLECTIONS, **words)


async def works(store: Store) -> bool:
    """Whether a store keeps a record."""
    await write(store, item("kept"))
    return await keys_in(store, lane()) == ["kept"]


async def refused(url: str, **options: Any) -> CicdError:
    """Return the error that opening a store raises."""
    with pytest.raises(CicdError) as caught:
        async with opened(url, **options):
            pass
    return caught.value


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
        async with open_store("redis://localhost/0"):
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
    assert "its scheme alone" in str(error)


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
    server.ask("HSET", key, "schema", 2)
    error = await refused(server.url, namespace=namespace)
    assert isinstance(error, NewerSchema)
    assert (error.found, error.supported) == (2, 1)
    assert server.ask("HGETALL", key) == {"schema": "2"}


async def test_what_is_not_ours_is_left_as_it_is(server: Server) -> None:
    namespace = IDS.commit_id()
    key = f"cicd:{{{namespace}}}:meta"
    server.ask("HSET", key, "schema", "of somebody else")
    assert isinstance(await refused(server.url, namespace=namespace), ForeignDatabase)
    server.ask("DEL", key)
    server.ask("SET", key, "of another kind")
    error = await refused(server.url, namespace=namespace)
    assert isinstance(error, StoreError)
    assert "WRONGTYPE" in str(error)


# ------------------------------------------------------------------------------ what a server keeps


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
    ("settings", "durability", "what"),
    [
        ({}, "everysec", "no append-only file"),
        ({}, "always", "no append-only file"),
        ({"save": "3600 1"}, "everysec", "no append-only file"),
        ({"appendonly": True}, "always", "appendfsync 'everysec'"),
        ({"appendonly": True, "appendfsync": "no"}, "everysec", "appendfsync 'no'"),
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
                word = request.split("\r\n")[2]
                times = request.count("CLIENT") or 1
                await stream.send(answers.get(word, "+OK\r\n").encode() * times)

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
    words = {"INFO": f"${len(facts)}\r\n{facts}\r\n", "HGET": "$1\r\n1\r\n", "TIME": ":1\r\n"}
    async with answering(**words, EVALSHA="*1\r\n:1\r\n") as url, opened(url) as store:
        for _ in range(2):  # it serves on
            with pytest.raises(StoreError, match="could not be spoken to"):
                await store.get("plain", ["a"])


async def test_what_speaks_another_protocol_is_unavailable() -> None:
    async with answering(CLIENT="HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        error = await refused(url, call_timeout=0.01)
    assert isinstance(error, StoreUnavailable)


# ------------------------------------------------------------------------------------------ users


#: All that the store's user needs: the line of the documentation, but for the password.
MINIMAL: Final = (
    "ACL SETUSER cicd on >{password} resetkeys ~cicd:{{{namespace}}}:* "
    "resetchannels &cicd:{{{namespace}}}:* -@all +eval +evalsha +info +time "
    "+hget +hmget +hset +hsetnx +hincrby +hgetall +del +exists "
    "+zadd +zrem +zcard +zrange +zrangebyscore +sadd +srem +smembers "
    "+xadd +xlen +xrange +xtrim +xinfo|stream +spublish +ssubscribe +sunsubscribe"
)
COMMANDS: Final = tuple(word[1:] for word in MINIMAL.split() if word.startswith("+"))
#: What goes with one mode or one place alone.
CONFIRMING: Final = "+wait"


@pytest.fixture
def guarded(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine that lets nobody in without a password."""
    return start(engine, requirepass=PASSWORD)


def allow(server: Server, line: str, namespace: str, *more: str) -> str:
    """Make the store's user, and return the URL with which it opens a store."""
    server.ask("ACL", "DELUSER", "cicd")
    server.ask(*line.format(password=PASSWORD, namespace=namespace).split(), *more)
    return f"redis://cicd:{QUOTED}@127.0.0.1:{server.port}/0?namespace={namespace}"


async def use(store: Store) -> None:
    """Do everything that a store does."""
    now = (await store.now()).micros
    versions = await write(
        store, item("a"), plain("b", expires_at=now), events=[happened("a")], increments=[ONE]
    )
    woken = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            assert await store.wait([watch(lane("other"))], 30)
            woken.set()

        tasks.start_soon(wait)
        while not woken.is_set():
            await anyio.wait_all_tasks_blocked()
            await write(store, item(IDS.commit_id(), lane="other"))
    one = claim()
    assert [record.key for record in await store.claim(one)] == ["a"]
    assert [record.key for record in await store.claim(one)] == ["a"]
    renewal = Renewal(collection="items", key="a", claim_id=one.claim_id, duration=SECOND)
    assert None not in await store.renew([renewal])
    assert await keys_in(store, lane()) == []
    assert await numbers_in(store, lane()) == [0]
    assert (await store.counters("a|")).values == {"a|b": 1}
    await remove(store, "a", versions["a"] + 1)
    while (await store.read_log(None, 10)).entries:  # until a sweep has dropped them
        await write(store, plain(IDS.commit_id()))


async def test_the_rights_of_the_documentation_are_enough(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    url = allow(guarded, MINIMAL, "team-a")
    async with opened(url, namespace=None, log_retention=0) as store:
        await use(store)


def test_the_rights_of_the_documentation_are_those_of_the_scripts() -> None:
    folder = files("cicd_core_redis") / "lua"
    scripts = [each.read_text("utf-8") for each in folder.iterdir()]
    used = {name for text in scripts for name in re.findall(r"\bcall\('([A-Z]+)'", text)}
    checked = set(re.findall(r"\bneed\('([A-Z]+)'", (folder / "rights.lua").read_text("utf-8")))
    granted = {command.partition("|")[0].upper() for command in COMMANDS}
    assert used <= checked
    assert checked - {"WAIT"} == granted - {"INFO"}


@pytest.mark.parametrize("missing", COMMANDS)
async def test_no_right_of_the_documentation_is_one_too_many(
    missing: str, start: Callable[..., Server]
) -> None:
    server = start()
    error = await refused(allow(server, MINIMAL, "a", f"-{missing}"), namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert missing.partition("|")[0] in str(error).lower()
    assert "Run on Redis" in str(error)


@pytest.mark.parametrize("less", ["resetkeys", "resetchannels", "resetkeys ~cicd:{b}:*"])
async def test_a_user_of_other_keys_or_channels_is_refused_and_writes_nothing(
    less: str, guarded: Server
) -> None:
    error = await refused(allow(guarded, MINIMAL, "a", *less.split()), namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert guarded.ask("DBSIZE") == 0


async def test_a_user_without_rights_is_refused(guarded: Server) -> None:
    url = allow(guarded, "ACL SETUSER cicd on >{password} ~* &* -@all", "a")
    error = await refused(url, namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert "forbids" in str(error)


async def test_a_user_who_may_do_everything_to_the_keys_and_hears_no_channel_is_refused(
    guarded: Server,
) -> None:
    url = allow(guarded, "ACL SETUSER cicd on >{password} ~cicd:* resetchannels +@all", "a")
    error = await refused(url, namespace=None)
    assert isinstance(error, UnsupportedCapability)
    assert "SPUBLISH, SSUBSCRIBE" in str(error)


async def test_who_has_writes_confirmed_needs_one_right_more(start: Callable[..., Server]) -> None:
    server = start()
    url = allow(server, MINIMAL, "a")
    error = await refused(url, namespace=None, durability="replicated")
    assert "WAIT" in str(error)
    url = allow(server, f"{MINIMAL} {CONFIRMING}", "a")
    async with opened(url, namespace=None, durability="replicated"):
        pass


# ---------------------------------------------------------------------------------------- secrets


def told(error: BaseException | None) -> Iterator[str]:
    """Yield what an error says, and what those say that stand behind it."""
    while error is not None:
        yield str(error)
        yield repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "user", [f"default:{QUOTED}x", f":{QUOTED}x", f"nobody:{QUOTED}", "", "default:"]
)
async def test_wrong_credentials_are_refused_at_once(user: str, guarded: Server) -> None:
    error = await refused(f"redis://{user}@127.0.0.1:{guarded.port}/0", call_timeout=3600)
    assert isinstance(error, UnsupportedCapability)
    assert "refused the credentials" in str(error)


async def test_credentials_that_are_not_asked_for_are_refused(server: Server) -> None:
    error = await refused(f"redis://:{QUOTED}@127.0.0.1:{server.port}/0")
    assert isinstance(error, UnsupportedCapability)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:{0}@127.0.0.1:1/0",
        "redis://me:{0}@127.0.0.1:99999/0",
        "redis://me:{0}@one,two/0",
        "redis://me:{0}@localhost/zero",
        "redis://me:{0}@localhost/0?password={0}",
        "redis://me:{0}@localhost/0#fragment",
        "rediss://me:{0}@127.0.0.1:1/0",
        "unix://me:{0}@/no/such/socket",
        "redis+sentinel://me:{0}@127.0.0.1:1",
        "redis+sentinel://me:{0}@127.0.0.1:1/cicd",
        "redis+cluster://me:{0}@127.0.0.1:1/3",
        "redis+cluster://me:{0}@127.0.0.1:1",
    ],
)
async def test_no_error_tells_a_password(url: str) -> None:
    error = await refused(url.format(QUOTED), call_timeout=0.01)
    for text in told(error):
        assert PASSWORD not in text
        assert QUOTED not in text


async def test_no_refusal_of_a_server_tells_a_password(guarded: Server) -> None:
    url = f"redis://me:{QUOTED}@127.0.0.1:{guarded.port}/0"
    for text in told(await refused(url)):
        assert PASSWORD not in text
        assert QUOTED not in text
