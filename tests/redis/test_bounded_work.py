"""No script works, or answers, without a bound: it holds up every other client of its server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core.store.records import Increment, Query
from cicd_core.testing.samples import (
    IDS,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    plain,
    write,
)
from cicd_core_redis.pipeline import Pipeline
from tests.redis.stores import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core_redis.scripts import Verb
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

#: The bytes of bodies after which a script reads no more.
ENOUGH: Final = 1024 * 1024
BODY: Final = 300 * 1024
NUMBER: Final = 12


@pytest.fixture
async def store(server: Server) -> AsyncGenerator[Store, None]:
    """A store of records with large bodies, beside a small one."""
    async with opened(server.url) as store:
        for number in range(NUMBER):
            body = bytes([number]) * BODY
            await write(store, item(f"{number:02}", rank=f"{number:02}", body=body))
        await write(store, item("small", rank="99"))
        yield store


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each script has answered."""
    sizes: list[int] = []
    run = Pipeline.run

    async def measured(
        pipeline: Pipeline, verb: Verb, arguments: Sequence[Any], **rest: Any
    ) -> Any:
        answer = await run(pipeline, verb, arguments, **rest)
        sizes.append(size_of(answer))
        return answer

    monkeypatch.setattr(Pipeline, "run", measured)
    return sizes


def size_of(answer: Any) -> int:
    if isinstance(answer, list):
        return sum(map(size_of, answer))
    return len(answer) if isinstance(answer, bytes) else 0


def keys(number: int = NUMBER) -> list[str]:
    return [f"{each:02}" for each in range(number)]


async def test_a_read_of_large_records_is_several_scripts_of_some_bytes_each(
    store: Store, answered: list[int]
) -> None:
    found = await store.get("items", [*keys(), "none", "small"])
    assert [*found] == [*keys(), "small"]
    assert {found[key].body for key in keys()} == {bytes([each]) * BODY for each in range(NUMBER)}
    assert max(answered) < ENOUGH + 2 * BODY
    assert len(answered) <= 4


async def test_a_claim_of_large_records_is_several_scripts_of_some_bytes_each(
    store: Store, answered: list[int]
) -> None:
    one = claim(20)
    for _ in range(2):  # it takes them, and is answered them again
        answered.clear()
        taken = await store.claim(one)
        assert [record.key for record in taken] == [*keys(), "small"]
        assert [record.body[:1] for record in taken[:-1]] == [
            bytes([each]) for each in range(NUMBER)
        ]
        assert {len(record.body) for record in taken[:-1]} == {BODY}
        assert {record.lease.claim_id for record in taken if record.lease} == {one.claim_id}
        assert max(answered) < ENOUGH + 2 * BODY
        assert len(answered) <= 5


@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_large_records_is_several_scripts_of_some_bytes_each(
    store: Store, answered: list[int], *, descending: bool
) -> None:
    every = [*keys(), "small"]
    for limit in (1, 4, NUMBER, NUMBER + 1, 100):
        query = Query(partition=in_lane(), limit=limit, descending=descending)
        page = await store.page(query)
        wanted = every[::-1] if descending else every
        assert [record.key for record in page.records] == wanted[:limit]
        assert page.more == (limit < len(every))
    assert max(answered) < ENOUGH + 2 * BODY


async def test_some_counters_of_a_group_are_picked_by_the_server(server: Server) -> None:
    odd = {
        f"odd|{start}{number}": number
        for start in ("*a", "[a", "\\a", "?", "^", "-a")
        for number in (1, 2)
    }
    many = {f"odd|{number:04}": number for number in range(1, 1200)}
    async with opened(server.url) as store:
        increments = [Increment(name, amount) for name, amount in (odd | many).items()]
        for first in range(0, len(increments), 400):
            some = increments[first : first + 400]
            await apply(store, commit(plain(IDS.commit_id()), increments=some))
        with server.client() as client:
            client.config_resetstat()
            for name, amount in odd.items():
                assert (await store.counters(name)).values == {name: amount}
            assert len((await store.counters("odd|00")).values) == 99
            assert "cmdstat_hgetall" not in client.info("commandstats")
        assert (await store.counters("odd|")).values == odd | many


async def test_a_read_of_the_log_answers_no_more_events_than_were_asked_for(
    store: Store, answered: list[int]
) -> None:
    start = (await store.read_log(None, 1)).cursor
    for number in range(20):  # each commit is one entry of many events
        events = [event_of(f"log {number}", ordinal=each, body=bytes(4096)) for each in range(60)]
        await write(store, item(f"log {number}", lane=None), events=events)
    answered.clear()
    seen: list[tuple[str, int]] = []
    cursor = start
    while (page := await store.read_log(cursor, 100)).entries:
        assert len(page.entries) <= 100
        seen += [(each.key, each.ordinal) for each in page.entries]
        cursor = page.cursor
    assert seen == [(f"log {number}", each) for number in range(20) for each in range(60)]
    assert max(answered) < (100 + 60 + 1) * 4200


async def cpu_of_a_claim(store: Store, server: Server, lanes: int) -> float:
    """Claim 400 records from lanes of one each; return the processor time (s) of the server."""
    numbers = [number * 7919 % lanes for number in range(lanes)]  # the ranks are in no order
    names = [f"{lanes}-{number}" for number in numbers]
    await store.commit(
        [
            commit(item(name, lane=name, rank=f"{number:05}"))
            for name, number in zip(names, numbers, strict=True)
        ]
    )
    before = server.info("cpu")["used_cpu_user"]
    taken = await store.claim(claim(400, lanes=names))
    after = server.info("cpu")["used_cpu_user"]
    assert [record.key for record in taken] == [f"{lanes}-{number}" for number in range(400)]
    return float(after - before)


async def test_a_claim_from_many_lanes_does_not_compare_all_of_them_for_each_record(
    start: Callable[..., Server],
) -> None:
    server = start()
    async with opened(server.url) as store:
        few = await cpu_of_a_claim(store, server, 400)
        assert await cpu_of_a_claim(store, server, 3200) < 4 * few
