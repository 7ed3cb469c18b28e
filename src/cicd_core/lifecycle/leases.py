"""The commands of a job's holder, and the loss of its lease (I8, I9, I10).

Every function except :func:`claim` and :func:`expire_lease` takes the holder's token, and refuses a
token that does not own the job. A command that finds its own effect already there changes nothing:
every caller may repeat a call whose outcome is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.lifecycle.decision import unchanged
from cicd_core.lifecycle.endings import EVENTS, again, conclude, finish, may_not_run_again
from cicd_core.lifecycle.job_steps import (
    FIRST_ATTEMPTS,
    LAST_ATTEMPTS,
    first_and_last,
    note,
    passed,
    past_attempt,
    require_token,
    stamp_of,
    step,
)
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.lifecycle.jobs import expire_deadline
from cicd_core.model.checks import MAX_MESSAGE, check_number, shorten, storable
from cicd_core.model.instants import to_micros
from cicd_core.model.job import Attempt, Job, JobState, LeaseToken, Progress, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.queueing.measures import waited
from cicd_core.queueing.retry import (
    RELEASES_PER_ATTEMPT,
    release_delay_seconds,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision

#: The command of the table for each verdict of a holder.
_COMMANDS = {
    Verdict.SUCCESS: "complete",
    Verdict.FAILED: "complete",
    Verdict.TIMEOUT: "time_out",
    Verdict.ERROR: "fail",
    Verdict.CANCELLED: "confirm_cancel",
}


def claim(
    job: Job,
    *,
    agent_id: str,
    claim_id: str,
    now: datetime,
    start: bool = False,
    steady: int | None = None,
) -> Decision[Job]:
    """QUEUED -> CLAIMED, or RUNNING if ``start`` is set.

    The fence is the greatest of the previous fence + 1, ``now`` and ``steady`` in microseconds: it
    grows with every claim, even if the calendar is set, and after a restore from a backup that does
    not have the last claims. ``steady`` is the store's steady clock (µs) at ``now``; without it,
    ``now`` is used.

    Raises:
        IllegalTransition: it is not QUEUED.
    """
    JOB_TABLE.require(job.job_id, job.state, "claim")
    stamp = stamp_of(now, steady)
    fence = max(job.fence + 1, to_micros(now), stamp)
    number = job.attempt + 1
    attempt = Attempt(
        number=number,
        agent_id=agent_id,
        fence=fence,
        claim_id=claim_id,
        claimed_at=now,
        started_at=now if start else None,
    )
    wait = passed((now - (job.ready_at or now)).total_seconds(), job.queued_stamp, stamp)
    return step(
        job,
        JobState.CLAIMED,
        now,
        event="claimed",
        actor=agent_id,
        reason=f"attempt {number}",
        increments=waited(now, job.pool_name, wait),
        data={"attempt": number, "fence": fence, "pool": job.pool_name},
        steady=steady,
        then=(JobState.RUNNING, "started") if start else None,
        agent_id=agent_id,
        claim_id=claim_id,
        fence=fence,
        attempt=number,
        attempts_used=job.attempts_used + 1,
        attempts=first_and_last((*job.attempts, attempt), FIRST_ATTEMPTS, LAST_ATTEMPTS),
        claimed_at=now,
        claimed_stamp=stamp,
        started_at=now if start else None,
        first_started=(job.first_started or number) if start else job.first_started,
        completed_at=None,
        progress=None,
    )


def start(job: Job, token: LeaseToken, *, now: datetime) -> Decision[Job]:
    """CLAIMED -> RUNNING: from now on the handler runs, for at most ``timeout_seconds``.

    After its ``deadline_at`` a job can't have its first start: it ends in TIMEOUT instead.

    Raises:
        LeaseLost: the token does not own the job.
    """
    require_token(job, token)
    if job.state is JobState.RUNNING:
        return unchanged(job)
    if _is_late(job, now):
        return expire_deadline(job, now=now)
    return _begun(job, now)


def _begun(job: Job, now: datetime) -> Decision[Job]:
    *earlier, last = job.attempts
    return step(
        job,
        JobState.RUNNING,
        now,
        event="started",
        actor=last.agent_id,
        reason=f"attempt {job.attempt}",
        attempts=(*earlier, evolve(last, started_at=now)),
        started_at=now,
        first_started=job.first_started or job.attempt,
    )


def _never_begun(job: Job) -> Job:
    """Return the job as if its acknowledged start had not been: the handler never began."""
    *earlier, last = job.attempts
    first = None if job.first_started == job.attempt else job.first_started
    attempts = (*earlier, evolve(last, started_at=None))
    return evolve(job, attempts=attempts, started_at=None, first_started=first)


def missed_deadline(job: Job) -> bool:
    """Whether a held job was claimed for its first start after its ``deadline_at``."""
    return job.claimed_at is not None and _is_late(job, job.claimed_at)


def expire_claim(
    job: Job, token: LeaseToken, *, now: datetime, steady: int | None = None
) -> Decision[Job]:
    """End a job in TIMEOUT that was claimed after its deadline, before maintenance ended it.

    ``steady`` is as in :func:`claim`.

    Raises:
        LeaseLost: the token does not own the job.
    """
    require_token(job, token)
    late = Outcome.timeout("claimed after its deadline")
    return finish(
        job, late, JobState.TIMEOUT, now=now, actor="maintenance", event="timed_out", steady=steady
    )


def report_progress(
    job: Job, token: LeaseToken, progress: Progress, *, now: datetime
) -> Decision[Job]:
    """Keep the progress that the holder reports.

    Raises:
        LeaseLost: the token does not own the job.
        IllegalTransition: it has not started.
        InvalidInput: the percentage is not 0 to 100.
    """
    require_token(job, token)
    JOB_TABLE.require(job.job_id, job.state, "progress")
    if progress.percent is not None:
        check_number("percent", progress.percent, least=0, most=100)
    message = shorten(storable("message", progress.message), MAX_MESSAGE)
    kept = evolve(progress, message=message)
    details = {"percent": kept.percent, "message": kept.message, "attempt": job.attempt}
    return note(job, now, event="progress", data=details, progress=kept)


def complete(
    job: Job, token: LeaseToken, outcome: Outcome, *, now: datetime, steady: int | None = None
) -> Decision[Job]:
    """End the attempt with the holder's verdict: final, tried again, or a dead letter.

    The same verdict with the same token again changes nothing. ``steady`` is as in :func:`claim`.

    Raises:
        LeaseLost: the token does not own the job, and did not report this verdict before.
        IllegalTransition: the verdict comes before an acknowledged start, or it confirms a cancel
            that was not requested.
    """
    before = past_attempt(job, token)
    if before is not None and not before.released and before.own_verdict is outcome.verdict:
        return unchanged(job)
    require_token(job, token)
    command = _COMMANDS[outcome.verdict]
    JOB_TABLE.require(job.job_id, job.state, command, reason="it needs an acknowledged start")
    if outcome.verdict is Verdict.CANCELLED and job.cancel_requested_at is None:
        raise JOB_TABLE.refusal(
            job.job_id, job.state, command, reason="no cancel was requested; release it instead"
        )
    holder = job.attempts[-1].agent_id
    return conclude(
        job, outcome, now=now, actor=holder, event=EVENTS[outcome.verdict], steady=steady
    )


def release(
    job: Job,
    token: LeaseToken,
    *,
    now: datetime,
    reason: str,
    began: bool = True,
    steady: int | None = None,
) -> Decision[Job]:
    """Give the job back unfinished: CLAIMED or RUNNING -> QUEUED.

    The job waits for a second or more, twice as long after each release. A release uses no attempt,
    except every tenth in a row. A job whose cancel was requested ends in CANCELLED, with any
    delivery; otherwise an at-most-once job that has begun ends in ERROR.

    ``began`` is whether the handler may have begun. False, from a holder that knows that it did
    not: a RUNNING job is given back as if it had not been started, also an at-most-once job.

    Raises:
        LeaseLost: the token does not own the job, and did not give it back before.
    """
    before = past_attempt(job, token)
    if before is not None and before.released:
        return unchanged(job)
    require_token(job, token)
    JOB_TABLE.require(job.job_id, job.state, "release")
    holder = job.attempts[-1].agent_id
    if not began and job.state is JobState.RUNNING:
        job = _never_begun(job)
    elif may_not_run_again(job) and job.cancel_requested_at is None:
        lost = Outcome.error(f"released after its start ({reason}), but it may run at most once")
        ended = conclude(job, lost, now=now, actor=holder, event="released", steady=steady)
        return _given_back(ended)
    releases = job.releases + 1
    counts = releases % RELEASES_PER_ATTEMPT == 0
    returned = evolve(
        job, releases=releases, attempts_used=job.attempts_used - (0 if counts else 1)
    )
    delay = release_delay_seconds(releases)
    return _given_back(
        again(
            returned,
            None,
            f"released: {reason}",
            now=now,
            actor=holder,
            event="released",
            delay=delay,
            steady=steady,
        )
    )


def expire_lease(
    job: Job, *, now: datetime, limit_reached: bool = False, steady: int | None = None
) -> Decision[Job]:
    """Take the job from a holder that is gone: tried again with backoff, dead letter, or ERROR.

    A job whose cancel was requested ends in CANCELLED, with any delivery and any policy, as when
    its holder releases it.

    ``limit_reached`` is whether the holder was still alive when the attempt reached its time limit:
    a running job then gets the verdict TIMEOUT.

    Raises:
        IllegalTransition: no agent holds it.
    """
    JOB_TABLE.require(job.job_id, job.state, "expire_lease")
    if job.tracked:
        raise JOB_TABLE.refusal(job.job_id, job.state, "expire_lease", reason="it has no lease")
    holder = job.attempts[-1].agent_id
    if job.state is JobState.RUNNING:
        if limit_reached:
            late = Outcome.timeout(f"ran longer than {job.timeout_seconds:g} s on agent {holder!r}")
            return conclude(
                job, late, now=now, actor="maintenance", event="timed_out", steady=steady
            )
        reason = f"agent {holder!r} stopped renewing its lease"
        if job.cancel_requested_at is not None:
            return _lost(job, reason, now=now, steady=steady)
        lost = Outcome.error(reason)
        return conclude(
            job, lost, now=now, actor="maintenance", event="lease_expired", steady=steady
        )
    if _is_late(job, now):
        late = Outcome.timeout("claimed, but not started by its deadline")
        return finish(
            job,
            late,
            JobState.TIMEOUT,
            now=now,
            actor="maintenance",
            event="timed_out",
            steady=steady,
        )
    # It never started: it may be tried again, with any policy and any delivery.
    reason = f"agent {holder!r} claimed it but did not start it in time"
    return _lost(job, reason, now=now, steady=steady)


def _lost(job: Job, reason: str, *, now: datetime, steady: int | None) -> Decision[Job]:
    return again(
        job,
        Verdict.ERROR,
        reason,
        now=now,
        actor="maintenance",
        event="lease_expired",
        error=reason,
        steady=steady,
    )


def _given_back(decision: Decision[Job]) -> Decision[Job]:
    """Return the decision with its attempt marked as released.

    By the mark, a repeated release is recognised, and not taken for a lost lease.
    """
    *earlier, last = decision.value.attempts
    attempts = (*earlier, evolve(last, released=True))
    return evolve(decision, value=evolve(decision.value, attempts=attempts))


def _is_late(job: Job, now: datetime) -> bool:
    """Whether the deadline has passed, and the job had not started before its last claim."""
    first_start = job.first_started in {None, job.attempt}
    return first_start and job.deadline_at is not None and job.deadline_at <= now
