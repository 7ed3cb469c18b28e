"""Why a job is not being picked up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cicd_core.model.agent import Agent, AgentStatus, StuckJob
from cicd_core.model.job import Attempt, Job, JobState, Verdict
from cicd_core.queueing.why import JobContext, Reason, ReasonCode, explain

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
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


def only(subject: Job, surroundings: JobContext) -> Reason:
    (reason,) = explain(subject, surroundings)
    assert reason.what_to_do
    return reason


def test_a_job_that_an_idle_agent_can_run_is_about_to_be_claimed() -> None:
    assert only(job(), around(agent())).code is C.ABOUT_TO_BE_CLAIMED


def test_a_job_that_was_never_enqueued_says_so() -> None:
    reason = only(job(state=JobState.PENDING), around(agent()))
    assert (reason.code, reason.what_to_do) == (C.NOT_ENQUEUED, "enqueue it")


def test_a_tracked_run_is_never_claimed() -> None:
    reason = only(job(state=JobState.PENDING, tracked=True), around(agent()))
    assert (reason.code, reason.what_to_do) == (C.NOT_ENQUEUED, "record its progress")


@pytest.mark.parametrize("state", [JobState.CLAIMED, JobState.RUNNING])
def test_a_job_that_an_agent_holds_names_it(state: JobState) -> None:
    reason = only(job(state=state, agent_id="worker-7"), around())
    assert reason.code is C.HELD
    assert reason.message == f"it is already {state}: agent 'worker-7'"


def test_a_tracked_run_that_runs_has_no_holder() -> None:
    reason = only(job(state=JobState.RUNNING, tracked=True), around())
    assert reason.message == "it is already running: an external system runs it"


@pytest.mark.parametrize(
    "state",
    [
        JobState.SUCCESS,
        JobState.FAILED,
        JobState.TIMEOUT,
        JobState.ERROR,
        JobState.CANCELLED,
    ],
)
def test_a_job_that_has_ended_says_how(state: JobState) -> None:
    ended = job(state=state, cancel_requested_at=NOW, cancel_reason="no need")
    reason = only(ended, around())
    assert (reason.code, reason.message) == (C.ENDED, f"it has ended: {state}")


def test_a_dead_letter_says_what_happened_and_to_replay_it() -> None:
    dead = job(
        state=JobState.DEAD_LETTERED, attempts_used=3, max_attempts=3, error_message="disk full"
    )
    reason = only(dead, around())
    assert reason.code is C.DEAD_LETTERED
    assert "3 of 3 attempts" in reason.message
    assert reason.message.endswith("disk full")
    assert "replay" in reason.what_to_do


def test_a_dead_letter_without_a_message_says_that_too() -> None:
    assert only(job(state=JobState.DEAD_LETTERED), around()).message.endswith(
        "the last error: none"
    )


def test_a_requested_cancel_comes_before_everything_else() -> None:
    running = job(
        state=JobState.RUNNING, agent_id="a", cancel_requested_at=NOW, cancel_reason="superseded"
    )
    first, second = explain(running, around())
    assert (first.code, second.code) == (C.CANCEL_REQUESTED, C.HELD)
    assert first.message == "its cancel was requested at 2026-11-21T12:00:00Z: superseded"


def test_a_passed_deadline_ends_the_job() -> None:
    first, second = explain(job(deadline_at=NOW), around())
    assert (first.code, second.code) == (C.DEADLINE_PASSED, C.NO_AGENTS)


def test_a_deadline_to_come_is_no_reason() -> None:
    later = job(deadline_at=NOW + timedelta(microseconds=1))
    assert only(later, around(agent())).code is C.ABOUT_TO_BE_CLAIMED


def test_a_delayed_job_says_until_when() -> None:
    reason = only(job(ready_at=None, run_at=NOW + timedelta(seconds=90)), around(agent()))
    assert reason.code is C.DELAYED
    assert reason.message == (
        "it is delayed until 2026-11-21T12:01:30Z, in 90 s: its run_at says so"
    )


def test_a_backoff_says_what_the_last_attempt_said() -> None:
    attempt = Attempt(
        number=2,
        agent_id="a",
        fence=7,
        claim_id="0" * 32,
        claimed_at=NOW,
        ended_at=NOW,
        verdict=Verdict.ERROR,
        reason="checkout broke",
    )
    waiting = job(ready_at=None, run_at=NOW + timedelta(seconds=4), attempt=2, attempts=(attempt,))
    assert only(waiting, around(agent())).message.endswith(
        "in 4 s: attempt 2 ended: checkout broke"
    )


@pytest.mark.parametrize("run_at", [None, NOW, NOW - timedelta(hours=1)])
def test_a_delay_that_is_over_waits_for_maintenance(run_at: datetime | None) -> None:
    reason = only(job(ready_at=None, run_at=run_at), around(agent()))
    assert reason.code is C.DUE
    assert "maintenance" in reason.what_to_do


def test_a_job_that_is_ready_is_not_delayed_any_more() -> None:
    ready = job(ready_at=NOW, run_at=NOW - timedelta(hours=1))
    assert only(ready, around(agent())).code is C.ABOUT_TO_BE_CLAIMED


def test_a_lane_that_is_not_listed_is_seen_by_nobody() -> None:
    reason = only(job(), around(agent(), lane_listed=False))
    assert reason.code is C.LANE_NOT_LISTED
    assert "'default|build|gpu,linux'" in reason.message


def test_a_pool_that_does_not_exist_is_named() -> None:
    reason = only(job(pool_name="gpus"), around(pool_exists=False))
    assert reason.code is C.NO_POOL
    assert "'gpus'" in reason.message


def test_a_pool_without_agents_is_named() -> None:
    gone = agent(status=AgentStatus.TERMINATED)
    reason = only(job(), around(gone))
    assert (reason.code, reason.message) == (C.NO_AGENTS, "pool 'default' has no agents")


def test_a_pool_that_has_agents_needs_no_record() -> None:
    assert only(job(), around(agent(), pool_exists=False)).code is C.ABOUT_TO_BE_CLAIMED


def test_missing_labels_name_the_nearest_agent_and_what_it_lacks() -> None:
    agents = (
        agent("c", labels=("windows",)),
        agent("b", labels=("linux",), status=AgentStatus.OFFLINE),
        agent("d", labels=("linux", "arm")),
    )
    reason = only(job(), around(*agents))
    assert reason.code is C.NO_AGENT_WITH_LABELS
    assert reason.message == (
        "no agent in pool 'default' has all its labels (gpu, linux): "
        "the closest of 3, 'd', lacks gpu"
    )
    assert reason.what_to_do == "start an agent with those labels, or restart 'd' with gpu added"


def test_a_job_type_without_a_handler_names_an_agent_and_what_it_handles() -> None:
    agents = (
        agent("a", job_types=("lint",), status=AgentStatus.OFFLINE),
        agent("c", job_types=("lint",)),
        agent("b", job_types=("deploy", "test")),
        agent("d", labels=(), job_types=("build",)),
    )
    reason = only(job(), around(*agents))
    assert reason.code is C.NO_AGENT_FOR_TYPE
    assert reason.message == (
        "no agent with its labels handles the job type 'build': of 3, 'b' handles deploy, test"
    )


def test_labels_are_not_spoken_of_where_a_job_requires_none() -> None:
    reason = only(job(labels=()), around(agent("a", job_types=("lint",))))
    assert reason.message == ("no agent handles the job type 'build': of 1, 'a' handles lint")
    assert reason.what_to_do == "start an agent that has a handler for 'build'"


def test_an_agent_with_a_handler_of_the_type_can_run_it() -> None:
    able = agent(job_types=("build", "test"))
    assert only(job(), around(able)).code is C.ABOUT_TO_BE_CLAIMED


def test_agents_that_take_no_work_are_counted_by_their_status() -> None:
    agents = (
        agent("a", status=AgentStatus.OFFLINE),
        agent("b", status=AgentStatus.UNHEALTHY),
        agent("c", status=AgentStatus.TERMINATING),
        agent("d", status=AgentStatus.OFFLINE),
        agent("e", labels=()),
    )
    reason = only(job(), around(*agents))
    assert reason.code is C.NO_AGENT_TAKES_WORK
    assert reason.message == (
        "no agent that can run it takes work: 2 offline, 1 terminating, 1 unhealthy"
    )


def test_busy_agents_say_how_many_slots_are_used() -> None:
    agents = (agent("a", slots=2, running=2), agent("b", slots=4, running=0))
    reason = only(job(), around(*agents, held={"b": 4}))
    assert reason.code is C.ALL_BUSY
    assert "2 agents, 6 of 6 slots used" in reason.message


def test_one_free_slot_is_enough() -> None:
    agents = (agent("a", slots=2, running=2), agent("b", slots=4, running=4))
    assert only(job(), around(*agents, held={"b": 3})).code is C.ABOUT_TO_BE_CLAIMED


def test_jobs_ahead_are_counted_where_they_wait() -> None:
    reason = only(job(), around(agent(), ahead_in_lane=1, ahead_elsewhere=2))
    assert reason.code is C.JOBS_AHEAD
    assert reason.message == (
        "3 jobs ahead of it, with a higher priority or enqueued earlier: 1 in its own lane, "
        "2 in others that the same agents serve"
    )


def test_a_count_that_stopped_early_says_at_least() -> None:
    reason = only(job(), around(agent(), ahead_in_lane=1, more_ahead=True))
    assert reason.message.startswith("at least 1 job ahead of it")


def test_all_reasons_are_told_in_the_order_of_their_list() -> None:
    waiting = job(
        cancel_requested_at=NOW,
        deadline_at=NOW,
        ready_at=None,
        run_at=NOW + timedelta(seconds=1),
    )
    busy = around(agent(running=1), lane_listed=False, ahead_elsewhere=1)
    codes = [reason.code for reason in explain(waiting, busy)]
    assert codes == [
        C.CANCEL_REQUESTED,
        C.DEADLINE_PASSED,
        C.DELAYED,
        C.LANE_NOT_LISTED,
        C.ALL_BUSY,
        C.JOBS_AHEAD,
    ]
    assert codes == [code for code in C if code in codes]


def stuck(*reason: str, slots: int, **changes: Any) -> Agent:
    """An agent with slots that can't be freed."""
    jobs = tuple(
        StuckJob(job_id=f"j-{number}", since=NOW, reason=each) for number, each in enumerate(reason)
    )
    return agent(slots=slots, stuck=jobs, stuck_slots=len(jobs), **changes)


def test_a_slot_that_is_stuck_is_told_with_the_job_that_takes_it() -> None:
    ill = stuck("timeout", slots=1, status=AgentStatus.UNHEALTHY)
    reason = only(job(), around(ill, agent("gone", status=AgentStatus.TERMINATED)))
    assert reason.code is C.SLOTS_STUCK
    assert "1 slot of 1 agent stuck: on 'a' job 'j-0' was stopped (timeout)" in reason.message


def test_a_lost_job_that_still_runs_takes_a_slot_besides_those_of_the_jobs_that_are_held() -> None:
    half = stuck("lease_lost", slots=2, status=AgentStatus.DEGRADED)
    codes = [reason.code for reason in explain(job(), around(half, held={"a": 1}))]
    assert codes == [C.ALL_BUSY, C.SLOTS_STUCK]
    assert only(job(), around(half, held={"a": 0})).code is C.ABOUT_TO_BE_CLAIMED


def test_a_stuck_slot_that_still_holds_its_job_is_counted_once() -> None:
    half = stuck("timeout", slots=2, status=AgentStatus.DEGRADED)
    assert only(job(), around(half, held={"a": 1})).code is C.ABOUT_TO_BE_CLAIMED


def test_an_agent_that_is_offline_beside_a_stuck_one_is_told_too() -> None:
    ill = stuck("timeout", slots=1, status=AgentStatus.UNHEALTHY)
    asked = explain(job(), around(ill, agent("b", status=AgentStatus.OFFLINE)))
    assert [reason.code for reason in asked] == [C.NO_AGENT_TAKES_WORK, C.SLOTS_STUCK]


def test_a_pool_whose_agents_can_t_be_read_says_so() -> None:
    reason = only(job(), around(unreadable=2))
    assert reason.code is C.NO_AGENTS
    assert "2 agents cannot be read here" in reason.message


def test_a_reason_says_that_more_agents_can_t_be_read() -> None:
    reason = only(job(), around(agent(labels=()), unreadable=1))
    assert reason.code is C.NO_AGENT_WITH_LABELS
    assert reason.message.endswith("; 1 agent of the pool cannot be read here")


def test_offline_agents_that_are_not_shown_are_counted() -> None:
    offline = agent(status=AgentStatus.OFFLINE)
    reason = only(job(), around(offline, more_offline=3))
    assert reason.code is C.NO_AGENT_TAKES_WORK
    assert "(3 more of the pool are offline)" in reason.message
