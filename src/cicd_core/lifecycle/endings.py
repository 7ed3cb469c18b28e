"""The end of an attempt: a final verdict, another attempt, a dead letter or a cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cicd_core.lifecycle.job_steps import (
    closed_attempts,
    end_measures,
    run_details,
    stamp_of,
    step,
)
from cicd_core.model.checks import MAX_MESSAGE, MAX_SUMMARY, shorten
from cicd_core.model.job import Delivery, Job, JobState, Verdict
from cicd_core.queueing.retry import backoff_seconds, retries

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.outcome import Outcome

#: The event of each verdict of a holder.
EVENTS: Final = {
    Verdict.SUCCESS: "succeeded",
    Verdict.FAILED: "failed",
    Verdict.TIMEOUT: "timed_out",
    Verdict.ERROR: "errored",
    Verdict.CANCELLED: "cancelled",
}
#: The state of a job that ends with a verdict.
_STATES: Final = {verdict: JobState(verdict.value) for verdict in Verdict}


def conclude(
    job: Job,
    outcome: Outcome,
    *,
    now: datetime,
    actor: str,
    event: str,
    steady: int | None = None,
) -> Decision[Job]:
    """End the attempt with a verdict; the policy decides whether it is final."""
    verdict = outcome.verdict
    final = not retries(job.retry, verdict) or may_not_run_again(job)
    if final:
        target = _STATES[verdict]
        event = EVENTS[verdict]
        return finish(job, outcome, target, now=now, actor=actor, event=event, steady=steady)
    code = "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"
    reason = outcome.error_message or f"{verdict}{code}"
    return again(
        job,
        verdict,
        reason,
        now=now,
        actor=actor,
        event=event if event == "lease_expired" else "retried",
        error=outcome.error_message,
        exit_code=outcome.exit_code,
        steady=steady,
        logs_url=outcome.logs_url,
        logs_summary=shorten(outcome.logs_summary, MAX_SUMMARY),
    )


def may_not_run_again(job: Job) -> bool:
    """Whether its handler may have begun, and must not begin a second time."""
    return job.delivery is Delivery.AT_MOST_ONCE and job.state is JobState.RUNNING


def finish(
    job: Job,
    outcome: Outcome,
    target: JobState,
    *,
    now: datetime,
    actor: str,
    event: str,
    steady: int | None = None,
) -> Decision[Job]:
    """End a held job with a final verdict (I10)."""
    reason = outcome.error_message or str(outcome.verdict)
    return step(
        job,
        target,
        now,
        event=event,
        actor=actor,
        reason=reason,
        increments=end_measures(job, now, target, steady),
        data={
            "exit_code": outcome.exit_code,
            "pool": job.pool_name,
            **run_details(job, now, steady),
        },
        steady=steady,
        attempts=closed_attempts(
            job,
            now,
            actor=actor,
            verdict=outcome.verdict,
            reason=reason,
            exit_code=outcome.exit_code,
        ),
        verdict=outcome.verdict,
        exit_code=outcome.exit_code,
        error_message=shorten(outcome.error_message, MAX_MESSAGE),
        logs_url=outcome.logs_url,
        logs_summary=shorten(outcome.logs_summary, MAX_SUMMARY),
        completed_at=now,
        releases=0,
    )


def again(
    job: Job,
    verdict: Verdict | None,
    reason: str,
    *,
    now: datetime,
    actor: str,
    event: str,
    delay: float | None = None,
    error: str | None = None,
    exit_code: int | None = None,
    steady: int | None = None,
    **details: Any,
) -> Decision[Job]:
    """Queue the job again, dead-letter it, or cancel it if that was requested."""
    closed = closed_attempts(
        job, now, actor=actor, verdict=verdict, reason=reason, exit_code=exit_code
    )
    changes: dict[str, Any] = {"attempts": closed, **details}
    if verdict is not None:
        changes |= {
            "verdict": verdict,
            "exit_code": exit_code,
            "error_message": shorten(error, MAX_MESSAGE),
            "releases": 0,
        }
    if job.cancel_requested_at is not None:
        target, event, result = JobState.CANCELLED, "cancelled", "cancelled"
        changes |= {"verdict": Verdict.CANCELLED, "completed_at": now}
        reason = f"cancel requested: {job.cancel_reason}; {reason}"
    elif job.attempts_used >= job.max_attempts:
        target, event, result = JobState.DEAD_LETTERED, "dead_lettered", "dead_lettered"
        changes |= {"completed_at": now}
        reason = f"attempt {job.attempts_used} of {job.max_attempts}: {reason}"
    else:
        target, result = JobState.QUEUED, "released" if verdict is None else "retried"
        seed = f"{job.job_id}:{job.attempt}"
        seconds = backoff_seconds(job.retry, job.attempts_used, seed) if delay is None else delay
        pause = timedelta(seconds=seconds)
        changes |= {
            "run_at": now + pause,
            "ready_at": None,
            "paused_until": stamp_of(now, steady) + pause // timedelta(microseconds=1),
        }
    return step(
        job,
        target,
        now,
        event=event,
        actor=actor,
        reason=reason,
        increments=end_measures(job, now, result, steady),
        data={
            "verdict": verdict,
            "pool": job.pool_name,
            **run_details(job, now, steady),
        },
        steady=steady,
        **changes,
    )
