"""One call that ends several attempts and claims: each part has its own answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from attrs import evolve

from cicd_core import (
    AgentSpec,
    AgentUnavailable,
    ClaimRef,
    ClaimRequest,
    ControlPlane,
    IllegalTransition,
    InvalidInput,
    JobState,
    LeaseLost,
    LeaseToken,
    Outcome,
    Priority,
    StoreUnavailable,
    TooLarge,
)
from cicd_core.model.claim import MAX_ENDS
from cicd_core.model.principal import NotPermitted
from tests.services.broken_stores import Relay
from tests.services.metering import Meter
from tests.services.scenes import AGENT, SETTINGS, enqueue, taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core import ClaimedJob
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict

pytestmark = pytest.mark.anyio

SUCCESS = Outcome.success()


async def hold(plane: ControlPlane, number: int) -> list[ClaimedJob]:
    """Let the agent run so many new jobs."""
    for _ in range(number):
        await enqueue(plane)
    return await plane.queue.claim(agent_id=AGENT, limit=number, start=True)


def reference(claimed: ClaimedJob, agent_id: str | None = None) -> ClaimRef:
    return ClaimRef(job_id=claimed.job.job_id, token=claimed.token, agent_id=agent_id)


async def states(plane: ControlPlane, claims: Sequence[ClaimedJob]) -> list[JobState]:
    return [(await plane.jobs.get(each.job.job_id)).state for each in claims]


async def test_the_ends_of_an_exchange_go_to_the_store_as_one_list(store: Store) -> None:
    meter = Meter(store)
    plane = ControlPlane(meter, settings=SETTINGS)
    held = await hold(plane, 3)
    meter.committed.clear()
    outcomes = [SUCCESS, Outcome.exited(3), Outcome.error("broken")]
    done = await plane.queue.exchange(list(zip(held, outcomes, strict=True)))
    assert (done.errors, done.claims, done.claim_error) == ((None,) * 3, (), None)
    assert meter.committed == [taken(held)]
    assert await states(plane, held) == [JobState.SUCCESS, JobState.FAILED, JobState.QUEUED]


async def test_references_are_read_together(store: Store) -> None:
    meter = Meter(store)
    plane = ControlPlane(meter, settings=SETTINGS)
    held = await hold(plane, 3)
    meter.calls = meter.rows = 0
    done = await plane.queue.exchange([(reference(each), SUCCESS) for each in held])
    assert done.errors == (None,) * 3
    assert (meter.calls, meter.rows) == (1, 3)


async def test_a_refused_end_changes_nothing_for_the_others(plane: ControlPlane) -> None:
    held = await hold(plane, 5)
    lost, uncancelled, foreign, *good = held
    await plane.queue.release(lost)
    stranger = evolve(lost, token=LeaseToken(fence=1, claim_id="another"))
    gone = ClaimRef(job_id="never-was", token=lost.token)
    done = await plane.queue.exchange(
        [
            (stranger, SUCCESS),
            (good[0], SUCCESS),
            (uncancelled, Outcome.cancelled("on a whim")),
            (reference(foreign, "a-2"), SUCCESS),
            (gone, SUCCESS),
            (reference(good[1], AGENT), SUCCESS),
        ]
    )
    assert [type(error) for error in done.errors] == [
        LeaseLost,
        type(None),
        IllegalTransition,
        NotPermitted,
        LeaseLost,
        type(None),
    ]
    assert await states(plane, held) == [
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.RUNNING,
        JobState.SUCCESS,
        JobState.SUCCESS,
    ]


async def test_a_repeated_end_counts_once_and_another_verdict_is_too_late(
    plane: ControlPlane,
) -> None:
    (held,) = await hold(plane, 1)
    failed = Outcome.failed("no")
    done = await plane.queue.exchange([(held, SUCCESS), (held, SUCCESS), (held, failed)])
    assert done.errors[:2] == (None, None)
    assert isinstance(done.errors[2], LeaseLost)
    again = await plane.queue.exchange([(reference(held), SUCCESS)])
    assert again.errors == (None,)
    job = await plane.jobs.get(held.job.job_id)
    assert (job.state, len(job.attempts)) == (JobState.SUCCESS, 1)


async def test_an_end_from_an_old_copy_of_the_job_counts(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    first, second = await hold(plane, 2)
    await other_plane.jobs.cancel(first.job.job_id, actor="ada", reason="not needed")
    done = await plane.queue.exchange([(first, Outcome.cancelled("asked")), (second, SUCCESS)])
    assert done.errors == (None, None)
    assert await states(plane, [first, second]) == [JobState.CANCELLED, JobState.SUCCESS]


async def test_an_exchange_claims_the_best_jobs_in_order(plane: ControlPlane) -> None:
    held = await hold(plane, 1)
    low = await enqueue(plane, priority=Priority.LOW)
    first, second = [await enqueue(plane) for _ in range(2)]
    urgent = await enqueue(plane, priority=Priority.CRITICAL)
    request = ClaimRequest(agent_id=AGENT, limit=3, start=True, request_id="r-1")
    done = await plane.queue.exchange([(held[0], SUCCESS)], request)
    assert taken(done.claims) == [urgent.job_id, first.job_id, second.job_id]
    assert all(each.job.state is JobState.RUNNING for each in done.claims)
    # A repetition, after a lost answer, says the same.
    again = await plane.queue.exchange([(held[0], SUCCESS)], request)
    assert (again.errors, taken(again.claims)) == ((None,), taken(done.claims))
    assert (await plane.jobs.get(low.job_id)).state is JobState.QUEUED


async def test_an_agent_that_gets_no_work_can_still_end_jobs(plane: ControlPlane) -> None:
    await plane.agents.register(AgentSpec(agent_id=AGENT))
    (held,) = await hold(plane, 1)
    await plane.agents.drain(AGENT, reason="out of season", actor="ada")
    await enqueue(plane)
    fresh = ControlPlane(plane.store, settings=SETTINGS)  # without a cache of healthy agents
    done = await fresh.queue.exchange([(held, SUCCESS)], ClaimRequest(agent_id=AGENT))
    assert (done.errors, done.claims) == ((None,), ())
    assert isinstance(done.claim_error, AgentUnavailable)
    assert await states(plane, [held]) == [JobState.SUCCESS]


@pytest.mark.parametrize(
    ("ends", "field"),
    [
        ("abc", "ends"),
        (7, "ends"),
        ([7], r"ends\[0\]"),
        ([("job-1", SUCCESS)], r"ends\[0\].claimed"),
        ([(ClaimRef(job_id="a", token=LeaseToken(fence=1, claim_id="c")), 0)], "outcome"),
    ],
)
async def test_a_wrong_end_is_refused_with_its_place(
    plane: ControlPlane, ends: object, field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        await plane.queue.exchange(cast("Any", ends))


async def test_too_many_ends_are_refused(plane: ControlPlane) -> None:
    (held,) = await hold(plane, 1)
    with pytest.raises(TooLarge, match="ends"):
        await plane.queue.exchange([(held, SUCCESS)] * (MAX_ENDS + 1))
    assert await states(plane, [held]) == [JobState.RUNNING]


class RefusesLists(Relay):
    """A store one of whose commits is over a limit, if it comes in a list."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if len(commits) > 1:
            raise TooLarge("commits[0].body", 400_001, 400_000)
        return await super().commit(commits)


async def test_a_commit_over_a_limit_does_not_refuse_the_others(store: Store) -> None:
    plane = ControlPlane(RefusesLists(store), settings=SETTINGS)
    held = await hold(plane, 1) + await hold(plane, 1)
    done = await plane.queue.exchange([(each, SUCCESS) for each in held])
    assert done.errors == (None, None)
    assert await states(plane, held) == [JobState.SUCCESS] * 2


class LosesAnswers(Relay):
    """A store that applies lists of commits, and loses each answer."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        if len(commits) > 1:
            raise StoreUnavailable("the connection was reset after the commit")
        return answers


async def test_an_exchange_whose_answer_was_lost_may_be_repeated(store: Store) -> None:
    plane = ControlPlane(store, settings=SETTINGS)
    held = await hold(plane, 2)
    ends = [(each, SUCCESS) for each in held]
    with pytest.raises(StoreUnavailable):
        await ControlPlane(LosesAnswers(store), settings=SETTINGS).queue.exchange(ends)
    assert (await plane.queue.exchange(ends)).errors == (None, None)
    jobs = [await plane.jobs.get(each.job.job_id) for each in held]
    assert [(job.state, len(job.attempts)) for job in jobs] == [(JobState.SUCCESS, 1)] * 2
