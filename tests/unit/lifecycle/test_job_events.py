"""What each change of a job tells, word for word, and what it leaves in the attempt that ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from cicd_core.increments import Increment
from cicd_core.lifecycle import jobs, leases, tracked_runs
from cicd_core.model.instants import to_micros
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome
from tests.unit.lifecycle.job_matrix import (
    CLAIMED_AT,
    COMMANDS,
    ERROR,
    FAILED,
    LATER,
    NOON,
    STANDING,
    STARTED_AT,
    SUCCESS,
    S,
    asked_to_stop,
    claim,
    claimed,
    created,
    dead_letter,
    end,
    queued,
    running,
    token_of,
    tracked,
)

HELD = {"attempt": 1, "fence": to_micros(CLAIMED_AT)}
FIRST = {"attempt": 1, "fence": to_micros(LATER)}
LOST = "agent 'a-1' stopped renewing its lease"
UNSTARTED = "agent 'a-1' claimed it but did not start it in time"
ONCE = "released after its start (drained), but it may run at most once"

#: By the job and the command: the event, who, why, and what else it says.
TOLD: dict[tuple[str, str], tuple[str, str, str, dict[str, Any]]] = {
    ("pending", "submit"): ("enqueued", "ann", "enqueued", {"priority": "normal"}),
    ("queued", "claim"): ("claimed", "a-2", "attempt 1", FIRST),
    ("claimed", "start"): ("started", "a-1", "attempt 1", HELD),
    ("running", "complete, success"): ("succeeded", "a-1", "success", HELD | {"exit_code": 0}),
    ("running", "complete, failed"): ("failed", "a-1", "failed", HELD | {"exit_code": 1}),
    ("running", "complete, timeout"): (
        "timed_out",
        "a-1",
        "too slow",
        HELD | {"exit_code": None},
    ),
    ("running", "complete, error"): ("retried", "a-1", "no disk", HELD | {"verdict": "error"}),
    ("running, last attempt", "complete, failed"): (
        "dead_lettered",
        "a-1",
        "attempt 1 of 1: failed, exit code 1",
        HELD | {"verdict": "failed"},
    ),
    ("running, nothing is tried again", "complete, error"): (
        "errored",
        "a-1",
        "no disk",
        HELD | {"exit_code": None},
    ),
    ("running", "release"): ("released", "a-1", "released: drained", HELD | {"verdict": None}),
    ("running, at most once", "release"): ("errored", "a-1", ONCE, HELD | {"exit_code": None}),
    ("running, cancel requested", "release"): (
        "cancelled",
        "a-1",
        "cancel requested: wrong branch; released: drained",
        HELD | {"verdict": None},
    ),
    ("running, cancel requested", "complete, cancelled"): (
        "cancelled",
        "a-1",
        "stopped",
        HELD | {"exit_code": None},
    ),
    ("claimed", "expire lease"): (
        "lease_expired",
        "maintenance",
        UNSTARTED,
        HELD | {"verdict": "error"},
    ),
    ("running", "expire lease"): (
        "lease_expired",
        "maintenance",
        LOST,
        HELD | {"verdict": "error"},
    ),
    ("running", "expire lease at its limit"): (
        "timed_out",
        "maintenance",
        "ran longer than 3600 s on agent 'a-1'",
        HELD | {"exit_code": None},
    ),
    ("claimed, deadline passed", "expire lease"): (
        "timed_out",
        "maintenance",
        "claimed, but not started by its deadline",
        HELD | {"exit_code": None},
    ),
}
#: The events that do not name the job's pool.
WITHOUT_POOL = {"started"}


@pytest.mark.parametrize(("name", "given"), TOLD)
def test_a_step_tells_who_made_it_why_and_what_it_belongs_to(name: str, given: str) -> None:
    before, (told, actor, reason, more) = STANDING[name], TOLD[name, given]
    decision = COMMANDS[given].give(before)
    (event,) = decision.events
    assert event.type == f"job.{told}"
    pool = {} if told in WITHOUT_POOL else {"pool": "default"}
    assert event.data == {
        "from": before.state.value,
        "to": decision.value.state.value,
        "actor": actor,
        "reason": reason,
        **more,
        **pool,
    }


def test_a_promotion_is_told_by_maintenance() -> None:
    (event,) = COMMANDS["promote"].give(STANDING["delayed, due"]).events
    assert event.data == {"actor": "maintenance"}


def test_what_was_recorded_says_so() -> None:
    started = tracked_runs.record_start(created(), now=LATER, actor="jenkins", started_at=None)
    ended = tracked_runs.record_execution(tracked(), SUCCESS, now=LATER, actor="jenkins")
    assert [event.data for event in (*started.events, *ended.events)] == [
        {
            "from": "pending",
            "to": "running",
            "actor": "jenkins",
            "reason": "recorded",
            "tracked": True,
        },
        {
            "from": "running",
            "to": "success",
            "actor": "jenkins",
            "reason": "recorded",
            "tracked": True,
        },
    ]
    (_created, start), (_first, _second, last) = started.value.history, ended.value.history
    for step in (start, last):
        assert (step.at, step.actor, step.reason) == (LATER, "jenkins", "recorded")


def test_a_run_of_which_nothing_was_known_is_measured_by_the_times_that_are_told() -> None:
    recorded = tracked_runs.record_execution(
        created(), SUCCESS, now=LATER, actor="jenkins", started_at=NOON, completed_at=STARTED_AT
    )
    assert Increment("run/20261121|default|ms", 15_000) in recorded.increments


def test_the_same_recorded_verdict_again_leaves_the_job_as_it_is() -> None:
    job = tracked_runs.record_execution(tracked(), SUCCESS, now=LATER, actor="jenkins").value
    assert tracked_runs.record_execution(job, SUCCESS, now=LATER, actor="jenkins").value is job


def test_a_run_of_less_than_a_second_is_measured_as_it_was() -> None:
    soon = STARTED_AT + timedelta(milliseconds=250)
    decision = leases.complete(running(), token_of(running()), SUCCESS, now=soon)
    assert Increment("run/20261121|default|ms", 250) in decision.increments


def test_a_job_that_misses_its_deadline_in_an_agents_hands_says_so_in_the_attempt() -> None:
    reason = "not started by its deadline 2026-11-21T12:05:00Z"
    decision = jobs.expire_deadline(claimed(deadline_at=LATER), now=LATER)
    (attempt,) = decision.value.attempts
    assert (attempt.ended_at, attempt.ended_by, attempt.reason) == (LATER, "maintenance", reason)
    (event,) = decision.events
    assert (event.data["actor"], event.data["reason"]) == ("maintenance", reason)


def test_a_job_that_was_claimed_too_late_is_ended_by_maintenance() -> None:
    late = claimed(deadline_at=LATER)
    decision = leases.expire_claim(late, token_of(late), now=LATER)
    (event,) = decision.events
    assert (event.type, event.data["actor"]) == ("job.timed_out", "maintenance")
    assert event.data["reason"] == "claimed after its deadline"
    assert decision.value.attempts[-1].ended_by == "maintenance"


@pytest.mark.parametrize(
    ("outcome", "exit_code"), [(FAILED, 1), (ERROR, None), (Outcome.exited(137), 137)]
)
def test_an_attempt_keeps_its_exit_code_when_another_one_follows(
    outcome: Outcome, exit_code: int | None
) -> None:
    job = end(STANDING["running, everything is tried again"], outcome)
    assert job.state is S.QUEUED
    assert job.attempts[-1].exit_code == exit_code


def test_an_attempt_that_a_cancel_ends_is_over() -> None:
    job = asked_to_stop(running())
    after = leases.release(job, token_of(job), now=LATER, reason="drained").value
    (attempt,) = after.attempts
    assert (attempt.ended_at, attempt.ended_by) == (LATER, "a-1")
    assert (attempt.verdict, attempt.reason) == (None, "released: drained")


def test_logs_of_an_attempt_that_a_cancel_ends_are_kept() -> None:
    told = Outcome.error("no disk", logs_url="https://logs/1", logs_summary="the end")
    job = end(asked_to_stop(running()), told)
    assert (job.state, job.verdict) == (S.CANCELLED, Verdict.CANCELLED)
    assert (job.logs_url, job.logs_summary, job.error_message) == (
        "https://logs/1",
        "the end",
        "no disk",
    )


def test_a_claim_begins_with_nothing_of_the_last_end() -> None:
    odd = evolve(queued(), completed_at=NOON)
    assert claim(odd, at=LATER).completed_at is None


def test_a_replay_begins_with_no_delay_and_no_releases() -> None:
    dead = evolve(dead_letter(), run_at=NOON, releases=9)
    again = jobs.replay(dead, now=LATER, actor="bob").value
    assert (again.run_at, again.releases) == (None, 0)
