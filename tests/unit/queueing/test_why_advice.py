"""What helps a job that is not picked up: each advice, word for word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cicd_core.model.agent import Agent, AgentStatus, StuckJob
from cicd_core.model.job import Job, JobState
from cicd_core.queueing.why import JobContext, ReasonCode, explain

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
C = ReasonCode


def job(**changes: Any) -> Job:
    facts: dict[str, Any] = {
        "job_id": "j",
        "job_type": "build",
        "state": JobState.QUEUED,
        "created_at": NOW,
        "labels": ("gpu", "linux"),
        "queued_at": NOW,
        "ready_at": NOW,
    }
    return Job(**facts | changes)


def agent(agent_id: str = "a", **changes: Any) -> Agent:
    facts: dict[str, Any] = {
        "agent_id": agent_id,
        "pool_name": "default",
        "status": AgentStatus.HEALTHY,
        "incarnation": "0" * 32,
        "created_at": NOW,
        "registered_at": NOW,
        "labels": ("gpu", "linux"),
    }
    return Agent(**facts | changes)


def around(*agents: Agent, **changes: Any) -> JobContext:
    facts: dict[str, Any] = {"now": NOW, "pool_exists": True, "lane_listed": True}
    return JobContext(agents=agents, **facts | changes)


#: The job and what is around it, the reason, and what helps.
ADVICE: list[tuple[Job, JobContext, ReasonCode, str]] = [
    (
        job(cancel_requested_at=NOW, cancel_reason="no need"),
        around(agent()),
        C.CANCEL_REQUESTED,
        "nothing: it ends as cancelled and is not claimed again",
    ),
    (
        job(state=JobState.DEAD_LETTERED),
        around(),
        C.DEAD_LETTERED,
        "fix the cause, then replay it",
    ),
    (job(state=JobState.FAILED), around(), C.ENDED, "create another job to run the work again"),
    (
        job(state=JobState.RUNNING, agent_id="a"),
        around(),
        C.HELD,
        "nothing: it ends, or returns to the queue when its lease expires",
    ),
    (
        job(deadline_at=NOW),
        around(agent()),
        C.DEADLINE_PASSED,
        "enqueue another job, with a later deadline or none",
    ),
    (
        job(ready_at=None),
        around(agent()),
        C.DUE,
        (
            "run maintenance on this store: a ControlPlane, `cicd-core agent` or `cicd-core serve` "
            "does, unless maintenance is turned off"
        ),
    ),
    (job(ready_at=None, run_at=SOON), around(agent()), C.DELAYED, "wait"),
    (
        job(),
        around(agent(), lane_listed=False),
        C.LANE_NOT_LISTED,
        (
            "nothing: maintenance checks the queued jobs and lists their lanes again; another "
            "job with the same pool, job type and labels also does so, after at most a minute"
        ),
    ),
    (
        job(),
        around(pool_exists=False),
        C.NO_POOL,
        "start an agent in pool 'default', or enqueue the job in an existing pool",
    ),
    (job(), around(), C.NO_AGENTS, "start an agent in pool 'default'"),
    (
        job(),
        around(agent("b", labels=())),
        C.NO_AGENT_WITH_LABELS,
        "start an agent with those labels, or restart 'b' with gpu, linux added",
    ),
    (
        job(),
        around(agent(job_types=("lint",))),
        C.NO_AGENT_FOR_TYPE,
        "start an agent with those labels that has a handler for 'build'",
    ),
    (
        job(),
        around(agent(status=AgentStatus.OFFLINE)),
        C.NO_AGENT_TAKES_WORK,
        "restore one of them (see the reason for its status), or start another agent",
    ),
    (
        job(),
        around(agent(running=1)),
        C.ALL_BUSY,
        "wait for a free slot, or add agents or slots",
    ),
    (
        job(),
        around(
            agent(
                status=AgentStatus.UNHEALTHY,
                stuck_slots=1,
                stuck=(StuckJob(job_id="j-0", since=NOW, reason="timeout"),),
            )
        ),
        C.SLOTS_STUCK,
        (
            "restart agent 'a', or let it exit by itself in that case (option "
            "exit_when_stuck); a handler in a thread must check run.cancelled"
        ),
    ),
    (
        job(),
        around(agent(), ahead_in_lane=1),
        C.JOBS_AHEAD,
        "wait, add agents, or raise its priority",
    ),
    (
        job(),
        around(agent()),
        C.ABOUT_TO_BE_CLAIMED,
        "nothing: the agent claims it at its next request",
    ),
    (job(state=JobState.PENDING), around(), C.NOT_ENQUEUED, "enqueue it"),
]


@pytest.mark.parametrize(
    ("subject", "surroundings", "code", "what_to_do"), ADVICE, ids=[each[2] for each in ADVICE]
)
def test_each_reason_says_what_helps(
    subject: Job, surroundings: JobContext, code: ReasonCode, what_to_do: str
) -> None:
    (reason,) = explain(subject, surroundings)
    assert (reason.code, reason.what_to_do) == (code, what_to_do)


def test_every_reason_is_advised_on() -> None:
    assert {each[2] for each in ADVICE} == set(ReasonCode)


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (
            job(ready_at=None),
            "its delay is over, but maintenance has not made it ready yet",
        ),
        (job(), "nothing blocks it: an agent that can run it has a free slot"),
        (job(state=JobState.PENDING), "it was never enqueued"),
        (
            job(state=JobState.PENDING, tracked=True),
            "an external system runs it; cicd_core only records it",
        ),
    ],
)
def test_a_reason_says_what_is_the_case(subject: Job, message: str) -> None:
    (reason,) = explain(subject, around(agent()))
    assert reason.message == message


def test_a_count_is_whole_unless_it_says_that_it_stopped() -> None:
    assert around().more_ahead is False
