"""Runs that something else executes: they are only recorded here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cicd_core.errors import IllegalTransition, InvalidInput
from cicd_core.increments import Increment
from cicd_core.lifecycle import tracked_runs
from cicd_core.model.checks import json_bytes
from cicd_core.model.job import JobState
from cicd_core.model.outcome import Outcome
from tests.unit.lifecycle.job_matrix import (
    CANCELLED,
    ERROR,
    LATER,
    NOON,
    SUCCESS,
    S,
    claimed,
    created,
    end,
    queued,
    running,
    tracked,
)

HOUR = timedelta(hours=1)


def test_a_tracked_run_is_recorded_as_it_starts() -> None:
    decision = tracked_runs.record_start(created(), now=LATER, actor="jenkins", started_at=NOON)
    job = decision.value
    assert (job.state, job.tracked, job.started_at) == (S.RUNNING, True, NOON)
    assert (job.attempts, job.token) == ((), None)
    (event,) = decision.events
    assert (event.type, event.data["tracked"]) == ("job.started", True)
    at_once = tracked_runs.record_start(created(), now=LATER, actor="jenkins", started_at=None)
    assert at_once.value.started_at == LATER


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome.exited(0), "job.succeeded"),
        (Outcome.exited(2), "job.failed"),
        (Outcome.error("no disk"), "job.errored"),
        (Outcome.timeout("slow"), "job.timed_out"),
        (Outcome.cancelled("stopped"), "job.cancelled"),
    ],
)
def test_a_tracked_run_ends_with_any_verdict(outcome: Outcome, told: str) -> None:
    decision = tracked_runs.record_execution(tracked(), outcome, now=LATER, actor="jenkins")
    job = decision.value
    assert job.state is JobState(outcome.verdict.value)
    assert (job.verdict, job.exit_code) == (outcome.verdict, outcome.exit_code)
    assert job.error_message == outcome.error_message
    assert (job.completed_at, job.duration_seconds) == (LATER, 300.0)
    assert [event.type for event in decision.events] == [told]
    assert decision.increments[-1] == Increment(f"ended/20261121|1200|default|{job.state.value}")
    assert Increment("run/20261121|default|ms", 300_000) in decision.increments


def test_a_run_that_nobody_saw_start_is_recorded_with_its_own_times() -> None:
    decision = tracked_runs.record_execution(
        created(),
        Outcome.exited(0, logs_url="https://ci/17", logs_summary="fine"),
        now=LATER,
        actor="jenkins",
        started_at=NOON - 2 * HOUR,
        completed_at=NOON - HOUR,
    )
    job = decision.value
    assert (job.state, job.tracked) == (S.SUCCESS, True)
    assert (job.started_at, job.completed_at) == (NOON - 2 * HOUR, NOON - HOUR)
    assert job.duration_seconds == 3600.0
    assert (job.logs_url, job.logs_summary) == ("https://ci/17", "fine")
    # It is counted when it ended, not when somebody told of it.
    assert decision.increments[-1] == Increment("ended/20261121|1100|default|success")


def test_a_run_of_which_only_the_end_is_known_took_no_time() -> None:
    job = tracked_runs.record_execution(created(), SUCCESS, now=LATER, actor="jenkins").value
    assert (job.started_at, job.completed_at, job.duration_seconds) == (LATER, LATER, 0.0)


@pytest.mark.parametrize("outcome", [Outcome.timeout("slow"), CANCELLED])
def test_what_never_started_cannot_have_been_cut_short(outcome: Outcome) -> None:
    with pytest.raises(IllegalTransition, match="cannot be recorded before a start"):
        tracked_runs.record_execution(created(), outcome, now=LATER, actor="jenkins")


def test_the_same_recorded_verdict_again_is_a_no_op_and_another_one_is_refused() -> None:
    recorded = tracked_runs.record_execution(tracked(), SUCCESS, now=LATER, actor="jenkins").value
    assert not tracked_runs.record_execution(
        recorded, SUCCESS, now=LATER + HOUR, actor="jenkins"
    ).changed
    with pytest.raises(IllegalTransition):
        tracked_runs.record_execution(recorded, ERROR, now=LATER, actor="jenkins")


@pytest.mark.parametrize("make", [queued, claimed, running])
def test_what_the_queue_has_is_not_recorded_from_outside(make: Any) -> None:
    with pytest.raises(IllegalTransition):
        tracked_runs.record_start(make(), now=LATER, actor="jenkins", started_at=None)
    with pytest.raises(IllegalTransition):
        tracked_runs.record_execution(make(), SUCCESS, now=LATER, actor="jenkins")


def test_a_verdict_of_the_queue_is_not_a_recorded_one() -> None:
    with pytest.raises(IllegalTransition):
        tracked_runs.record_execution(end(running(), SUCCESS), SUCCESS, now=LATER, actor="jenkins")


def test_a_run_does_not_end_before_it_starts() -> None:
    with pytest.raises(InvalidInput, match="after started_at") as refused:
        tracked_runs.record_execution(
            created(),
            SUCCESS,
            now=LATER,
            actor="jenkins",
            started_at=NOON,
            completed_at=NOON - timedelta(microseconds=1),
        )
    assert refused.value.field == "completed_at"
    with pytest.raises(InvalidInput):
        tracked_runs.record_execution(
            tracked(), SUCCESS, now=LATER, actor="jenkins", completed_at=NOON - HOUR
        )


@pytest.mark.parametrize("behind", [timedelta(microseconds=1), timedelta(minutes=5)])
def test_a_run_whose_end_comes_from_a_clock_that_is_behind_took_no_time(behind: timedelta) -> None:
    end = NOON - behind
    job = tracked_runs.record_execution(
        tracked(), SUCCESS, now=NOON, actor="jenkins", completed_at=end
    ).value
    assert (job.state, job.started_at, job.completed_at) == (S.SUCCESS, end, end)


def test_a_start_that_lies_in_the_future_does_not_keep_a_run_from_its_end() -> None:
    begun = tracked_runs.record_start(
        created(), now=NOON, actor="jenkins", started_at=NOON + 2 * HOUR
    ).value
    end = NOON + HOUR
    job = tracked_runs.record_execution(
        begun, SUCCESS, now=end, actor="jenkins", completed_at=end
    ).value
    assert (job.state, job.started_at, job.completed_at) == (S.SUCCESS, end, end)


def test_the_messages_of_a_recorded_run_are_shortened() -> None:
    outcome = Outcome.failed("x" * 5000 + "the end", logs_summary="y" * 20_000 + "the end")
    job = tracked_runs.record_execution(tracked(), outcome, now=LATER, actor="jenkins").value
    assert job.error_message is not None
    assert job.logs_summary is not None
    assert json_bytes(job.error_message) == 4096
    assert json_bytes(job.logs_summary) == 16_384
    assert job.error_message.endswith("the end")
    assert job.logs_summary.endswith("the end")


def test_a_duration_tells_when_a_run_began_and_its_agent_is_kept() -> None:
    ran = tracked_runs.record_execution(
        created(), SUCCESS, now=LATER, actor="jenkins", duration_seconds=90.0, agent_id="j-1"
    ).value
    assert (ran.duration_seconds, ran.completed_at, ran.agent_id) == (90.0, LATER, "j-1")
    earlier = tracked_runs.record_execution(
        tracked(), SUCCESS, now=LATER, actor="x", completed_at=NOON, duration_seconds=1.5
    ).value
    assert (earlier.started_at, earlier.agent_id) == (NOON - timedelta(seconds=1.5), None)


def test_a_moment_a_day_ahead_is_recorded_and_a_later_one_is_refused() -> None:
    last = NOON + 24 * HOUR
    begun = tracked_runs.record_start(created(), now=NOON, actor="jenkins", started_at=last).value
    assert begun.started_at == last
    ended = tracked_runs.record_execution(
        created(), SUCCESS, now=NOON, actor="jenkins", completed_at=last
    ).value
    assert ended.completed_at == last
    late = last + timedelta(microseconds=1)
    with pytest.raises(InvalidInput, match="at most a day after the store's time") as refused:
        tracked_runs.record_start(created(), now=NOON, actor="jenkins", started_at=late)
    assert refused.value.field == "started_at"
    for field in ("started_at", "completed_at"):
        given: dict[str, Any] = {field: datetime(2285, 1, 1, tzinfo=UTC)}
        with pytest.raises(InvalidInput, match="at most a day after the store's time") as refused:
            tracked_runs.record_execution(created(), SUCCESS, now=NOON, actor="jenkins", **given)
        assert refused.value.field == field


def test_a_start_recorded_while_the_calendar_was_far_ahead_does_not_move_the_end() -> None:
    begun = tracked_runs.record_start(
        created(), now=NOON + 720 * HOUR, actor="jenkins", started_at=None
    ).value
    job = tracked_runs.record_execution(begun, SUCCESS, now=NOON, actor="jenkins").value
    assert (job.started_at, job.completed_at) == (NOON, NOON)


def test_a_run_of_more_than_a_year_is_refused_until_its_length_is_given() -> None:
    begun = tracked_runs.record_start(
        created(), now=NOON, actor="jenkins", started_at=datetime(1970, 1, 1, tzinfo=UTC)
    ).value
    with pytest.raises(InvalidInput, match="at most 366 days before the end") as refused:
        tracked_runs.record_execution(begun, SUCCESS, now=NOON, actor="jenkins")
    assert refused.value.field == "started_at"
    job = tracked_runs.record_execution(
        begun, SUCCESS, now=NOON, actor="jenkins", started_at=NOON - tracked_runs.LONGEST_RUN
    ).value
    assert job.duration_seconds == 366 * 86_400


def test_a_length_that_reaches_back_to_before_1970_is_refused() -> None:
    with pytest.raises(InvalidInput, match="from 1970") as refused:
        tracked_runs.record_execution(
            created(),
            SUCCESS,
            now=NOON,
            actor="jenkins",
            completed_at=datetime(1970, 1, 1, tzinfo=UTC),
            duration_seconds=1.0,
        )
    assert refused.value.field == "started_at"
