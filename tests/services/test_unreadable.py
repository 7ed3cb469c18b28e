"""One record, or one event, that nobody can read holds up nobody: it is named among the rest."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import (
    AgentSpec,
    ControlPlane,
    CorruptRecord,
    DeploymentSpec,
    Event,
    EventGap,
    PoolSpec,
    SchemaTooNew,
    UnreadableEvent,
    open_store,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.ids import IdSource
from cicd_core.model.session import hash_token
from cicd_core.store.records import Commit, Committed, EventWrite, Put
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay, damage
from tests.services.scenes import SETTINGS, claim, enqueue, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Record, Watch
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


class ClaimMeter(Relay):
    """Counts the claims, and says when one waits for work."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.claims = 0
        self.waits = anyio.Event()

    async def claim(self, claim: Claim) -> list[Record]:
        self.claims += 1
        assert self.claims < 20, "it asks on and on"
        return await super().claim(claim)

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        self.waits.set()
        return await super().wait(watches, timeout)


async def tell_nonsense(store: Store, job_id: str) -> None:
    """Append an event that does not decode, and leave the job as it is."""
    record = (await store.get("jobs", [job_id]))[job_id]
    put = Put(
        collection="jobs",
        key=job_id,
        expected=record.version,
        body=record.body,
        attributes=record.attributes,
    )
    event = EventWrite(collection="jobs", key=job_id, version=None, ordinal=0, body=b"not JSON")
    commit = Commit(commit_id=IdSource().commit_id(), writes=(put,), events=(event,))
    (answer,) = await store.commit([commit])
    assert isinstance(answer, Committed)


async def test_a_list_shows_the_rest_and_names_what_it_left_out(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    made = []
    for _ in range(5):
        clock.advance(1)
        made.append((await enqueue(plane)).job_id)
    newest_first = made[::-1]
    await damage(store, "jobs", made[1])
    await damage(store, "jobs", made[4])
    page = await plane.jobs.list(limit=2)
    assert [job.job_id for job in page.items] == [made[3], made[2]]
    assert page.unreadable == (made[4],)
    rest = await plane.jobs.list(limit=2, cursor=page.cursor)
    assert [job.job_id for job in rest.items] == [made[0]]
    assert (rest.unreadable, rest.cursor) == ((made[1],), None)
    whole = await plane.jobs.list()
    assert sorted([*(job.job_id for job in whole.items), *whole.unreadable]) == made
    assert whole.unreadable == (newest_first[0], newest_first[3])
    with pytest.raises(CorruptRecord):
        await plane.jobs.get(made[4])


async def test_every_kind_of_list_names_what_it_left_out(plane: ControlPlane, store: Store) -> None:
    deployment = await plane.deployments.create(DeploymentSpec(service_name="shop", version="1"))
    await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.pools.put(PoolSpec(pool_name="fast"))
    opened = await plane.sessions.create("ann")
    session_id = hash_token(opened.token)
    for collection, key in (
        ("deployments", deployment.deployment_id),
        ("agents", "a-1"),
        ("agent-pools", "fast"),
        ("sessions", session_id),
    ):
        await damage(store, collection, key)
    for page, key in (
        (await plane.deployments.list(), deployment.deployment_id),
        (await plane.deployments.list(service_name="shop"), deployment.deployment_id),
        (await plane.agents.list(), "a-1"),
        (await plane.pools.list(), "fast"),
        (await plane.sessions.list("ann"), session_id),
    ):
        assert (page.items, page.unreadable) == ((), (key,))
    assert await plane.agents.in_pool("default") == []


async def test_a_record_of_a_newer_library_is_named_too(plane: ControlPlane, store: Store) -> None:
    job = await enqueue(plane)
    record = (await store.get("jobs", [job.job_id]))[job.job_id]
    put = Put(
        collection="jobs",
        key=job.job_id,
        expected=record.version,
        body=json.dumps(json.loads(record.body) | {"v": 99}).encode(),
        attributes=record.attributes,
    )
    await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    page = await plane.jobs.list()
    assert (page.items, page.unreadable) == ((), (job.job_id,))
    with pytest.raises(SchemaTooNew):
        await plane.jobs.get(job.job_id)


async def test_the_dashboard_shows_the_rest_and_names_what_it_left_out(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    clock.advance(1)
    broken = await enqueue(plane)
    deployment = await plane.deployments.create(DeploymentSpec(service_name="shop", version="1"))
    await damage(store, "jobs", broken.job_id)
    await damage(store, "deployments", deployment.deployment_id)
    summary = await plane.dashboard.summary()
    assert [each.job_id for each in summary.recent_jobs] == [job.job_id]
    assert summary.recent_deployments == ()
    assert summary.unreadable == (
        ("jobs", broken.job_id),
        ("deployments", deployment.deployment_id),
    )


@pytest.mark.parametrize("pool_name", [None, "default"])
async def test_the_statistics_pass_over_it(
    plane: ControlPlane, store: Store, clock: VirtualClock, pool_name: str | None
) -> None:
    broken = await enqueue(plane)
    clock.advance(20)
    await enqueue(plane)
    clock.advance(10)
    await damage(store, "jobs", broken.job_id)
    assert (await plane.queue.stats(pool_name)).oldest_queued_seconds == 10.0


async def test_one_lease_that_can_t_be_read_does_not_take_the_others_along(
    plane: ControlPlane, store: Store
) -> None:
    for _ in range(2):
        await enqueue(plane)
    broken, fine = await run(plane), await run(plane)
    record = (await store.get("jobs", [broken.job.job_id]))[broken.job.job_id]
    put = Put(
        collection="jobs",
        key=record.key,
        expected=record.version,
        body=b"\xff not JSON",
        attributes=record.attributes,
    )
    await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    await plane.jobs.cancel(fine.job.job_id, reason="enough")
    first, second = await plane.queue.renew([broken, fine])
    assert first.held
    assert (second.held, second.cancel_requested) == (True, True)


async def test_an_agent_that_can_t_be_read_may_claim(plane: ControlPlane, store: Store) -> None:
    await plane.agents.register(AgentSpec(agent_id="a-1"))
    await damage(store, "agents", "a-1")
    job = await enqueue(plane)
    assert (await claim(plane, "a-1")).job.job_id == job.job_id


@pytest.mark.parametrize("request_id", [None, "r-1"])
@pytest.mark.parametrize("wait", [0.0, PATIENCE])
async def test_a_claim_goes_on_behind_jobs_that_can_t_be_read(
    store: Store, request_id: str | None, wait: float
) -> None:
    meter = ClaimMeter(store)
    plane = ControlPlane(meter, settings=SETTINGS)
    broken = [(await enqueue(plane)).job_id for _ in range(3)]
    fine = [(await enqueue(plane)).job_id for _ in range(2)]
    for key in broken:
        await damage(store, "jobs", key)
    with anyio.fail_after(PATIENCE):
        claimed = await claim(plane, wait=wait, request_id=request_id)
    assert claimed.job.job_id == fine[0]
    assert meter.claims == len(broken) + 1


async def test_a_repeated_claim_answers_what_it_took_behind_jobs_that_can_t_be_read(
    plane: ControlPlane, store: Store
) -> None:
    broken = await enqueue(plane)
    fine = [(await enqueue(plane)).job_id for _ in range(2)]
    await damage(store, "jobs", broken.job_id)
    first = await claim(plane, request_id="r-1")
    assert first.job.job_id == fine[0]
    again = await claim(plane, request_id="r-1")
    (held,) = await plane.queue.held(agent_id="a-1", request_id="r-1")
    assert first.token == again.token == held.token


async def test_a_claim_that_waits_behind_a_job_that_can_t_be_read_does_not_ask_on_and_on(
    store: Store,
) -> None:
    meter = ClaimMeter(store)
    plane = ControlPlane(meter, settings=SETTINGS)
    broken = await enqueue(plane)
    await damage(store, "jobs", broken.job_id)

    async def enqueue_later() -> None:
        await meter.waits.wait()
        await enqueue(plane)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enqueue_later)
            await claim(plane, wait=PATIENCE)
    # The one that can't be read, what is behind it, the look before it waits, the one after that.
    assert meter.claims <= 4


async def test_an_event_that_does_not_decode_stands_in_its_place(
    plane: ControlPlane, store: Store
) -> None:
    job = await enqueue(plane)
    cursor = await plane.events.end()
    await tell_nonsense(store, job.job_id)
    await plane.jobs.cancel(job.job_id)
    page = await plane.events.read(cursor)
    broken, cancelled = page.entries
    assert isinstance(broken, UnreadableEvent)
    assert isinstance(cancelled, Event)
    assert (broken.subject, broken.ordinal) == (("jobs", job.job_id), 0)
    assert broken.version == cancelled.version - 1
    assert broken.event_id == f"jobs/{job.job_id}/{broken.version}/0"
    assert broken.reason
    assert (page.events, page.unreadable) == ((cancelled,), (broken,))
    assert (await plane.events.read(page.cursor)).entries == ()


async def test_a_follower_goes_on_behind_an_event_that_does_not_decode(
    plane: ControlPlane, store: Store
) -> None:
    job = await enqueue(plane)
    cursor = await plane.events.end()
    await tell_nonsense(store, job.job_id)
    await plane.jobs.cancel(job.job_id)
    with anyio.fail_after(PATIENCE):
        async with aclosing(plane.events.follow(cursor)) as follower:
            assert isinstance(await anext(follower), UnreadableEvent)
            cancelled = await anext(follower)
    assert isinstance(cancelled, Event)
    assert cancelled.type == "job.cancelled"


async def test_a_sweep_names_what_was_due_and_could_not_be_read(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    lost, readable = await enqueue(plane), await enqueue(plane)
    for _ in range(2):
        await run(plane)
    await replace_body(store, lost.job_id)
    clock.advance(plane.settings.lease_seconds + 1)
    report = await plane.maintenance.sweep()
    assert (report.requeued, report.unreadable) == (1, (("jobs", lost.job_id),))
    assert (await plane.jobs.get(readable.job_id)).attempt == 1


async def replace_body(store: Store, job_id: str) -> None:
    """Put bytes that are no body into the record of a job that is held, and keep its lease."""
    record = (await store.get("jobs", [job_id]))[job_id]
    put = Put(
        collection="jobs",
        key=job_id,
        expected=record.version,
        body=b"not JSON",
        attributes=record.attributes,
        lease_limit=record.lease_limit,
    )
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    assert isinstance(answer, Committed)


async def test_a_follower_is_told_of_a_gap_that_retention_tore(
    store_url: str, clock: VirtualClock
) -> None:
    async with open_store(
        store_url, clock=clock, log_retention=100, collections=COLLECTIONS
    ) as store:
        plane = ControlPlane(store)
        await enqueue(plane)
        cursor = (await plane.events.read(limit=1)).cursor
        clock.advance(101)
        await claim(plane, start=True)
        for _ in range(4):
            clock.advance(31)
            await plane.maintenance.sweep()
        job = await enqueue(plane)
        with anyio.fail_after(PATIENCE):
            async with aclosing(plane.events.follow(cursor)) as follower:
                gap = await anext(follower)
                assert gap == EventGap(after=cursor)
                # It goes on behind the gap, and tells of it once.
                async for told in follower:
                    assert isinstance(told, Event)
                    if told.subject == ("jobs", job.job_id):
                        break
