"""The commands of callers and timers for a job: create, enqueue, cancel, replay, expire.

The commands of its holder are in :mod:`cicd_core.lifecycle.leases`, those that record a run of
another system in :mod:`cicd_core.lifecycle.tracked_runs`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.lifecycle.job_steps import (
    WHY_KEPT,
    closed_attempts,
    end_measures,
    note,
    stamp_of,
    step,
)
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.amounts import amount
from cicd_core.model.checks import MAX_REASON, check_integer, shorten
from cicd_core.model.choices import check_choice, text_of
from cicd_core.model.event import EventDraft
from cicd_core.model.job import Job, JobState, Priority, Transition, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.spec import JobSpec


def create(
    spec: JobSpec, *, job_id: str, now: datetime, actor: str, request_hash: str | None = None
) -> Decision[Job]:
    """Return a new PENDING job. ``spec`` must be checked (:func:`cicd_core.model.spec.checked`)."""
    job = Job(
        job_id=job_id,
        job_type=spec.job_type,
        state=JobState.PENDING,
        created_at=now,
        pool_name=spec.pool_name,
        priority=spec.priority,
        labels=spec.labels,
        payload=spec.payload,
        git=spec.git,
        tags=spec.tags,
        metadata=spec.metadata,
        delivery=spec.delivery,
        retry=spec.retry,
        timeout_seconds=spec.timeout_seconds,
        run_at=spec.run_at,
        deadline_at=spec.deadline_at,
        idempotency_key=spec.idempotency_key,
        request_hash=request_hash,
        max_attempts=spec.retry.max_attempts,
        history=(
            Transition(source=None, target=JobState.PENDING, at=now, actor=actor, reason="created"),
        ),
    )
    details = {
        "to": JobState.PENDING,
        "actor": actor,
        "job_type": job.job_type,
        "pool": job.pool_name,
    }
    return Decision(job, (EventDraft("job.created", now, details),))


def submit(job: Job, *, now: datetime, actor: str, steady: int | None = None) -> Decision[Job]:
    """PENDING -> QUEUED; ready at once, or at its ``run_at``.

    Args:
        job: to be changed.
        now: on the store's calendar.
        actor: who asked.
        steady: the store's steady clock (µs) at ``now``; without it, ``now`` is used.

    Raises:
        IllegalTransition: it is not PENDING.
    """
    if job.state is JobState.QUEUED and job.attempt == 0:
        return unchanged(job)
    JOB_TABLE.require(job.job_id, job.state, "submit")
    delayed = job.run_at is not None and job.run_at > now
    return step(
        job,
        JobState.QUEUED,
        now,
        event="enqueued",
        actor=actor,
        reason=f"delayed until {job.run_at:%Y-%m-%dT%H:%M:%SZ}" if delayed else "enqueued",
        data={"priority": text_of(job.priority), "pool": job.pool_name},
        queued_at=now,
        queued_stamp=stamp_of(now, steady),
        ready_at=None if delayed else now,
    )


def promote(job: Job, *, now: datetime, steady: int | None = None) -> Decision[Job]:
    """Make a delayed job ready; unchanged if it is ready already, or not due yet.

    A pause before another attempt ends by the steady clock (``steady``, as in :func:`submit`), even
    if the calendar was set meanwhile; a caller's ``run_at`` comes by the calendar.

    Raises:
        IllegalTransition: it is not QUEUED.
    """
    JOB_TABLE.require(job.job_id, job.state, "promote")
    if job.ready_at is not None or not _is_due(job, now, stamp_of(now, steady)):
        return unchanged(job)
    # The wait is measured from the moment it was due, not from the moment of this call.
    due = job.run_at or now
    if job.paused_until is not None:
        due = now - timedelta(microseconds=stamp_of(now, steady) - job.paused_until)
    details = {"actor": "maintenance"}
    return note(job, now, event="promoted", data=details, ready_at=due, paused_until=None)


def _is_due(job: Job, now: datetime, steady: int) -> bool:
    if job.paused_until is not None:
        return job.paused_until <= steady
    return job.run_at is None or job.run_at <= now


def cancel(job: Job, *, now: datetime, actor: str, reason: str) -> Decision[Job]:
    """End a job that does not run; ask the holder of a running one to stop it.

    The request is ``cancel_requested_at``. The holder of a job that was only claimed has not
    started it, and its start will be refused.

    Raises:
        IllegalTransition: it has ended already, in another state.
    """
    if job.state is JobState.CANCELLED:
        return unchanged(job)
    if job.state is JobState.RUNNING and not job.tracked:
        return request_cancel(job, now=now, actor=actor, reason=reason)
    JOB_TABLE.require(job.job_id, job.state, "cancel")
    attempts = job.attempts
    if job.state is JobState.CLAIMED:
        attempts = closed_attempts(job, now, actor=actor, verdict=Verdict.CANCELLED, reason=reason)
    return step(
        job,
        JobState.CANCELLED,
        now,
        event="cancelled",
        actor=actor,
        reason=reason,
        increments=end_measures(job, now, "cancelled"),
        attempts=attempts,
        verdict=Verdict.CANCELLED,
        completed_at=now,
        cancel_requested_at=job.cancel_requested_at or now,
        cancel_reason=job.cancel_reason or shorten(reason, MAX_REASON),
    )


def request_cancel(job: Job, *, now: datetime, actor: str, reason: str) -> Decision[Job]:
    """Ask the holder of a running job to stop; from now on the job can't be queued again.

    Raises:
        IllegalTransition: it is not RUNNING.
    """
    JOB_TABLE.require(job.job_id, job.state, "request_cancel")
    if job.cancel_requested_at is not None:
        return unchanged(job)
    return note(
        job,
        now,
        event="cancel_requested",
        data={"actor": actor, "reason": shorten(reason, WHY_KEPT)},
        cancel_requested_at=now,
        cancel_reason=shorten(reason, MAX_REASON),
    )


def reprioritise(job: Job, priority: Priority, *, now: datetime, actor: str) -> Decision[Job]:
    """Give the job another priority; its place among jobs of equal priority stays.

    Raises:
        IllegalTransition: it has ended.
    """
    priority = check_choice("priority", priority, Priority)
    JOB_TABLE.require(job.job_id, job.state, "reprioritise")
    if job.priority is priority:
        return unchanged(job)
    details = {"actor": actor, "from": text_of(job.priority), "to": text_of(priority)}
    return note(job, now, event="reprioritised", data=details, priority=priority)


def expire_deadline(job: Job, *, now: datetime) -> Decision[Job]:
    """End a job in TIMEOUT that did not start by its ``deadline_at``; unchanged if it is not due.

    A job that started once, and waits for another attempt, no longer has a deadline.

    Raises:
        IllegalTransition: it runs, or has ended.
    """
    JOB_TABLE.require(job.job_id, job.state, "expire_deadline")
    if job.start_deadline is None or job.start_deadline > now:
        return unchanged(job)
    reason = f"not started by its deadline {job.start_deadline:%Y-%m-%dT%H:%M:%SZ}"
    attempts = job.attempts
    if job.state is JobState.CLAIMED:
        attempts = closed_attempts(
            job, now, actor="maintenance", verdict=Verdict.TIMEOUT, reason=reason
        )
    return step(
        job,
        JobState.TIMEOUT,
        now,
        event="timed_out",
        actor="maintenance",
        reason=reason,
        increments=end_measures(job, now, "timeout"),
        attempts=attempts,
        verdict=Verdict.TIMEOUT,
        error_message=reason,
        completed_at=now,
    )


def replay(
    job: Job, *, now: datetime, actor: str, attempts: int | None = None, steady: int | None = None
) -> Decision[Job]:
    """DEAD_LETTERED -> QUEUED, with ``attempts`` more attempts (default: the policy's number).

    ``attempt`` and the fence continue to count; ``steady`` is as in :func:`submit`.

    Raises:
        IllegalTransition: it is not a dead letter.
        InvalidInput: ``attempts`` is not 1 to 100.
    """
    more = job.retry.max_attempts if attempts is None else attempts
    check_integer("attempts", more, least=1, most=100)
    JOB_TABLE.require(job.job_id, job.state, "replay")
    return step(
        job,
        JobState.QUEUED,
        now,
        event="replayed",
        actor=actor,
        reason=f"replayed with {amount(more, 'more attempt')}",
        data={"attempts": more},
        max_attempts=job.attempts_used + more,
        queued_at=now,
        queued_stamp=stamp_of(now, steady),
        ready_at=now,
        paused_until=None,
        run_at=None,
        deadline_at=None,
        releases=0,
        completed_at=None,
    )
