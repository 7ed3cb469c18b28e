"""There is always a reason, and always something to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.job import Job, JobState
from cicd_core.queueing.lanes import lane_of, serves
from cicd_core.queueing.why import JobContext, ReasonCode, explain

if TYPE_CHECKING:
    from cicd_core.queueing.why import Reason

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
INSTANTS = st.none() | st.integers(-2, 2).map(lambda hours: NOW + timedelta(hours=hours))
NAMES = st.frozensets(st.sampled_from(["a", "b", "c"])).map(lambda names: tuple(sorted(names)))

JOBS = st.builds(
    Job,
    job_id=st.just("j"),
    job_type=st.sampled_from(["a", "b"]),
    state=st.sampled_from(JobState) | st.just(JobState.QUEUED),
    created_at=st.just(NOW),
    labels=NAMES,
    run_at=INSTANTS,
    ready_at=INSTANTS,
    deadline_at=INSTANTS,
    cancel_requested_at=INSTANTS,
    tracked=st.booleans(),
    agent_id=st.none() | st.just("a"),
)
AGENTS = st.builds(
    Agent,
    agent_id=st.sampled_from(["w1", "w2", "w3"]),
    pool_name=st.just("default"),
    status=st.sampled_from(AgentStatus) | st.just(AgentStatus.HEALTHY),
    incarnation=st.just("0" * 32),
    created_at=st.just(NOW),
    registered_at=st.just(NOW),
    labels=NAMES,
    job_types=st.none() | st.just(("a",)),
    slots=st.integers(1, 3),
    running=st.none() | st.integers(0, 3),
)
AROUND = st.builds(
    JobContext,
    now=st.just(NOW),
    pool_exists=st.booleans(),
    lane_listed=st.booleans(),
    agents=st.lists(AGENTS, max_size=3, unique_by=lambda agent: agent.agent_id),
    ahead_in_lane=st.integers(0, 2),
    ahead_elsewhere=st.integers(0, 2),
    more_ahead=st.booleans(),
)


@given(JOBS, AROUND)
def test_every_job_gets_reasons_in_order_each_with_something_to_do(
    job: Job, around: JobContext
) -> None:
    reasons: tuple[Reason, ...] = explain(job, around)
    codes = [reason.code for reason in reasons]
    assert codes
    assert codes == [code for code in ReasonCode if code in codes]
    assert all(reason.message and reason.what_to_do for reason in reasons)


@given(JOBS, AROUND)
def test_a_job_is_about_to_be_claimed_only_if_an_agent_could_claim_it(
    job: Job, around: JobContext
) -> None:
    free = [
        agent
        for agent in around.agents
        if agent.takes_work
        and serves(lane_of(job), agent.labels, agent.job_types)
        and (agent.running or 0) < agent.slots
    ]
    claimable = (
        job.state is JobState.QUEUED
        and job.ready_at is not None
        and job.cancel_requested_at is None
        and (job.deadline_at is None or job.deadline_at > NOW)
    )
    nothing_ahead = around.ahead_in_lane + around.ahead_elsewhere == 0
    expected = claimable and bool(free) and around.lane_listed and nothing_ahead
    codes = [reason.code for reason in explain(job, around)]
    assert (codes == [ReasonCode.ABOUT_TO_BE_CLAIMED]) is expected
