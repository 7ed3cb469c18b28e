"""Stores that fail, answer late, or answer somebody else first: a call happens once even so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve, field

from cicd_core import (
    AgentSpec,
    ControlPlane,
    CorruptRecord,
    IllegalTransition,
    JobSpec,
    JobState,
    Outcome,
    PoolSpec,
    Priority,
    Settings,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    TooManyConflicts,
    UnsupportedCapability,
)
from cicd_core.store.records import Commit, Conflict, Put
from tests.services.broken_stores import Relay, damage
from tests.services.scenes import claim, enqueue, every_job, everything_told, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Committed, Query, Record, RecordPage
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

QUICK = Settings(commit_attempts=3)


@define
class Failures:
    """How often a verb is to fail before it takes effect, and how often after."""

    before: int = 0
    after: int = 0
    #: What the store was asked.
    asked: list[Any] = field(factory=list)
    #: What it fails with, if not for the cable.
    error: StoreError | None = None

    def fail(self, which: str) -> None:
        left = getattr(self, which)
        if left:
            setattr(self, which, left - 1)
            raise self.error or StoreUnavailable(f"the cable went out {which} it happened")


class Unreliable(Relay):
    """A store whose commits and claims fail as often as they are told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.commits, self.claims = Failures(), Failures()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.commits.asked.append(commits)
        self.commits.fail("before")
        answers = await super().commit(commits)
        self.commits.fail("after")
        return answers

    async def claim(self, claim: Claim) -> list[Record]:
        self.claims.asked.append(claim)
        self.claims.fail("before")
        records = await super().claim(claim)
        self.claims.fail("after")
        return records


@pytest.fixture
def unreliable(store: Store) -> Unreliable:
    return Unreliable(store)


@pytest.fixture
def over(unreliable: Unreliable) -> ControlPlane:
    """A control plane over the unreliable store; the fixture ``plane`` is over the store itself."""
    return ControlPlane(unreliable, settings=QUICK)


@pytest.mark.parametrize("failures", [{"before": 2}, {"after": 2}, {"before": 1, "after": 1}])
async def test_whatever_is_lost_on_the_way_everything_happens_once(
    over: ControlPlane, unreliable: Unreliable, failures: dict[str, int]
) -> None:
    def break_down() -> None:
        for kept in (unreliable.commits, unreliable.claims):
            kept.before, kept.after = failures.get("before", 0), failures.get("after", 0)

    break_down()
    job = await enqueue(over)
    break_down()
    held = await claim(over)
    break_down()
    running = await over.queue.start(held)
    break_down()
    half = await over.queue.progress(running, percent=50)
    break_down()
    ended = await over.queue.complete(half, Outcome.exited(0))
    assert (ended.state, ended.attempt) == (JobState.SUCCESS, 1)
    assert await every_job(over) == [ended]
    told = [event.type for event in await story(over, job.job_id)]
    assert told == [
        "job.created",
        "job.enqueued",
        "job.claimed",
        "job.started",
        "job.progress",
        "job.succeeded",
    ]
    stats = await over.queue.stats()
    assert (stats.failure_rate, stats.average_wait_seconds) == (0.0, 0.0)


async def test_a_commit_is_repeated_as_it_was(over: ControlPlane, unreliable: Unreliable) -> None:
    await enqueue(over)
    unreliable.commits.asked.clear()
    unreliable.commits.before = 2
    await enqueue(over)
    first, *repeated = unreliable.commits.asked
    assert repeated == [first, first]


async def test_a_claim_is_repeated_as_it_was(over: ControlPlane, unreliable: Unreliable) -> None:
    await enqueue(over)
    await enqueue(over)
    unreliable.claims.after = 2
    held = await claim(over)
    assert {each.claim_id for each in unreliable.claims.asked} == {held.token.claim_id}
    assert len(unreliable.claims.asked) == 3
    assert (await over.queue.stats()).leased == 1


@pytest.mark.parametrize("which", ["before", "after"])
async def test_a_store_that_stays_away_is_said_to_be_unavailable(
    over: ControlPlane, unreliable: Unreliable, which: str
) -> None:
    await enqueue(over)
    setattr(unreliable.commits, which, 3)
    with pytest.raises(StoreUnavailable) as refused:
        await enqueue(over)
    assert refused.value.retryable
    setattr(unreliable.claims, which, 3)
    with pytest.raises(StoreUnavailable):
        await over.queue.claim(agent_id="a-1")


async def test_a_failure_of_the_store_that_has_no_class_of_its_own_is_repeated(
    over: ControlPlane, unreliable: Unreliable
) -> None:
    unreliable.commits.error = StoreError("locking protocol")
    unreliable.commits.before = 2
    await enqueue(over)
    assert len({each.commit_id for (each,) in unreliable.commits.asked[:3]}) == 1


@pytest.mark.parametrize(
    "error", [StoreFull("no room"), UnsupportedCapability("no index"), StoreReadOnly("a replica")]
)
async def test_a_failure_that_does_not_pass_in_a_moment_is_told_at_once(
    over: ControlPlane, unreliable: Unreliable, error: StoreError
) -> None:
    unreliable.commits.error = error
    unreliable.commits.before = 1
    with pytest.raises(type(error)):
        await enqueue(over)
    assert len(unreliable.commits.asked) == 1


async def test_a_caller_that_repeats_after_an_unknown_outcome_makes_no_second_job(
    over: ControlPlane, unreliable: Unreliable
) -> None:
    spec = JobSpec(job_type="build", idempotency_key="push 17")
    await over.queue.enqueue(evolve(spec, idempotency_key="push 16"))
    unreliable.commits.after = 3
    with pytest.raises(StoreUnavailable):
        await over.queue.enqueue(spec)
    job = await over.queue.enqueue(spec)
    assert job.state is JobState.QUEUED
    assert len(await every_job(over)) == 2


async def test_a_claim_whose_answer_was_lost_is_repeated_by_its_request_id(
    over: ControlPlane, unreliable: Unreliable
) -> None:
    job = await enqueue(over)
    unreliable.claims.after = 3
    with pytest.raises(StoreUnavailable):
        await over.queue.claim(agent_id="a-1", request_id="r-1")
    assert (await claim(over, request_id="r-1")).job.job_id == job.job_id


async def test_a_completion_whose_answer_was_lost_is_repeated_with_the_handle(
    over: ControlPlane, unreliable: Unreliable
) -> None:
    await enqueue(over)
    running = await run(over)
    unreliable.commits.after = 3
    with pytest.raises(StoreUnavailable):
        await over.queue.complete(running, Outcome.exited(0))
    ended = await over.queue.complete(running, Outcome.exited(0))
    assert ended.state is JobState.SUCCESS
    assert [event.type for event in await story(over, ended.job_id)].count("job.succeeded") == 1


class Unreachable(Relay):
    """A store that cannot be read."""

    async def page(self, query: Query) -> RecordPage:
        raise StoreUnavailable(f"no way to {query.partition.value}")


@pytest.mark.parametrize(
    "read",
    [
        lambda plane: plane.jobs.list(),
        lambda plane: plane.deployments.list(),
        lambda plane: plane.dashboard.summary(),
        lambda plane: plane.queue.stats(),
        lambda plane: plane.queue.stats("default"),
    ],
)
async def test_an_error_of_one_of_many_reads_comes_out_as_it_is(
    plane: ControlPlane, store: Store, read: Callable[[ControlPlane], Awaitable[object]]
) -> None:
    await enqueue(plane)
    with pytest.raises(StoreUnavailable, match="no way to"):
        await read(ControlPlane(Unreachable(store), settings=Settings(commit_attempts=1)))


class Crowded(Relay):
    """A store where somebody else always comes first."""

    conflicts = 0
    tried = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.tried += 1
        if self.conflicts:
            self.conflicts -= 1
            keys = [tuple((put.collection, put.key) for put in each.writes) for each in commits]
            return [*map(Conflict, keys)]
        return await super().commit(commits)


async def test_a_decision_is_made_again_after_a_conflict(plane: ControlPlane, store: Store) -> None:
    job = await enqueue(plane)
    crowded = Crowded(store)
    crowded.conflicts = 2
    over = ControlPlane(crowded, settings=QUICK)
    assert (await over.jobs.cancel(job.job_id)).state is JobState.CANCELLED
    assert crowded.tried == 3


async def test_who_is_never_first_gives_up_and_says_so(plane: ControlPlane, store: Store) -> None:
    job = await enqueue(plane)
    crowded = Crowded(store)
    crowded.conflicts = 99
    over = ControlPlane(crowded, settings=QUICK)
    with pytest.raises(TooManyConflicts) as refused:
        await over.jobs.cancel(job.job_id)
    assert (refused.value.keys, refused.value.attempts) == ((f"job {job.job_id}",), 3)
    assert refused.value.retryable
    with pytest.raises(TooManyConflicts):
        await over.agents.register(AgentSpec(agent_id="a-1"))
    with pytest.raises(TooManyConflicts):
        await enqueue(over, "a-new-lane")
    with pytest.raises(TooManyConflicts):
        await over.pools.put(PoolSpec(pool_name="fast"))
    assert await plane.jobs.get(job.job_id) == job


async def test_a_handle_that_went_stale_costs_a_conflict_and_no_more(
    plane: ControlPlane, store: Store
) -> None:
    once = ControlPlane(store, settings=Settings(commit_attempts=1))
    await enqueue(plane)
    held = await claim(once)
    await plane.jobs.reprioritise(held.job.job_id, Priority.HIGH)
    assert (await once.queue.start(held)).job.priority is Priority.HIGH


async def test_a_refusal_is_told_as_it_is_with_the_fewest_tries_too(store: Store) -> None:
    once = ControlPlane(store, settings=Settings(commit_attempts=1))
    await enqueue(once)
    held = await claim(once)
    with pytest.raises(IllegalTransition, match="acknowledged start"):
        await once.queue.complete(held, Outcome.exited(0))


async def test_a_record_that_cannot_be_read_is_said_to_be_corrupt_and_left_alone(
    plane: ControlPlane, store: Store
) -> None:
    job = await enqueue(plane)
    await damage(store, "jobs", job.job_id)
    with pytest.raises(CorruptRecord) as refused:
        await plane.jobs.cancel(job.job_id)
    assert (refused.value.collection, refused.value.key) == ("jobs", job.job_id)
    assert (await store.get("jobs", [job.job_id]))[job.job_id].body == b"\xff not JSON"


async def test_fields_of_a_newer_library_survive_everything_that_this_one_does(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    job = await enqueue(plane)
    record = (await store.get("jobs", [job.job_id]))[job.job_id]
    newer = Put(
        collection="jobs",
        key=job.job_id,
        expected=record.version,
        body=record.body[:-1] + b',"of_tomorrow":[1,2]}',
        attributes=record.attributes,
        lease_limit=record.lease_limit,
    )
    await store.commit([Commit(commit_id="c-1", writes=(newer,))])
    running = await run(plane)
    await plane.jobs.cancel(job.job_id)
    await plane.queue.complete(running, Outcome.cancelled("stopped"))
    body = (await store.get("jobs", [job.job_id]))[job.job_id].body
    assert b'"of_tomorrow":[1,2]' in body


async def test_nothing_is_told_of_what_did_not_happen(
    over: ControlPlane, unreliable: Unreliable
) -> None:
    await enqueue(over)
    before = await everything_told(over)
    unreliable.commits.before = 3
    with pytest.raises(StoreUnavailable):
        await enqueue(over)
    assert await everything_told(over) == before
