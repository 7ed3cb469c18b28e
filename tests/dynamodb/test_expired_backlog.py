"""Records that have run out stay in the indexes for a week and more: what is read does not grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.ids import IdSource
from cicd_core.persistence.collections import BY_AGENT, BY_POOL, BY_STATUS, JOBS
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import Commit, Partition, Put, Query, Watch
from cicd_core_dynamodb.rows import COUNTED, LEFT_OUT
from tests.dynamodb.harness import SHARDS, harness_of
from tests.dynamodb.metering import Meter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Index, Record

pytestmark = pytest.mark.anyio

#: So many of the oldest jobs have run out, and so many are there.
EXPIRED: Final = 5 * LEFT_OUT // 2
LIVE: Final = 160
#: The jobs of a pool of its own, among all others: the oldest ones that are there.
RARE: Final = 3
#: How many rows one read unit shows, at least, where a query may lag: a row has 200 bytes at most.
ROWS_A_UNIT: Final = 8192 / 200
PLACES: Final = {BY_STATUS: "success", BY_AGENT: "a-1"}


def written(number: int, now: int) -> Commit:
    """Return the creation of a job that has ended, the lower its number the earlier."""
    key, pool = f"j{number:06d}", "rare" if 0 <= number - EXPIRED < RARE else "busy"
    put = Put(
        collection=JOBS.name,
        key=key,
        expected=0,
        body=b"{}",
        attributes={
            "status": "success",
            "pool_status": f"{pool}|success",
            "agent_id": "a-1",
            "created_at": f"{1_795_000_000_000_000 + number:016d}:{key}",
        },
        expires_at=now if number < EXPIRED else MAX_INSTANT,
    )
    return Commit(commit_id=IdSource().commit_id(), writes=(put,))


@pytest.fixture(scope="module")
async def namespace(engine: str) -> str:
    """A namespace with a backlog, written once for all tests here."""
    name = f"backlog-{IdSource().commit_id()}"
    async with harness_of(engine).open(name, COLLECTIONS, log=False) as store:
        now = (await store.now()).micros
        commits = [written(number, now) for number in range(EXPIRED + LIVE)]
        for first in range(0, len(commits), 250):
            await store.commit(commits[first : first + 250])
    return name


@pytest.fixture
async def meter() -> Meter:
    return Meter()


@pytest.fixture
async def store(engine: str, namespace: str, meter: Meter) -> AsyncGenerator[Store, None]:
    async with harness_of(engine).open(namespace, COLLECTIONS, meter=meter) as opened:
        yield opened


async def read(meter: Meter, work: Awaitable[Any]) -> float:
    """Return the read units that some work takes."""
    return (await meter.of(work)).reads


def place(index: Index) -> Partition:
    return Partition(JOBS.name, index, PLACES[index])


async def every_page(
    store: Store, meter: Meter, partition: Partition, limit: int, *, descending: bool
) -> tuple[list[Record], float]:
    """Return all records of a partition, page by page, and what the dearest page took."""
    records: list[Record] = []
    end: str | None = None
    dearest = 0.0
    while True:
        bound = {"before" if descending else "after": end}
        before = meter.reads
        query = Query(partition=partition, limit=limit, descending=descending, **bound)
        page = await store.page(query)
        dearest = max(dearest, meter.reads - before)
        records += page.records
        end = page.end(partition.index)
        if not page.more:
            return records, dearest


@pytest.mark.thorough
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("index", list(PLACES), ids=lambda each: each.name)
async def test_a_page_takes_no_more_than_its_bound_and_all_pages_show_all(
    store: Store, meter: Meter, index: Index, descending: bool
) -> None:
    records, dearest = await every_page(store, meter, place(index), 50, descending=descending)
    keys = [each.key for each in records]
    expected = [f"j{number:06d}" for number in range(EXPIRED, EXPIRED + LIVE)]
    assert keys == sorted(expected, reverse=descending)
    # Half a unit for each record that is shown, or found to be gone, and the rows of a scan.
    assert dearest <= (50 + 100 + 51) * 0.5 + (2 * LEFT_OUT + 50) / ROWS_A_UNIT + SHARDS


@pytest.mark.thorough
async def test_the_newest_page_takes_what_it_shows(store: Store, meter: Meter) -> None:
    query = Query(partition=place(BY_STATUS), limit=50, descending=True)
    assert await read(meter, store.page(query)) <= 50 * 0.5 + 2 * 51 / ROWS_A_UNIT + SHARDS


@pytest.mark.thorough
async def test_a_count_takes_what_it_counts_and_a_thousand_rows_a_shard(
    store: Store, meter: Meter
) -> None:
    partitions = [place(BY_STATUS)]
    taken = await read(meter, store.count(partitions))
    assert taken <= (LIVE + SHARDS * 2 * COUNTED) / ROWS_A_UNIT + SHARDS
    (count,) = await store.count(partitions)
    assert count.number == LIVE
    (count,) = await store.count([Partition(JOBS.name, BY_POOL, "rare|success")])
    assert count.number == RARE


@pytest.mark.thorough
async def test_a_look_for_any_record_reads_the_backlog_in_few_requests(
    engine: str, namespace: str
) -> None:
    calls: list[str] = []
    async with harness_of(engine).open(
        namespace, COLLECTIONS, meter=lambda operation, _: calls.append(operation)
    ) as store:
        assert await store.wait([Watch(place(BY_STATUS))], 0)
    # The more rows a query left out, the more the next one looks at.
    assert len(calls) <= SHARDS * (EXPIRED / SHARDS / 1000 + 6)


@pytest.mark.thorough
async def test_a_rare_pool_s_jobs_are_listed_a_thousand_rows_a_call(
    store: Store, meter: Meter
) -> None:
    plane = ControlPlane(store)
    found: list[str] = []
    cursor: str | None = None
    while True:
        before = meter.reads
        page = await plane.jobs.list(status="success", pool_name="rare", limit=RARE, cursor=cursor)
        taken = meter.reads - before
        assert taken <= RARE + 2 * LEFT_OUT / ROWS_A_UNIT + 2 * SHARDS
        found += page.unreadable  # the bodies of these jobs mean nothing
        cursor = page.cursor
        if cursor is None:
            break
        assert page.incomplete or len(page.unreadable) == RARE
    assert found == [f"j{EXPIRED + number:06d}" for number in reversed(range(RARE))]


@pytest.mark.thorough
async def test_a_large_count_holds_longer_than_a_small_one(engine: str, namespace: str) -> None:
    meter = Meter()
    async with harness_of(engine).open(
        namespace, COLLECTIONS, meter=meter, count_seconds=1e-9
    ) as store:
        await store.count([place(BY_AGENT)])
        assert await read(meter, store.count([place(BY_AGENT)])) > 0
    async with harness_of(engine).open(
        namespace, COLLECTIONS, meter=meter, count_seconds=3600.0
    ) as store:
        await store.count([place(BY_AGENT)])
        assert await read(meter, store.count([place(BY_AGENT)])) == 0
