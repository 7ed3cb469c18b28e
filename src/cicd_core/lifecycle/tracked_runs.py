"""The commands that record a run of another system: its start, and its end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cicd_core.errors import InvalidInput
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.lifecycle.job_steps import end_measures, step
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.checks import MAX_MESSAGE, MAX_SUMMARY, shorten
from cicd_core.model.instants import require_aware
from cicd_core.model.job import Job, JobState
from cicd_core.values import evolve

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.outcome import Outcome

#: How far the clocks may differ on the machines that report a run's start and its end.
_SKEW = timedelta(minutes=5)
#: How far after the store's time a recorded moment may lie. No time zone differs by more from UTC,
#: and a moment far ahead would keep its record for as long.
_MOST_AHEAD = timedelta(days=1)
#: The longest run. A longer one is a mistake that would spoil the averages of its day.
LONGEST_RUN = timedelta(days=366)
#: The event of each recorded state.
_RECORDED = {
    JobState.RUNNING: "started",
    JobState.SUCCESS: "succeeded",
    JobState.FAILED: "failed",
    JobState.TIMEOUT: "timed_out",
    JobState.ERROR: "errored",
    JobState.CANCELLED: "cancelled",
}


def record_start(
    job: Job, *, now: datetime, actor: str, started_at: datetime | None
) -> Decision[Job]:
    """PENDING -> RUNNING: a tracked run has started elsewhere.

    Raises:
        IllegalTransition: the queue has it, or it has ended.
        InvalidInput: it would have started more than a day after ``now``.
    """
    if job.state is JobState.RUNNING and job.tracked:
        return unchanged(job)
    _require_tracked(job, JobState.RUNNING)
    _check_ahead("started_at", started_at, now)
    began = started_at or now
    return step(
        job,
        JobState.RUNNING,
        now,
        event="started",
        actor=actor,
        reason="recorded",
        data={"tracked": True},
        tracked=True,
        started_at=began,
    )


def record_execution(
    job: Job,
    outcome: Outcome,
    *,
    now: datetime,
    actor: str,
    started_at: datetime | None = None,
    completed_at: datetime | None = None,
    duration_seconds: float | None = None,
    agent_id: str | None = None,
) -> Decision[Job]:
    """PENDING or RUNNING -> the verdict: a tracked run has ended elsewhere.

    A start that was recorded before may come from another clock than the end. A start in the future
    counts as now; a start up to five minutes after the end counts as the end. With a duration, the
    start is counted back from the end. ``agent_id`` names the agent that ran it; None keeps the
    known one.

    Raises:
        IllegalTransition: the queue has it, or it has ended with another verdict.
        InvalidInput: it would have ended before it started, or more than 366 days after that; or
            it would have started or ended more than a day after ``now``.
    """
    target = JobState(outcome.verdict.value)
    if job.tracked and job.state is target:
        return unchanged(job)
    _require_tracked(job, target)
    _check_ahead("started_at", started_at, now)
    _check_ahead("completed_at", completed_at, now)
    if duration_seconds is not None:
        completed_at = completed_at or now
        started_at = completed_at - timedelta(seconds=duration_seconds)
    # The start comes from another machine's clock: by ours it may lie in the future.
    known = started_at or job.started_at or now
    finished = completed_at or (now if known > now + _MOST_AHEAD else max(now, known))
    began = started_at or _recorded_start(job, finished, now)
    _check_length(began, finished)
    running = evolve(job, state=JobState.RUNNING, started_at=began)
    counted = end_measures(running, finished, target.value)
    return step(
        job,
        target,
        now,
        event=_RECORDED[target],
        actor=actor,
        reason="recorded",
        increments=counted,
        data={"tracked": True},
        tracked=True,
        started_at=began,
        completed_at=finished,
        agent_id=agent_id or job.agent_id,
        verdict=outcome.verdict,
        exit_code=outcome.exit_code,
        error_message=shorten(outcome.error_message, MAX_MESSAGE),
        logs_url=outcome.logs_url,
        logs_summary=shorten(outcome.logs_summary, MAX_SUMMARY),
    )


def _check_ahead(field: str, moment: datetime | None, now: datetime) -> None:
    if moment is not None and moment > now + _MOST_AHEAD:
        reason = f"give a moment at most a day after the store's time, {now.isoformat()}"
        raise InvalidInput(field, moment, reason)


def _check_length(began: datetime, finished: datetime) -> None:
    require_aware("started_at", began)  # a duration may reach back to before 1970
    if finished < began:
        reason = f"give a moment after started_at, {began.isoformat()}"
        raise InvalidInput("completed_at", finished, reason)
    if finished - began > LONGEST_RUN:
        reason = f"give a start at most {LONGEST_RUN.days} days before the end, "
        raise InvalidInput("started_at", began, reason + finished.isoformat())


def _recorded_start(job: Job, finished: datetime, now: datetime) -> datetime:
    """Return the start of a run, adjusted if its clock and that of the end disagree."""
    if job.started_at is None or finished < job.started_at <= finished + _SKEW:
        return finished
    return job.started_at if finished >= job.started_at else min(job.started_at, now)


def _require_tracked(job: Job, target: JobState) -> None:
    if job.state is JobState.RUNNING and not job.tracked:
        raise JOB_TABLE.refusal(
            job.job_id, job.state, "record", reason="an agent holds it and reports its progress"
        )
    if target not in JOB_TABLE.require(job.job_id, job.state, "record"):
        raise JOB_TABLE.refusal(
            job.job_id,
            job.state,
            "record",
            reason=f"{target.value} cannot be recorded before a start",
        )
