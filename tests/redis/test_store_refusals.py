"""What a server refuses: each refusal has its error, nothing is half written, and it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
import redis
from anyio import to_thread

from cicd_core.errors import StoreFull, StoreReadOnly, StoreUnavailable
from cicd_core.store.records import Committed, Delete, Increment, Renewal
from cicd_core.testing.samples import (
    IDS,
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    numbers_in,
    read,
    watch,
    whole_log,
    write,
)
from tests.patience import PATIENCE
from tests.redis.stores import (
    ONE,
    insist,
    number_of_events,
    one_commit,
    opened,
    opened_hasty,
    sum_of_ones,
)
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.errors import StoreError
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine, of this test's own."""
    return start(engine)


@pytest.fixture
async def store(server: Server, namespace: str) -> AsyncGenerator[Store, None]:
    """A store with a record in its lane, one that is held, and an event."""
    async with opened(server.url, namespace=namespace, call_timeout=PATIENCE) as store:
        await write(store, item("held"), events=[event_of("held")], increments=[ONE])
        await store.claim(HELD)
        await write(store, item("ready"))
        yield store


HELD = claim()
RENEWAL = Renewal(collection="items", key="held", claim_id=HELD.claim_id, duration=60 * SECOND)


def contents(server: Server) -> dict[Any, Any]:
    """Return all keys of a server, with what it would save of each."""
    client: Any
    with server.client() as client:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        return {key: client.dump(key) for key in client.keys("cicd:*")}


async def writes_are_refused(store: Store, server: Server, error: type[StoreError]) -> bool:
    """Whether each verb that writes fails with an error, and leaves all as it was."""
    before = contents(server)
    with pytest.raises(error, match="nothing was written"):
        await apply(store, one_commit("new"))
    with pytest.raises(error, match="nothing was written"):
        await store.claim(claim())
    with pytest.raises(error, match="nothing was written"):
        await store.renew([RENEWAL])
    return contents(server) == before


async def reads_work(store: Store) -> bool:
    """Whether each verb that reads answers as it did."""
    assert (await read(store, "held")).lease is not None
    assert await keys_in(store, in_lane()) == ["ready"]
    assert await numbers_in(store, in_lane()) == [1]
    assert await sum_of_ones(store) == len(await whole_log(store)) == 1
    assert await store.wait([watch(in_lane())], 0)
    return (await store.now()).micros > 0


async def goes_on(store: Store) -> bool:
    """Whether each verb that writes works."""
    assert isinstance(await apply(store, one_commit("new")), Committed)
    assert [record.key for record in await store.claim(claim())] == ["new"]
    return None not in await store.renew([RENEWAL])


# ------------------------------------------------------------------------------------- no memory


def fill(server: Server) -> None:
    """Let a server believe that its memory is full."""
    server.ask("CONFIG", "SET", "maxmemory", 1)


def empty(server: Server) -> None:
    """Give a server memory again."""
    server.ask("CONFIG", "SET", "maxmemory", 0)


async def test_a_full_server_refuses_creations_alone_and_answers_reads(
    server: Server, store: Store
) -> None:
    created = commit(item("created"), events=[event_of("created")])
    (answer,) = await store.commit([created])
    fill(server)
    before = contents(server)
    with pytest.raises(StoreFull, match="nothing was written"):
        await apply(store, one_commit("new"))
    assert contents(server) == before
    assert await apply(store, created) == answer  # a repetition creates nothing
    assert await keys_in(store, in_lane()) == ["created", "ready"]
    await ends_what_was_begun(store)
    empty(server)
    assert isinstance(await apply(store, one_commit("new")), Committed)


async def ends_what_was_begun(store: Store) -> None:
    """Renew a lease, claim what is there, and write what became of it, with its events."""
    assert None not in await store.renew([RENEWAL])
    takes = claim()
    (taken,) = await store.claim(takes)
    assert [record.key for record in await store.claim(takes)] == [taken.key] == ["created"]
    ends = commit(
        item("created", lane=None, expected=taken.version, lease=None, body=b"ended"),
        events=[event_of("created")],
        increments=[Increment("ended|all", 1)],
    )
    for _ in range(2):
        assert isinstance(await apply(store, ends), Committed)
    assert (await store.counters("ended|")).values == {"ended|all": 1}
    await write(store, item("held", expected=(await read(store, "held")).version, body=b"alive"))


async def test_of_many_commits_that_go_together_a_full_server_takes_none(
    server: Server, store: Store
) -> None:
    fill(server)
    before = contents(server)
    refused: list[Commit] = []

    async def ask(one: Commit) -> None:
        with pytest.raises(StoreFull):
            await apply(store, one)
        refused.append(one)

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(ask, one_commit(f"{number:02}"))
    assert contents(server) == before
    empty(server)
    assert all(isinstance(answer, Committed) for answer in await store.commit(refused))
    assert await sum_of_ones(store) == await number_of_events(store) == 101


@pytest.mark.parametrize("removed_first", [True, False])
async def test_a_commit_that_also_removes_is_whole_or_not_there_on_a_full_server(
    server: Server, store: Store, *, removed_first: bool
) -> None:
    (version,) = (await write(store, item("old"))).values()
    fill(server)
    removal = Delete(collection="items", key="old", expected=version)
    writes = (removal, item("new")) if removed_first else (item("new"), removal)
    before = contents(server)
    try:
        await apply(store, commit(*writes, events=[event_of("new")]))
    except StoreFull:
        assert contents(server) == before
    else:
        assert await keys_in(store, in_lane()) == ["new", "ready"]
        assert await number_of_events(store) == 2


async def test_what_ran_out_is_dropped_from_a_full_server(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 3600.0)
    async with opened(server.url, namespace=namespace, log_retention=0.0) as store:
        soon = (await store.now()).micros + SECOND // 20
        await store.commit(
            [
                commit(item(f"{number}", expires_at=soon), events=[event_of(f"{number}")])
                for number in range(300)
            ]
        )
        fill(server)
        while (await store.now()).micros <= soon:
            await anyio.lowlevel.checkpoint()
        monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
        with anyio.fail_after(PATIENCE):
            while server.ask("KEYS", "cicd:*:r:*") or server.ask("XLEN", log_of(namespace)):
                with pytest.raises(StoreFull):
                    await apply(store, one_commit("new"))
        assert await numbers_in(store, in_lane()) == [0]
        empty(server)
        assert isinstance(await apply(store, one_commit("new")), Committed)


def log_of(namespace: str) -> str:
    """Return the key of a namespace's log."""
    return f"cicd:{{{namespace}}}:log"


async def test_a_server_that_fills_up_keeps_what_it_acknowledged_and_nothing_else(
    server: Server, store: Store
) -> None:
    used = int(server.info("memory")["used_memory"])
    server.ask("CONFIG", "SET", "maxmemory", used + 1_000_000)
    kept: list[str] = []
    full = False

    async def fill_up(caller: int) -> None:
        nonlocal full
        number = 0
        while not full:
            key = f"{caller}.{number}"
            number += 1
            try:
                await write(
                    store, item(key, body=b"x" * 5_000), events=[event_of(key)], increments=[ONE]
                )
                kept.append(key)
            except StoreFull:
                full = True

    async with anyio.create_task_group() as tasks:
        for caller in range(8):
            tasks.start_soon(fill_up, caller)
    assert sorted(await keys_in(store, in_lane())) == sorted([*kept, "ready"])
    assert await sum_of_ones(store) == await number_of_events(store) == len(kept) + 1


# -------------------------------------------------------------------------------- no writes now


async def test_a_replica_takes_no_writes_answers_reads_and_goes_on_as_a_primary(
    server: Server, store: Store
) -> None:
    server.ask("REPLICAOF", "127.0.0.1", 1)
    assert await writes_are_refused(store, server, StoreReadOnly)
    assert await reads_work(store)
    server.ask("REPLICAOF", "NO", "ONE")
    assert await goes_on(store)


async def test_a_replica_of_a_store_opens_and_one_of_nothing_does_not(
    server: Server, store: Store, namespace: str
) -> None:
    server.ask("REPLICAOF", "127.0.0.1", 1)
    async with opened(server.url, namespace=namespace) as another:
        assert await reads_work(another)
    with pytest.raises(StoreReadOnly, match="use the URL of the primary"):
        async with opened(server.url):
            pass
    assert await reads_work(store)


async def test_a_replica_that_lost_its_primary_cannot_answer_and_is_waited_for(
    server: Server, store: Store, namespace: str
) -> None:
    server.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    async with opened_hasty(server.url, namespace=namespace) as hasty:
        await insist(lambda: read(hasty, "held"))
        server.ask("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(StoreUnavailable):
            await read(hasty, "held")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, store, "held")
        tasks.start_soon(apply, store, one_commit("new"))
        await anyio.wait_all_tasks_blocked()
        server.ask("REPLICAOF", "NO", "ONE")
    assert await keys_in(store, in_lane()) == ["new", "ready"]


async def test_a_server_that_cannot_write_to_its_disk_takes_no_writes(
    engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, save="3600 100000")
    async with opened(server.url) as store:
        await write(store, item("held"), events=[event_of("held")], increments=[ONE])
        await store.claim(HELD)
        await write(store, item("ready"))
        (server.folder / "dump.rdb").mkdir()
        save(server, "err")
        assert await writes_are_refused(store, server, StoreReadOnly)
        assert await reads_work(store)
        (server.folder / "dump.rdb").rmdir()
        save(server, "ok")
        assert await goes_on(store)


def save(server: Server, end: str) -> None:
    """Let a server save, and wait until that has ended so."""
    server.ask("BGSAVE")
    until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == end)


async def test_a_server_that_wants_more_replicas_takes_no_writes_for_now(
    server: Server, store: Store
) -> None:
    server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    assert await writes_are_refused(store, server, StoreUnavailable)
    assert await reads_work(store)
    server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    assert await goes_on(store)


async def test_a_server_that_is_busy_with_somebodys_script_cannot_answer_now(
    server: Server, store: Store
) -> None:
    server.ask("CONFIG", "SET", "busy-reply-threshold", 1)

    def run_for_ever() -> None:
        with pytest.raises(redis.ResponseError):
            server.ask("EVAL", "while true do end", 0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, run_for_ever)
        await to_thread.run_sync(until, lambda: is_busy(server))
        with pytest.raises(StoreUnavailable, match="nothing was written"):
            await apply(store, one_commit("new"))
        server.ask("SCRIPT", "KILL")
    assert await goes_on(store)


def is_busy(server: Server) -> bool:
    """Whether a server runs a script for longer than it should."""
    try:
        return not server.ask("PING")
    except redis.ResponseError:
        return True
