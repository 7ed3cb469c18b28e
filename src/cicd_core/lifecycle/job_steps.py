"""What every decision about a job is made of: one step, an attempt that ends, a token checked."""

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

#: How many transitions and attempts a job carries along: the first ones, which tell where it came
#: from, and the newest; the log has them all. With the limits of their texts this keeps what grows
#: within the 128 KiB that a record has beyond the body of a new job: whatever happens to a job,
#: and however often, there is room for its end.
FIRST_STEPS, LAST_STEPS = 10, 30
FIRST_ATTEMPTS, LAST_ATTEMPTS = 5, 20
#: How much of a reason, in bytes of JSON, stands in each of them and in the event.
WHY_KEPT = 512
#: A calendar that is further ahead than this of the time that has passed was set, in seconds.
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
    **changes: Any,
) -> Decision[Job]:
    """Return the decision to move to ``target``: history, event and increments in one.

    Where the store's steady clock (µs) tells something else than the calendar, the event says so.
    """
    short = shorten(reason, WHY_KEPT) or event
    transition = Transition(source=job.state, target=target, at=now, actor=actor, reason=short)
    history = first_and_last((*job.history, transition), FIRST_STEPS, LAST_STEPS)
    left_out = job.history_left_out + len(job.history) + 1 - len(history)
    value = evolve(job, state=target, history=history, history_left_out=left_out, **changes)
    details: dict[str, Any] = {
        "from": job.state.value,
        "to": target.value,
        "actor": actor,
        "reason": short,
    }
    if value.attempt:
        details |= {"attempt": value.attempt, "fence": value.fence}
    if steady is not None and steady != to_micros(now):
        details["stamp"] = steady
    return Decision(
        value, (EventDraft(f"job.{event}", now, details | (data or {})),), tuple(increments)
    )


def note(
    job: Job, now: datetime, *, event: str, data: dict[str, Any], **changes: Any
) -> Decision[Job]:
    """Return the decision to change fields and tell of it, in the same state."""
    return Decision(evolve(job, **changes), (EventDraft(f"job.{event}", now, data),))


def first_and_last(entries: tuple[Entry, ...], first: int, last: int) -> tuple[Entry, ...]:
    """Return the entries, without those behind the ``first`` and before the ``last``."""
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
    """Return what is counted when an attempt, or a job that never ran, ends.

    ``steady`` is the store's steady clock (µs) at ``now``: an attempt ran no longer than the time
    that has passed since its claim, whatever became of the calendar.
    """
    counted = ended(now, job.pool_name, result)
    seconds = _ran_for(job, now, steady)
    return counted if seconds is None else (*ran(now, job.pool_name, seconds), *counted)


def run_details(job: Job, now: datetime, steady: int | None) -> dict[str, Any]:
    """Return what the event tells of a run whose moments tell another length than was counted.

    None is told of one that was started, and whose handler never began: it is not counted.
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
    """Return the steady clock's reading; without one, the calendar stands for both."""
    return to_micros(now) if steady is None else steady


def passed(seconds: float, since: int | None, steady: int | None) -> float:
    """Return a time that the calendar measured, at least 0, and no more than what has passed.

    Args:
        seconds: between two moments of the calendar, which may have been set between them.
        since: a stamp before, or at, the first of them; None: it is not known.
        steady: the stamp of the second one; None: it is not known.
    """
    if since is not None and steady is not None:
        most = (steady - since) / SECOND
        # The two clocks are read one behind the other: a calendar that was set tells of more.
        seconds = most if seconds > most + _SET else seconds
    return max(0.0, seconds)


def past_attempt(job: Job, token: LeaseToken) -> Attempt | None:
    """Return the ended attempt that had this token, if the job remembers it."""
    for attempt in reversed(job.attempts):
        if attempt.ended_at is not None and attempt.token == token:
            return attempt
    return None


def require_token(job: Job, token: LeaseToken) -> None:
    """Check that ``token`` owns the job now (I8).

    Raises:
        LeaseLost: it does not; the error says what became of the job.
    """
    held = job.state in {JobState.CLAIMED, JobState.RUNNING}
    if held and job.token == token:
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
