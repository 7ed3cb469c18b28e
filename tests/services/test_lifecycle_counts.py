"""What one job costs from its enqueue to its end, counted: it does not grow unseen.

A change that lowers a number writes the new one down here. One that raises a number says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve, frozen

from cicd_core import ControlPlane, JobSpec, Outcome, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.json_bytes import dump_json, load_json
from cicd_core.store.retrying import RetryingStore
from cicd_core.store.sqlite import SQLiteBackend
from cicd_core.store.sqlite.connection import ConnectionThread
from tests.effort import Effort, watched
from tests.services.scenes import SETTINGS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Iterator

    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: About 300 bytes.
PAYLOAD = {"text": "x" * 280, "number": 7}
#: How many jobs the bytes of a file are a mean of.
JOBS = 200
#: The bytes of a page of a SQLite file.
PAGE = 4096


VERBS: tuple[Callable[..., Any], ...] = (
    RetryingStore.get,
    RetryingStore.commit,
    RetryingStore.claim,
    RetryingStore.renew,
    RetryingStore.page,
    RetryingStore.count,
    RetryingStore.counters,
    RetryingStore.read_log,
    RetryingStore.wait,
)


@pytest.fixture
def effort() -> Iterator[Effort]:
    with watched() as effort:
        yield effort


@pytest.fixture
async def plane(effort: Effort, store_url: str, clock: VirtualClock) -> AsyncIterator[ControlPlane]:
    """A plane whose first job has ended: what is loaded or learned once is."""
    async with open_store(store_url, clock=clock, collections=COLLECTIONS) as store:
        plane = ControlPlane(store, settings=SETTINGS)
        async for _ in lifecycle(plane):
            pass
        yield plane


async def lifecycle(plane: ControlPlane) -> AsyncIterator[str]:
    """Enqueue a job, claim it started, and complete it; yield the name of each verb."""
    await plane.queue.enqueue(JobSpec(job_type="build", payload=PAYLOAD))
    yield "enqueue"
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
    yield "claim"
    await plane.queue.complete(claimed, Outcome.success())
    yield "complete"


@frozen
class Work:
    """What the control plane does for one job."""

    store_calls: int
    #: How often a store is asked for the time, which is no round trip.
    clock_reads: int
    values_made: int
    json_written: int
    json_read: int


#: SQLite makes twelve values more of the rows and requests on its threads.
MEMORY = Work(store_calls=3, clock_reads=4, values_made=65, json_written=8, json_read=2)
SQLITE = evolve(MEMORY, values_made=77)


async def test_a_lifecycle_takes_as_many_calls_values_and_encodings_as_stated(
    plane: ControlPlane, effort: Effort, store_url: str
) -> None:
    with effort.counted():
        async for _ in lifecycle(plane):
            pass
    found = Work(
        store_calls=sum(effort.of(verb) for verb in VERBS),
        clock_reads=effort.of(RetryingStore.now),
        values_made=effort.values,
        json_written=effort.of(dump_json),
        json_read=effort.of(load_json),
    )
    assert found == (MEMORY if store_url.startswith("memory") else SQLITE)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_sqlite_runs_as_many_statements_and_hops_a_verb_as_stated(
    plane: ControlPlane, effort: Effort
) -> None:
    backend = plane.store.backend
    assert isinstance(backend, SQLiteBackend)
    seen: list[str] = []
    for thread in (backend.writes, backend.reads):
        await thread.call(lambda connection: connection.set_trace_callback(seen.append))
    statements: dict[str, int] = {}
    verbs = lifecycle(plane)
    for _ in range(3):
        seen.clear()
        with effort.counted():
            verb = await anext(verbs)
        statements[verb] = len(seen)
        assert effort.of(ConnectionThread.call) == 1
        assert seen.count("BEGIN IMMEDIATE") == seen.count("COMMIT") == 1
    assert statements == {"enqueue": 9, "claim": 11, "complete": 13}


@pytest.mark.asyncio_only
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_sweep_that_finds_nothing_due_runs_one_statement(plane: ControlPlane) -> None:
    backend = plane.store.backend
    assert isinstance(backend, SQLiteBackend)
    await plane.maintenance.sweep()
    seen: list[str] = []
    for thread in (backend.writes, backend.reads):
        await thread.call(lambda connection: connection.set_trace_callback(seen.append))
    await plane.maintenance.sweep()
    assert len(seen) == 1


@pytest.mark.asyncio_only
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_job_takes_no_more_bytes_of_a_sqlite_file_than_stated(plane: ControlPlane) -> None:
    backend = plane.store.backend
    assert isinstance(backend, SQLiteBackend)

    async def used() -> int:
        return await backend.writes.call(in_use)

    before = await used()
    await plane.queue.enqueue_many([JobSpec(job_type="build", payload=PAYLOAD)] * JOBS)
    queued = await used()
    for claimed in await plane.queue.claim(agent_id="a-1", limit=JOBS, start=True):
        await plane.queue.complete(claimed, Outcome.success())
    finished = await used()
    # 1,269 and 2,150; versions of SQLite split pages differently.
    assert (queued - before) / JOBS < 1_300
    assert (finished - before) / JOBS < 2_200


def in_use(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages of a file that hold something."""
    pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count")
    )
    return PAGE * int(pages - free)


async def test_the_bodies_and_events_of_a_job_take_as_many_bytes_as_stated(
    plane: ControlPlane,
) -> None:
    begin = (await plane.store.read_log(None, 100)).cursor
    found: dict[str, tuple[int, int]] = {}
    async for verb in lifecycle(plane):
        (job,) = (await plane.jobs.list(limit=1)).items
        record = (await plane.store.get("jobs", [job.job_id]))[job.job_id]
        entries = (await plane.store.read_log(begin, 100)).entries
        found[verb] = (len(record.body), sum(len(each.body) for each in entries))
    # A claim writes neither: the commit after it brings its events along.
    assert found == {"enqueue": (420, 162), "claim": (420, 162), "complete": (660, 431)}
