"""What a sweep learned of records that are not due it does not read again before their time."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cicd_core import (
    AgentSpec,
    ControlPlane,
    CorruptRecord,
    JobSpec,
    JobState,
    Outcome,
    RetryPolicy,
    Settings,
)
from cicd_core.control_plane.timers import LONG_REST
from cicd_core.entities import COLLECTIONS
from cicd_core.ids import IdSource
from cicd_core.model.instants import from_micros
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Commit, Committed, Put
from tests.services.broken_stores import damage
from tests.services.metering import Meter
from tests.services.scenes import enqueue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core import ClaimedJob
    from cicd_core.model.agent import Agent
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Record, Renewal, Renewed
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: Heartbeats and leases last for 30 seconds, and are renewed every ten.
SETTINGS = Settings()
MINUTES = 10
#: How often, in a minute, a record may be read that is renewed every ten seconds: once in the 20
#: seconds and more that are left of its lease, and once in a page.
A_MINUTE = 60 / 20 + 1


class Unmoving(MemoryBackend):
    """A store whose renewals leave the lower bound in the index as it is, as the contract lets."""

    _is_renewing = False

    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        self._is_renewing = True
        try:
            return super()._renew(renewal, now)
        finally:
            self._is_renewing = False

    def _lease_sort(self, collection: str) -> str | None:
        return None if self._is_renewing else super()._lease_sort(collection)


@pytest.fixture
def store(clock: VirtualClock) -> Store:
    return Unmoving(COLLECTIONS, clock=clock)


@pytest.fixture
def meter(store: Store) -> Meter:
    return Meter(store)


@pytest.fixture
def sweeper(meter: Meter) -> ControlPlane:
    return ControlPlane(meter, settings=SETTINGS)


@pytest.fixture
def plane(store: Store) -> ControlPlane:
    return ControlPlane(store, settings=SETTINGS)


async def registered(plane: ControlPlane, number: int) -> list[Agent]:
    return [
        await plane.agents.register(AgentSpec(agent_id=f"a-{each}", slots=100))
        for each in range(number)
    ]


async def beat(plane: ControlPlane, agents: Sequence[Agent]) -> None:
    for agent in agents:
        await plane.agents.heartbeat(agent.agent_id, agent.incarnation)


async def running(plane: ControlPlane, number: int) -> list[ClaimedJob]:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * number)
    return await plane.queue.claim(agent_id="a-0", limit=number, start=True)


async def test_agents_that_beat_are_read_once_in_what_is_left_of_their_leases(
    plane: ControlPlane, sweeper: ControlPlane, meter: Meter, clock: VirtualClock
) -> None:
    agents = await registered(plane, 40)
    for second in range(MINUTES * 60):
        await beat(plane, agents[second % 10 :: 10])
        assert (await sweeper.maintenance.sweep()).total == 0
        clock.advance(1)
    assert 0 < meter.rows <= len(agents) * MINUTES * A_MINUTE


async def test_jobs_that_run_are_read_once_in_what_is_left_of_their_leases(
    plane: ControlPlane, sweeper: ControlPlane, meter: Meter, clock: VirtualClock
) -> None:
    claims = await running(plane, 40)
    for second in range(MINUTES * 60):
        await plane.queue.renew(claims[second % 10 :: 10])
        assert (await sweeper.maintenance.sweep()).total == 0
        clock.advance(1)
    looks_at_lanes = MINUTES * 2 * 2
    assert 0 < meter.rows <= len(claims) * MINUTES * A_MINUTE + looks_at_lanes


async def test_sweeps_between_the_ends_of_leases_read_nothing(
    plane: ControlPlane, sweeper: ControlPlane, meter: Meter, clock: VirtualClock
) -> None:
    claims, agents = await running(plane, 40), await registered(plane, 40)
    clock.advance(29)
    await plane.queue.renew(claims)
    await beat(plane, agents)
    clock.advance(2)
    await sweeper.maintenance.sweep()
    clock.advance(6)  # behind the overlap of two sweeps
    await sweeper.maintenance.sweep()
    meter.rows = 0
    for _ in range(100):
        assert (await sweeper.maintenance.sweep()).total == 0
    assert meter.rows == 0


async def test_one_that_falls_silent_among_many_is_noticed_by_the_next_sweep(
    plane: ControlPlane, sweeper: ControlPlane, clock: VirtualClock
) -> None:
    agents, claims = await registered(plane, 20), await running(plane, 20)
    for _ in range(10):
        clock.advance(10)
        await beat(plane, agents)
        await plane.queue.renew(claims)
        await sweeper.maintenance.sweep()
    noticed: list[tuple[int, int, int]] = []
    for second in range(40):
        if second % 10 == 0:
            await beat(plane, agents[1:])
            await plane.queue.renew(claims[1:])
        report = await sweeper.maintenance.sweep()
        if report.silenced or report.requeued:
            noticed.append((second, report.silenced, report.requeued))
        clock.advance(1)
    # It was heard 30 seconds before, and a lease holds up to its last microsecond.
    assert noticed == [(31, 1, 1)]


async def test_a_shorter_lease_is_not_hidden_by_the_rest_of_a_longer_one(
    plane: ControlPlane, sweeper: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await plane.queue.enqueue(JobSpec(job_type="build", timeout_seconds=7200))
    (claimed,) = await plane.queue.claim(agent_id="a-0", start=True)
    clock.advance(29)
    patient = ControlPlane(store, settings=Settings(lease_seconds=3600))
    await patient.queue.renew([claimed])
    clock.advance(2)
    assert (await sweeper.maintenance.sweep()).total == 0  # it rests for an hour
    await plane.queue.release(claimed)
    clock.advance(60)
    await sweeper.maintenance.sweep()
    (again,) = await plane.queue.claim(agent_id="a-1", start=True, lease_seconds=2)
    assert again.job.job_id == claimed.job.job_id
    clock.advance(3)
    assert (await sweeper.maintenance.sweep()).requeued == 1


async def test_a_record_that_comes_in_behind_the_last_sweep_is_found_within_a_minute(
    plane: ControlPlane, sweeper: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    await registered(plane, 1)
    record = (await store.get("agents", ["a-0"]))["a-0"]
    attributes = dict(record.attributes)
    clock.advance(3600)
    assert (await sweeper.maintenance.sweep()).silenced == 1
    clock.advance(30)
    await sweeper.maintenance.sweep()
    now = (await store.get("agents", ["a-0"]))["a-0"]
    put = Put(
        collection="agents",
        key="a-0",
        expected=now.version,
        body=record.body,
        attributes=attributes,
    )
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    assert isinstance(answer, Committed)
    silenced = 0
    for _ in range(LONG_REST // 1_000_000):
        clock.advance(1)
        silenced += (await sweeper.maintenance.sweep()).silenced
    assert silenced == 1


@pytest.mark.parametrize("kind", ["leased", "delayed", "waiting"])
async def test_records_that_cannot_be_read_are_read_once_a_minute_and_named_by_each_sweep(
    *,
    plane: ControlPlane,
    sweeper: ControlPlane,
    store: Store,
    meter: Meter,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    soon = from_micros(clock.micros()) + timedelta(seconds=5)
    spec = JobSpec(
        job_type="build",
        run_at=soon if kind == "delayed" else None,
        deadline_at=soon if kind == "waiting" else None,
    )
    broken = [job.job_id for job in await plane.queue.enqueue_many([spec] * 50)]
    if kind == "leased":
        await plane.queue.claim(agent_id="a-1", limit=50)
    for key in broken:
        await damage(store, "jobs", key)
    clock.advance(40)
    names = tuple(("jobs", key) for key in sorted(broken))
    with caplog.at_level(logging.ERROR):
        assert (await sweeper.maintenance.sweep()).unreadable == names
        meter.rows = 0
        caplog.clear()
        for _ in range(50):
            clock.advance(1)
            assert (await sweeper.maintenance.sweep()).unreadable == names
        assert "skipped" not in caplog.text
    overlap, lanes = 6, 4 * len(broken)
    assert meter.rows <= overlap * len(broken) + lanes
    clock.advance(20)
    assert (await sweeper.maintenance.sweep()).unreadable == names


async def test_a_record_that_can_be_read_again_is_named_no_more(
    plane: ControlPlane, sweeper: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    soon = from_micros(clock.micros()) + timedelta(seconds=5)
    job = await enqueue(plane, run_at=soon)
    whole = (await store.get("jobs", [job.job_id]))[job.job_id]
    await damage(store, "jobs", job.job_id)
    clock.advance(6)
    assert (await sweeper.maintenance.sweep()).unreadable == (("jobs", job.job_id),)
    put = Put(
        collection="jobs",
        key=job.job_id,
        expected=whole.version + 1,
        body=whole.body,
        attributes=whole.attributes,
    )
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    assert isinstance(answer, Committed)
    clock.advance(1)
    report = await sweeper.maintenance.sweep()
    assert (report.promoted, report.unreadable) == (1, ())


class Undecodable(Meter):
    """A store that cannot read one record itself, and then answers nothing of the others."""

    key = ""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        if self.key in keys:
            raise CorruptRecord(collection, self.key, "it is of another format")
        return await super().get(collection, keys)


async def test_a_record_that_the_store_cannot_read_stops_no_other_one(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    claims = await running(plane, 3)
    undecodable = Undecodable(store)
    sweeper = ControlPlane(undecodable, settings=SETTINGS).maintenance
    clock.advance(20)
    await plane.queue.renew(claims)
    clock.advance(11)
    assert (await sweeper.sweep()).total == 0  # they rest now
    undecodable.key = claims[1].job.job_id
    clock.advance(20)
    for _ in range(2):
        report = await sweeper.sweep()
        assert report.unreadable == (("jobs", undecodable.key),)
    states = [(await plane.jobs.get(each.job.job_id)).state for each in claims]
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.QUEUED]


async def test_a_pause_ends_in_time_though_the_calendar_is_behind_its_deadline(
    plane: ControlPlane, sweeper: ControlPlane, clock: VirtualClock
) -> None:
    deadline = from_micros(clock.calendar()) + timedelta(seconds=10)
    retry = RetryPolicy(max_attempts=3, backoff_base=40.0, jitter=0)
    await plane.queue.enqueue(JobSpec(job_type="build", retry=retry, deadline_at=deadline))
    (claimed,) = await plane.queue.claim(agent_id="a-0", start=True)
    clock.step_calendar(-3600)
    await plane.queue.complete(claimed, Outcome.error("the disk is full"))
    promoted: list[int] = []
    for second in range(60):
        if (await sweeper.maintenance.sweep()).promoted:
            promoted.append(second)
        clock.advance(1)
    assert promoted == [40]
