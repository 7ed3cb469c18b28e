"""Calls of one turn of the event loop share scripts, and no script holds others up for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core.store.records import Renewal
from cicd_core.testing.samples import SECOND, apply, claim, commit, item, plain, read, write
from tests.redis.stores import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from cicd_core.store.contract import Store
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

#: How many callers ask at once, and how many of their questions one script answers at most.
CALLERS: Final = 64
IN_ONE_SCRIPT: Final = 32


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """A server of this test's own, which counts what is asked of it."""
    return start()


@pytest.fixture
async def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Store, None]:
    """A store whose scripts the server knows, with enough records for everybody."""
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 3600.0)
    async with opened(server.url) as store:
        await store.commit([commit(item(f"{number:05}")) for number in range(4 * CALLERS)])
        (held,) = await store.claim(HELD)
        await store.renew([renewal(held.key)])
        await read(store, held.key)
        yield store


HELD: Final = claim()


def renewal(key: str) -> Renewal:
    return Renewal(collection="items", key=key, claim_id=HELD.claim_id, duration=60 * SECOND)


async def scripts_for(server: Server, ask: Callable[[int], Coroutine[Any, Any, None]]) -> int:
    """Return how many scripts a server runs when everybody asks at once."""
    server.ask("CONFIG", "RESETSTAT")
    async with anyio.create_task_group() as tasks:
        for caller in range(CALLERS):
            tasks.start_soon(ask, caller)
    said: dict[str, Any] = server.info("commandstats")
    return int(said["cmdstat_evalsha"]["calls"])


async def test_calls_that_are_made_at_once_share_a_script(server: Server, store: Store) -> None:
    expected = CALLERS // IN_ONE_SCRIPT

    async def write(caller: int) -> None:
        await apply(store, commit(plain(f"{caller}")))

    async def take(_: int) -> None:
        assert len(await store.claim(claim())) == 1

    async def keep(_: int) -> None:
        assert await store.renew([renewal("00000")]) != [None]

    async def look(_: int) -> None:
        await read(store, "00000")

    assert [await scripts_for(server, each) for each in (write, take, keep, look)] == [expected] * 4


async def test_a_list_of_commits_and_one_of_renewals_share_scripts(
    server: Server, store: Store
) -> None:
    server.ask("CONFIG", "RESETSTAT")
    await store.commit([commit(plain(f"{number}")) for number in range(CALLERS)])
    await store.renew([renewal("00000")] * CALLERS)
    said: dict[str, Any] = server.info("commandstats")
    assert said["cmdstat_evalsha"]["calls"] == 2 * CALLERS // IN_ONE_SCRIPT


async def test_calls_that_are_about_many_records_have_a_script_of_their_own(
    server: Server, store: Store
) -> None:
    keys = [f"{number:05}" for number in range(4 * CALLERS)]

    async def take(_: int) -> None:
        await store.claim(claim(limit=200))

    async def look(_: int) -> None:
        assert len(await store.get("items", keys)) == len(keys)

    async def write(caller: int) -> None:
        await apply(store, commit(*(plain(f"{caller}.{number}") for number in range(25))))

    assert await scripts_for(server, take) == CALLERS
    assert await scripts_for(server, look) == CALLERS
    assert await scripts_for(server, write) == 7  # of 250 records each


async def test_many_keys_are_read_by_several_scripts_and_claims_of_many_lanes_go_alone(
    server: Server,
) -> None:
    def runs() -> int:
        return int(server.info("commandstats")["cmdstat_evalsha"]["calls"])

    async with opened(server.url) as store:
        await write(store, item("a0000"), item("a0999"))
        await store.claim(claim(lanes=("none",)))
        before = runs()
        found = await store.get("items", [f"a{number:04}" for number in range(1000)])
        assert (sorted(found), runs() - before) == (["a0000", "a0999"], 4)
        before = runs()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(store.claim, claim(lanes=[f"l{n}" for n in range(200)]))
        assert runs() - before == 8
