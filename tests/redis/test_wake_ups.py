"""One job wakes one agent of the whole fleet, whatever becomes of the one that it wakes."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.testing.samples import claim, in_lane, item, remove, watch, write
from tests.patience import PATIENCE
from tests.redis.fault_proxy import open_proxy
from tests.redis.stores import insist, opened, settle
from tests.services import crowds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[1, 5])
async def stores(
    request: pytest.FixtureRequest, server: Server, namespace: str
) -> AsyncIterator[list[Store]]:
    """One store that all agents share, or several as in a fleet."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                open_store(
                    server.url, namespace=namespace, durability="none", collections=COLLECTIONS
                )
            )
            for _ in range(request.param)
        ]


@pytest.fixture(autouse=True)
def _no_look_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have who waits rely on being woken."""
    monkeypatch.setattr("cicd_core.store.waiters.LOOK_PERIOD", PATIENCE)


def tickets(server: Server, namespace: str) -> list[str]:
    """Return the tickets of those who wait."""
    found: list[str] = server.ask("ZRANGE", f"cicd:{{{namespace}}}:waiting", 0, -1)
    return found


@pytest.fixture
def line(server: Server, namespace: str) -> Callable[[], int]:
    """How many wait in the line of the server."""
    return lambda: len(tickets(server, namespace))


def scripts(server: Server) -> int:
    """Return how many scripts a server has run."""
    return sum(
        int(words["calls"])
        for name, words in server.info("commandstats").items()
        if name in ("cmdstat_evalsha", "cmdstat_eval")
    )


@pytest.mark.thorough
async def test_a_job_costs_the_same_calls_however_many_agents_are_idle(
    stores: list[Store],
) -> None:
    calls = await crowds.one_job_costs(100, stores)
    assert calls["woken"] == 1
    assert calls.total() <= 6


@pytest.mark.thorough
async def test_claims_that_wait_in_rounds_are_served_in_the_order_they_came(
    stores: list[Store], line: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.waiting._LINGER", PATIENCE)
    await crowds.first_come_first_served(stores, line)


async def test_a_job_whose_chosen_agents_are_cancelled_goes_to_the_one_that_is_left(
    stores: list[Store], line: Callable[[], int]
) -> None:
    await crowds.each_chosen_one_is_cancelled(stores, line)


async def test_a_job_whose_chosen_agents_drain_goes_to_the_one_that_is_left(
    stores: list[Store], line: Callable[[], int]
) -> None:
    await crowds.each_chosen_one_is_unfit(stores, line)


async def test_as_many_agents_are_woken_as_there_are_jobs(stores: list[Store]) -> None:
    await crowds.many_jobs_wake_as_many(stores)


async def until(is_true: Callable[[], bool]) -> None:
    """Return when something has become true, of which no event tells."""
    while not is_true():  # noqa: ASYNC110 - see above
        await anyio.sleep(0.001)


class Waits:
    """Waits that began, and those that were answered True, by their turns."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        self.woken: list[str] = []

    async def begin(self, store: Store, turn: str, server: Server, namespace: str) -> None:
        """Wait in the lane with a turn; return when its ticket is in the line."""

        async def wait() -> None:
            if await insist(lambda: store.wait([watch(in_lane(), turn=turn)], PATIENCE)):
                self.woken.append(turn)

        self._tasks.start_soon(wait)
        await until(lambda: any(f":main{turn}" in ticket for ticket in tickets(server, namespace)))

    async def until(self, *woken: str) -> None:
        """Return when just these were woken."""
        await until(lambda: len(self.woken) >= len(woken))
        await settle()
        assert self.woken == [*woken]


@asynccontextmanager
async def waits() -> AsyncGenerator[Waits, None]:
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            yield Waits(tasks)
            tasks.cancel_scope.cancel()


async def test_what_a_store_that_lost_its_server_stood_in_line_for_goes_to_the_next(
    server: Server, namespace: str
) -> None:
    async with (
        open_proxy(server.port) as proxy,
        opened(proxy.url, namespace=namespace) as dying,
        opened(server.url, namespace=namespace) as other,
        waits() as crowd,
    ):
        await crowd.begin(dying, "1", server, namespace)
        await crowd.begin(other, "2", server, namespace)
        await proxy.refuse()
        await proxy.cut_all()
        channels = f"cicd:{{{namespace}}}:w:*"
        await until(lambda: len(server.ask("PUBSUB", "SHARDCHANNELS", channels)) == 1)
        await write(other, item("a"))
        await until(lambda: "2" in crowd.woken)
        await proxy.heal()


async def test_a_turn_that_was_lost_with_its_process_delays_the_next_one_by_a_look(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core.store.waiters.LOOK_PERIOD", 0.05)
    async with opened(server.url, namespace=namespace) as store, waits() as crowd:
        await crowd.begin(store, "1", server, namespace)
        await crowd.begin(store, "2", server, namespace)
        await write(store, item("a"))
        await until(lambda: crowd.woken == ["1", "2"])  # the first one does not claim


async def test_a_ticket_whose_waiter_has_gone_is_passed_on(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.waiting._LINGER", PATIENCE)
    async with (
        opened(server.url, namespace=namespace) as first,
        opened(server.url, namespace=namespace) as second,
        waits() as crowd,
    ):
        async with anyio.create_task_group() as tasks:
            gone = Waits(tasks)
            await gone.begin(first, "1", server, namespace)
            tasks.cancel_scope.cancel()
        await crowd.begin(second, "2", server, namespace)
        await crowd.begin(first, "3", server, namespace)
        await write(first, item("a"))
        await crowd.until("2")


async def test_tickets_of_waiters_that_left_are_given_back(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.waiting._LINGER", 0.01)
    async with opened(server.url, namespace=namespace) as store, waits() as crowd:
        lanes = [watch(in_lane(f"lane {number}"), turn="1") for number in range(30)]
        with anyio.move_on_after(0.1):
            await store.wait(lanes, PATIENCE)
        await crowd.begin(store, "2", server, namespace)
        await until(lambda: len(tickets(server, namespace)) == 1)


async def test_a_store_that_is_closed_leaves_no_tickets(server: Server, namespace: str) -> None:
    async with opened(server.url, namespace=namespace) as store:
        assert not await store.wait([watch(in_lane(), turn="1")], 0.1)
        assert tickets(server, namespace)
    assert not tickets(server, namespace)


async def test_tickets_of_processes_that_died_are_swept_away(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    async with opened(server.url, namespace=namespace) as store, waits() as crowd:
        await crowd.begin(store, "1", server, namespace)
        (alive,) = tickets(server, namespace)
        for number in range(25):
            server.ask("ZADD", f"cicd:{{{namespace}}}:waiting", 0, f"1:x{number}{'0' * 32}")
        while tickets(server, namespace) != [alive]:
            version = (await write(store, item("a", lane="other")))["a"]
            await remove(store, "a", version)
        assert crowd.woken == []


async def test_a_server_that_lost_its_tickets_has_them_again(
    engine: Engine, start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(engine)
    monkeypatch.setattr("cicd_core_redis.waiting._RELIANCE", 0.0)
    monkeypatch.setattr("cicd_core.store.waiters.LOOK_PERIOD", 0.02)
    async with opened(server.url, namespace="a") as store, waits() as crowd:
        await crowd.begin(store, "1", server, "a")
        server.ask("DEL", "cicd:{a}:waiting")
        await until(lambda: tickets(server, "a") != [])
        await write(store, item("a"))
        await crowd.until("1")


async def test_a_place_that_begins_like_another_one_has_a_line_of_its_own(
    server: Server, namespace: str
) -> None:
    async with opened(server.url, namespace=namespace) as store, waits() as crowd:
        for number, lane in enumerate(("a", "a1", "a\0", "1:a")):
            async with waits() as inner:
                lanes = [watch(in_lane(lane), turn=f"{number}")]
                inner._tasks.start_soon(store.wait, lanes, PATIENCE)  # noqa: SLF001 - its own
                await until(lambda: tickets(server, namespace) != [])
        await crowd.begin(store, "9", server, namespace)
        await write(store, item("elsewhere", lane="main1"))
        await store.claim(claim(lanes=("main1",)))
        await settle()
        assert crowd.woken == []
