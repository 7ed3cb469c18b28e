"""What ran out goes away in steps, and no script pays for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import pytest
from attrs import frozen

from cicd_core.store.records import Increment, Query
from cicd_core.testing.samples import (
    IDS,
    commit,
    event_of,
    item,
    note,
    numbers_in,
    on_shelf,
    place_of,
    plain,
    write,
)
from tests.patience import PATIENCE
from tests.redis.stores import number_of_events, opened
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio

#: How many records run out around those that do not.
GONE: Final = 2400
#: How many records one script may pass by.
AT_ONCE: Final = 1000


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of this test's own, which counts what is asked of it."""
    return start(engine)


@pytest.fixture
async def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Store, None]:
    """A store on which nobody swept for long: of a shelf with thousands of notes three are left."""
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 3600.0)
    async with opened(server.url) as store:
        now = (await store.now()).micros
        gone = [note(f"{at % 4}{at:04}", expires_at=now) for at in range(GONE)]
        await store.commit([commit(each) for each in gone])
        await write(store, note("1"), note("2"), note("3"))
        yield store


@frozen
class Spent:
    """What a server did since it was asked last."""

    scripts: int
    reads: int


def spent(server: Server) -> Spent:
    said: dict[str, Any] = server.info("commandstats")
    server.ask("CONFIG", "RESETSTAT")
    return Spent(
        *(said.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "get"))
    )


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_passes_by_what_ran_out_in_several_scripts(
    server: Server, store: Store, *, descending: bool
) -> None:
    await store.page(Query(partition=on_shelf("empty"), limit=1))  # the server knows the script
    spent(server)
    page = await store.page(Query(partition=on_shelf(), limit=10, descending=descending))
    assert sorted(record.key for record in page.records) == ["1", "2", "3"]
    found = spent(server)
    assert 3 <= found.scripts <= 4
    assert found.reads == GONE + 3


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_that_follow_one_another_show_what_is_left_once(
    store: Store, *, descending: bool
) -> None:
    keys: list[str] = []
    bounds: dict[str, str] = {}
    more = True
    while more:
        query = Query(partition=on_shelf(), limit=1, descending=descending, **bounds)
        page = await store.page(query)
        keys += [record.key for record in page.records]
        assert len(keys) == len(set(keys))
        bounds = {"before" if descending else "after": place_of(keys[-1])}
        more = page.more
    assert keys == (["3", "2", "1"] if descending else ["1", "2", "3"])


async def test_a_page_reads_no_more_than_it_shows_where_nothing_ran_out(
    server: Server, store: Store
) -> None:
    await store.commit([commit(note(f"{at:04}", shelf="long")) for at in range(500)])
    await store.page(Query(partition=on_shelf("empty"), limit=1))
    spent(server)
    page = await store.page(Query(partition=on_shelf("long"), limit=50))
    assert (len(page.records), page.more) == (50, True)
    assert spent(server) == Spent(scripts=1, reads=51)


async def test_a_count_drops_what_ran_out_in_several_scripts(server: Server, store: Store) -> None:
    await numbers_in(store, on_shelf("empty"))
    spent(server)
    assert await numbers_in(store, on_shelf()) == [3]
    assert spent(server).scripts <= GONE // AT_ONCE + 1
    assert len(server.ask("KEYS", "cicd:*:r:*")) == 3


async def test_sweeps_leave_nothing_of_what_ran_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = IDS.commit_id()
    prefix = f"cicd:{{{namespace}}}:"
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    async with opened(server.url, namespace=namespace, log_retention=0.0) as store:
        now = (await store.now()).micros
        keys = [f"{number:03}" for number in range(500)]
        await store.commit(
            [commit(item(key, expires_at=now), events=[event_of(key)]) for key in keys]
        )
        with anyio.fail_after(PATIENCE):
            while server.ask("EXISTS", f"{prefix}expiring") or await number_of_events(store):
                await write(store, plain(IDS.commit_id(), expires_at=now))
    left = {key.removeprefix(prefix) for key in server.ask("KEYS", f"{prefix}*")}
    assert left == {"meta", "log"}


async def test_counters_of_past_days_are_dropped_and_others_stay(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    names = ["wait/20200101|p|n", "ended/20200101|0915|p|failed", "wait/20990101|p|n", "plain|n"]
    namespace = IDS.commit_id()
    async with opened(server.url, namespace=namespace) as store:
        await write(store, plain("a"), increments=[Increment(name) for name in names])
    async with opened(server.url, namespace=namespace) as store:
        await write(store, plain("b"))  # which sweeps, beside
        old = f"cicd:{{{namespace}}}:n:wait/20200101"
        await anyio.to_thread.run_sync(until, lambda: not server.ask("EXISTS", old))
        assert set((await store.counters("")).values) == {"wait/20990101|p|n", "plain|n"}
