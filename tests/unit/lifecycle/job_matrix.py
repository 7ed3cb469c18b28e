"""Jobs in each state, and each command: what the tests of their state machine share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from cicd_core.lifecycle import jobs, leases, tracked_runs
from cicd_core.model.job import (
    Delivery,
    Job,
    JobState,
    LeaseToken,
    Priority,
    Progress,
    RetryPolicy,
    Verdict,
)
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

S = JobState
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
#: When the jobs below were claimed and started, and when the commands below are given.
CLAIMED_AT = NOON + timedelta(seconds=10)
STARTED_AT = NOON + timedelta(seconds=15)
LATER = NOON + timedelta(minutes=5)
AGENT, CLAIM_ID = "a-1", "1" * 32
#: No job below ever had this one.
STRANGER = LeaseToken(fence=1, claim_id="f" * 32)
RETRIED = (Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR)

AGAIN = {S.QUEUED, S.DEAD_LETTERED, S.CANCELLED}
#: The state machine as the design draws it; the table in the library must say the same.
MACHINE: dict[JobState, dict[str, set[JobState]]] = {
    S.PENDING: {
        "submit": {S.QUEUED},
        "cancel": {S.CANCELLED},
        "expire_deadline": {S.TIMEOUT},
        "reprioritise": {S.PENDING},
        "record": {S.RUNNING, S.SUCCESS, S.FAILED, S.ERROR},
    },
    S.QUEUED: {
        "promote": {S.QUEUED},
        "claim": {S.CLAIMED, S.RUNNING},
        "cancel": {S.CANCELLED},
        "expire_deadline": {S.TIMEOUT},
        "reprioritise": {S.QUEUED},
    },
    S.CLAIMED: {
        "start": {S.RUNNING, S.TIMEOUT},
        "renew": {S.CLAIMED},
        "fail": {S.ERROR, *AGAIN},
        "release": AGAIN,
        "expire_lease": {S.TIMEOUT, *AGAIN},
        "expire_deadline": {S.TIMEOUT},
        "cancel": {S.CANCELLED},
        "reprioritise": {S.CLAIMED},
    },
    S.RUNNING: {
        "renew": {S.RUNNING},
        "progress": {S.RUNNING},
        "complete": {S.SUCCESS, S.FAILED, *AGAIN},
        "time_out": {S.TIMEOUT, *AGAIN},
        "fail": {S.ERROR, *AGAIN},
        "release": {S.ERROR, *AGAIN},
        "expire_lease": {S.TIMEOUT, S.ERROR, *AGAIN},
        "cancel": {S.CANCELLED},
        "request_cancel": {S.RUNNING},
        "confirm_cancel": {S.CANCELLED},
        "reprioritise": {S.RUNNING},
        "record": {S.SUCCESS, S.FAILED, S.TIMEOUT, S.ERROR, S.CANCELLED},
    },
    S.DEAD_LETTERED: {
        "cancel": {S.CANCELLED},
        "replay": {S.QUEUED},
        "reprioritise": {S.DEAD_LETTERED},
    },
    S.SUCCESS: {},
    S.FAILED: {},
    S.TIMEOUT: {},
    S.ERROR: {},
    S.CANCELLED: {},
}


def created(**fields: Any) -> Job:
    spec = checked(JobSpec(job_type="build", **fields))
    return jobs.create(spec, job_id="j-1", now=NOON, actor="ann").value


def queued(**fields: Any) -> Job:
    return jobs.submit(created(**fields), now=NOON, actor="ann").value


def claimed(**fields: Any) -> Job:
    return claim(queued(**fields), at=CLAIMED_AT)


def running(**fields: Any) -> Job:
    return start(claimed(**fields))


def claim(job: Job, *, at: datetime, claim_id: str = CLAIM_ID, agent_id: str = AGENT) -> Job:
    return leases.claim(job, agent_id=agent_id, claim_id=claim_id, now=at).value


def start(job: Job, *, at: datetime = STARTED_AT) -> Job:
    return leases.start(job, token_of(job), now=at).value


def token_of(job: Job) -> LeaseToken:
    """Return the token of the last claim, or one that nobody has."""
    return job.token or STRANGER


def asked_to_stop(job: Job) -> Job:
    return jobs.request_cancel(job, now=STARTED_AT, actor="bob", reason="wrong branch").value


def tracked(**fields: Any) -> Job:
    return tracked_runs.record_start(
        created(**fields), now=NOON, actor="jenkins", started_at=None
    ).value


def end(job: Job, outcome: Outcome, *, at: datetime = LATER) -> Job:
    return leases.complete(job, token_of(job), outcome, now=at).value


def dead_letter() -> Job:
    return end(running(retry=RetryPolicy(max_attempts=1)), Outcome.error("no disk"))


def _standing() -> dict[str, Job]:
    """Return a job in every state, and in every condition in which a command leads elsewhere."""
    again = RetryPolicy(retry_on=RETRIED)
    once = RetryPolicy(retry_on=RETRIED, max_attempts=1)
    never = RetryPolicy(retry_on=())
    soon = {"deadline_at": NOON + timedelta(minutes=4)}
    # The machine never brings a job there: its cancel would have ended it. A body that says so
    # all the same must not be queued again.
    doomed = evolve(claimed(), cancel_requested_at=STARTED_AT, cancel_reason="wrong branch")
    return {
        "pending": created(),
        "pending, deadline passed": created(**soon),
        "queued": queued(),
        "queued, deadline passed": queued(**soon),
        "delayed": queued(run_at=LATER + timedelta(hours=1)),
        "delayed, due": queued(run_at=LATER),
        "claimed": claimed(),
        "claimed, deadline passed": claimed(**soon),
        "claimed, last attempt": claimed(retry=once),
        "claimed, errors final": claimed(retry=never),
        "claimed, at most once": claimed(delivery=Delivery.AT_MOST_ONCE),
        "claimed, ninth release, last attempt": evolve(claimed(retry=once), releases=9),
        "claimed, cancel requested": doomed,
        "running": running(),
        "running, deadline passed": running(**soon),
        "running, everything is tried again": running(retry=again),
        "running, last attempt": running(retry=once),
        "running, nothing is tried again": running(retry=never),
        "running, at most once": running(delivery=Delivery.AT_MOST_ONCE, retry=again),
        "running, ninth release, last attempt": evolve(running(retry=once), releases=9),
        "running, cancel requested": asked_to_stop(running(retry=again)),
        "tracked": tracked(),
        "tracked, deadline passed": tracked(**soon),
        "success": end(running(), Outcome.exited(0)),
        "failed": end(running(), Outcome.exited(3)),
        "timeout": end(running(), Outcome.timeout("too slow")),
        "error": end(running(retry=never), Outcome.error("no disk")),
        "cancelled": end(asked_to_stop(running()), Outcome.cancelled("stopped")),
        "dead letter": dead_letter(),
    }


STANDING = _standing()


@frozen
class Command:
    """One way to give one command of the table."""

    #: As the table calls it.
    name: str
    give: Callable[[Job], Decision[Job]]
    #: Whether only the holder may give it.
    of_holder: bool = False


def _complete(name: str, outcome: Outcome) -> Command:
    return Command(
        name,
        lambda job: leases.complete(job, token_of(job), outcome, now=LATER),
        of_holder=True,
    )


def _record(outcome: Outcome) -> Command:
    return Command(
        "record",
        lambda job: tracked_runs.record_execution(job, outcome, now=LATER, actor="jenkins"),
    )


SUCCESS = Outcome.exited(0)
FAILED = Outcome.exited(1)
TIMEOUT = Outcome.timeout("too slow")
ERROR = Outcome.error("no disk")
CANCELLED = Outcome.cancelled("stopped")

COMMANDS: dict[str, Command] = {
    "submit": Command("submit", lambda job: jobs.submit(job, now=LATER, actor="ann")),
    "promote": Command("promote", lambda job: jobs.promote(job, now=LATER)),
    "claim": Command(
        "claim", lambda job: leases.claim(job, agent_id="a-2", claim_id="2" * 32, now=LATER)
    ),
    "claim, starting": Command(
        "claim",
        lambda job: leases.claim(job, agent_id="a-2", claim_id="2" * 32, now=LATER, start=True),
    ),
    "start": Command(
        "start", lambda job: leases.start(job, token_of(job), now=LATER), of_holder=True
    ),
    "progress": Command(
        "progress",
        lambda job: leases.report_progress(
            job, token_of(job), Progress(at=LATER, percent=50), now=LATER
        ),
        of_holder=True,
    ),
    "complete, success": _complete("complete", SUCCESS),
    "complete, failed": _complete("complete", FAILED),
    "complete, timeout": _complete("time_out", TIMEOUT),
    "complete, error": _complete("fail", ERROR),
    "complete, cancelled": _complete("confirm_cancel", CANCELLED),
    "release": Command(
        "release",
        lambda job: leases.release(job, token_of(job), now=LATER, reason="drained"),
        of_holder=True,
    ),
    "expire lease": Command("expire_lease", lambda job: leases.expire_lease(job, now=LATER)),
    "expire lease at its limit": Command(
        "expire_lease", lambda job: leases.expire_lease(job, now=LATER, limit_reached=True)
    ),
    "expire deadline": Command("expire_deadline", lambda job: jobs.expire_deadline(job, now=LATER)),
    "cancel": Command("cancel", lambda job: jobs.cancel(job, now=LATER, actor="bob", reason="no")),
    "request cancel": Command(
        "request_cancel", lambda job: jobs.request_cancel(job, now=LATER, actor="bob", reason="no")
    ),
    "replay": Command("replay", lambda job: jobs.replay(job, now=LATER, actor="bob")),
    "reprioritise": Command(
        "reprioritise",
        lambda job: jobs.reprioritise(job, Priority.CRITICAL, now=LATER, actor="bob"),
    ),
    "record start": Command(
        "record",
        lambda job: tracked_runs.record_start(job, now=LATER, actor="jenkins", started_at=None),
    ),
    "record success": _record(SUCCESS),
    "record failed": _record(FAILED),
    "record timeout": _record(TIMEOUT),
    "record error": _record(ERROR),
    "record cancelled": _record(CANCELLED),
}
