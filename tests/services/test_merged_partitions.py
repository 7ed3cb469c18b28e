"""Lists over several partitions: what they show, and how many records they read for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, InvalidInput, JobSpec, Outcome, Priority, RetryPolicy
from cicd_core.store.records import RecordPage
from tests.services.broken_stores import Relay
from tests.services.metering import Meter
from tests.services.scenes import claim, every_job, ids

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Query
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

KINDS = ("build", "test", "lint", "pack", "scan")


async def many(plane: ControlPlane, clock: VirtualClock, number: int, good: int) -> None:
    """Make jobs a second apart; of each ten, ``good`` succeed and the others end otherwise."""
    for at in range(number):
        clock.advance(1)
        await plane.queue.enqueue(JobSpec(job_type="build", retry=RetryPolicy(retry_on=())))
        claimed = await claim(plane, start=True)
        others = (Outcome.exited(1), Outcome.timeout("slow"), Outcome.error("no disk"))
        outcome = Outcome.exited(0) if at % 10 < good else others[at % 3]
        await plane.queue.complete(claimed, outcome)


@pytest.mark.parametrize("good", [9, 4])
async def test_a_page_over_all_statuses_reads_at_most_three_times_what_it_shows(
    plane: ControlPlane, clock: VirtualClock, store: Store, good: int
) -> None:
    await many(plane, clock, 150, good)
    meter = Meter(store)
    metered = ControlPlane(meter)
    expected = [job.job_id async for job in plane.jobs.iterate()]
    assert len(expected) == 150
    cursor: str | None = None
    seen: list[str] = []
    for _ in range(3):
        meter.rows = 0
        page = await metered.jobs.list(limit=50, cursor=cursor)
        seen += ids(page.items)
        assert meter.rows <= 3 * 50
        cursor = page.cursor
    assert seen == expected


async def test_ready_jobs_come_in_the_order_of_the_claims_over_all_lanes(
    plane: ControlPlane, clock: VirtualClock, store: Store
) -> None:
    for at in range(60):
        clock.advance(1)
        priority = Priority.HIGH if at % 7 == 0 else Priority.NORMAL
        await plane.queue.enqueue(JobSpec(job_type=KINDS[at % 5], priority=priority))
    meter = Meter(store)
    found = await ControlPlane(meter).queue.ready(limit=20)
    assert meter.rows <= 3 * 20
    assert found.more
    whole = await plane.queue.ready(limit=60)
    assert (whole.more, whole.unreadable) == (False, ())
    assert whole.items[:20] == found.items
    assert {*ids(whole.items)} == {*ids(await every_job(plane))}
    claims = [(await claim(plane)).job.job_id for _ in range(60)]
    assert ids(whole.items) == claims


async def test_ready_jobs_of_many_lanes_are_not_all_read_for_a_short_list(
    plane: ControlPlane, store: Store
) -> None:
    specs = [JobSpec(job_type=f"kind-{at % 40}") for at in range(40 * 12)]
    made = await plane.queue.enqueue_many(specs)
    meter = Meter(store)
    found = await ControlPlane(meter).queue.ready(limit=30)
    assert ids(found.items) == ids(made[:30])
    assert meter.rows <= 3 * 40


class Early(Relay):
    """Ends the page of one lane after two records, as a store with stale entries may.

    It can't read one record of that lane.
    """

    def __init__(self, store: Store, broken: str) -> None:
        super().__init__(store)
        self._broken = broken

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        if KINDS[0] not in query.partition.value or len(page.records) < 3:
            return page
        ends = [record.attributes[query.partition.index.sort] for record in page.records[:2]]
        kept = tuple(record for record in page.records[:2] if record.key != self._broken)
        gone = tuple(zip(ends, (self._broken,), strict=False))
        return RecordPage(kept, more=True, resume=ends[1], unreadable=gone)


async def test_ready_jobs_end_where_a_store_ended_the_page_of_a_lane(
    plane: ControlPlane, store: Store
) -> None:
    made = ids(
        await plane.queue.enqueue_many([JobSpec(job_type=KINDS[at % 2]) for at in range(10)])
    )
    found = await ControlPlane(Early(store, made[0])).queue.ready(limit=6)
    # Of the other lane more was read, but a job of this one comes before it.
    assert (ids(found.items), found.more) == (made[1:3], True)
    assert found.unreadable == (made[0],)


async def test_a_job_whose_place_changes_between_two_reads_is_ready_once(
    plane: ControlPlane, store: Store
) -> None:
    kinds = [*[KINDS[0]] * 8, *KINDS[1:3]]  # one lane has most of them: it is read twice
    made = await plane.queue.enqueue_many([JobSpec(job_type=kind) for kind in kinds])

    class Moving(Relay):
        """The first job goes to the end of its lane when all lanes have been read once."""

        reads = 0

        async def page(self, query: Query) -> RecordPage:
            page = await super().page(query)
            self.reads += 1
            if self.reads == 3:
                await plane.jobs.reprioritise(made[0].job_id, Priority.LOW)
            return page

    moving = Moving(store)
    found = await ControlPlane(moving).queue.ready(limit=11)
    assert moving.reads > 3
    assert ids(found.items) == ids([*made[1:], made[0]])


async def test_a_pool_without_work_has_no_ready_jobs(plane: ControlPlane) -> None:
    found = await plane.queue.ready("other")
    assert (found.items, found.more) == ((), False)
    for wrong in ({"limit": 0}, {"limit": 501}, {"pool_name": "no name"}):
        with pytest.raises(InvalidInput):
            await plane.queue.ready(**wrong)
