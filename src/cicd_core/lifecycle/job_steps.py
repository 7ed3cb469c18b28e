"""The parts that decisions about a job share: one step, the end of an attempt, the token check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cicd_core.errors import LeaseLost
from cicd_core.lifecycle.decision import Decision
from cicd_core.model.checks import shorten
from cicd_core.model.event import EventDraft
from cicd_core.model.instants import SECOND, to_micros
from cicd_core.model.job import Attempt, Job, JobState, LeaseToken, Transition, Verdict
from cicd_core.queueing.measures import ended, ran
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cicd_core.increments import Increment

#: How many transitions and attempts a job keeps: the first ones, which show where it came from, and
#: the newest; the log has all of them. Their texts are limited too. So the growing part of a record
#: fits into the 128 KiB beyond the body of a new job, and there is always room for a job's end.
FIRST_STEPS, LAST_STEPS = 10, 30
FIRST_ATTEMPTS, LAST_ATTEMPTS = 5, 20
#: How much of a reason, in bytes of JSON, each of them and the event keep.
WHY_KEPT = 512
#: If the calendar shows more seconds than this beyond the time that has passed, it was set.
_SET = 1.0

Entry = TypeVar("Entry")


def step(
    job: Job,
    target: JobState,
    now: datetime,
    *,
    event: str,
    actor: str,
    reason: str,
    increments: Iterable[Increment] = (),
    data: dict[str, Any] | None = None,
    steady: int | None = None,
    then: tuple[JobState, str] | None = None,
    **changes: Any,
) -> Decision[Job]:
    """Return the decision to move to ``target``, with its history, event and increments.

    If the store's steady clock (µs) differs from the calendar, the event carries its reading.
    ``then`` is a state that follows at once, for the same reason, and its event.
    """
    short = shorten(reason, WHY_KEPT) or event
    last = target if then is None else then[0]
    passed_by = [Transition(source=job.state, target=target, at=now, actor=actor, reason=short)]
    if then is not None:
        passed_by.append(Transition(source=target, target=last, at=now, actor=actor, reason=short))
    whole = (*job.history, *passed_by)
    history = first_and_last(whole, FIRST_STEPS, LAST_STEPS)
    left_out = job.history_left_out + len(whole) - len(history)
    value = evolve(job, state=last, history=history, history_left_out=left_out, **changes)
    details: dict[str, Any] = {"from": job.state, "to": target, "actor": actor, "reason": short}
    if value.attempt:
        details |= {"attempt": value.attempt, "fence": value.fence}
    further = {**details, "from": target, "to": last} if then is not None else {}
    if steady is not None and steady != to_micros(now):
        details["stamp"] = steady
    events = [EventDraft(f"job.{event}", now, details | (data or {}))]
    if then is not None:
        events.append(EventDraft(f"job.{then[1]}", now, further))
    return Decision(value, tuple(events), tuple(increments))


def note(
    job: Job, now: datetime, *, event: str, data: dict[str, Any], **changes: Any
) -> Decision[Job]:
    """Return the decision to change fields in the same state, with an event."""
    return Decision(evolve(job, **changes), (EventDraft(f"job.{event}", now, data),))


def first_and_last(entries: tuple[Entry, ...], first: int, last: int) -> tuple[Entry, ...]:
    """Return the first ``first`` and the last ``last`` of the entries."""
    if len(entries) <= first + last:
        return entries
    return (*entries[:first], *entries[-last:])


def closed_attempts(
    job: Job,
    now: datetime,
    *,
    actor: str,
    verdict: Verdict | None,
    reason: str | None,
    exit_code: int | None = None,
) -> tuple[Attempt, ...]:
    """Return the job's attempts with the last one ended."""
    *earlier, last = job.attempts
    return (
        *earlier,
        evolve(
            last,
            ended_at=now,
            ended_by=actor,
            verdict=verdict,
            reason=shorten(reason, WHY_KEPT),
            exit_code=exit_code,
        ),
    )


def end_measures(
    job: Job, now: datetime, result: str, steady: int | None = None
) -> tuple[Increment, ...]:
    """Return the increments for the end of an attempt, or of a job that never ran.

    ``steady`` is the store's steady clock (µs) at ``now``: an attempt ran no longer than the time
    since its claim, even if the calendar was set.
    """
    counted = ended(now, job.pool_name, result)
    seconds = _ran_for(job, now, steady)
    return counted if seconds is None else (*ran(now, job.pool_name, seconds), *counted)


def run_details(job: Job, now: datetime, steady: int | None) -> dict[str, Any]:
    """Return the counted length of a run, if it differs from the length that its moments show.

    It is None for a run that was started, and whose handler never began: it is not counted.
    """
    if job.state is JobState.RUNNING and job.started_at is None:
        return {"ran": None}
    counted, dated = _ran_for(job, now, steady), _ran_for(job, now, None)
    return {} if counted == dated else {"ran": counted}


def _ran_for(job: Job, now: datetime, steady: int | None) -> float | None:
    if job.state is not JobState.RUNNING or job.started_at is None:
        return None
    return passed((now - job.started_at).total_seconds(), job.claimed_stamp, steady)


def stamp_of(now: datetime, steady: int | None) -> int:
    """Return the steady clock's reading; if there is none, the calendar's."""
    return to_micros(now) if steady is None else steady


def passed(seconds: float, since: int | None, steady: int | None) -> float:
    """Return a duration by the calendar, limited to the time that has really passed; at least 0.

    Args:
        seconds: between two moments of the calendar, which may have been set between them.
        since: a stamp before, or at, the first moment; None: unknown.
        steady: the stamp of the second moment; None: unknown.
    """
    if since is not None and steady is not None:
        most = (steady - since) / SECOND
        # The two clocks are read one after the other, so small differences are normal. A greater
        # one means that the calendar was set.
        seconds = most if seconds > most + _SET else seconds
    return max(0.0, seconds)


def past_attempt(job: Job, token: LeaseToken) -> Attempt | None:
    """Return the ended attempt that had this token, if the job still keeps it."""
    for attempt in reversed(job.attempts):
        if attempt.ended_at is not None and attempt.token == token:
            return attempt
    return None


def require_token(job: Job, token: LeaseToken) -> None:
    """Check that ``token`` owns the job now (I8).

    Raises:
        LeaseLost: it does not; the error describes the job's present state.
    """
    held = job.state in {JobState.CLAIMED, JobState.RUNNING}
    if held and job.fence == token.fence and job.claim_id == token.claim_id:
        return
    if held and job.agent_id is not None:
        reason = f"agent {job.agent_id!r} holds the job now, with fence {job.fence}"
    elif held:
        reason = "it is a tracked run, which no agent holds"
    else:
        last = past_attempt(job, token)
        ended_by = f" ({last.reason})" if last is not None and last.reason else ""
        reason = f"the job is {job.state.value} now{ended_by}"
    raise LeaseLost(job.job_id, token.fence, reason)
