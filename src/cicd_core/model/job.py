"""Jobs: one aggregate for both the queue and the dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Final

from attrs import field

from cicd_core.model.choices import as_tuple, taken_as
from cicd_core.model.git import GitContext
from cicd_core.values import frozen


class Priority(IntEnum):
    """The order of jobs; within a priority, jobs run in the order of enqueueing."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class JobState(StrEnum):
    """The stored state; :class:`JobStatus` and :class:`QueueStatus` are views of it."""

    PENDING = "pending"
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ERROR = "error"
    CANCELLED = "cancelled"
    DEAD_LETTERED = "dead_lettered"


class JobStatus(StrEnum):
    """The status on the dashboard: claimed shows as queued, a dead letter as its last verdict."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ERROR = "error"


class QueueStatus(StrEnum):
    """The status in the queue."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """The result of an attempt or a job."""

    SUCCESS = "success"
    #: The job's own verdict: it ran and failed (an exit code other than 0).
    FAILED = "failed"
    TIMEOUT = "timeout"
    #: The infrastructure's: the agent crashed, the checkout failed, the lease was lost.
    ERROR = "error"
    CANCELLED = "cancelled"


class Delivery(StrEnum):
    """The reaction to an agent that is lost while the job runs."""

    #: The job runs again, with a new fence. The default.
    AT_LEAST_ONCE = "at_least_once"
    #: The job ends in ERROR and never starts a second time: for deploys.
    AT_MOST_ONCE = "at_most_once"


def _verdicts(values: Iterable[Verdict | str]) -> tuple[Verdict, ...]:
    given = as_tuple(values)
    if not isinstance(given, tuple) or {*map(type, given)} <= {Verdict}:
        return given  # type: ignore[return-value]  # check_retry refuses other values
    return tuple(taken_as(item, Verdict) for item in given)


@frozen(kw_only=True)
class RetryPolicy:
    """The verdicts that lead to another attempt, and the wait before it.

    The wait before attempt ``n + 1`` is ``min(base * factor ** (n - 1), max) * (1 - jitter * u)``
    seconds, where ``u`` in [0, 1) comes from the job's id and the attempt: reproducible, and
    different for each job.
    """

    #: Attempts in all, the first one included (1 to 100).
    max_attempts: int = 3
    #: The verdicts to retry, or their texts. A lost lease counts as ``error``.
    retry_on: tuple[Verdict, ...] = field(default=(Verdict.ERROR,), converter=_verdicts)
    #: Seconds before the second attempt.
    backoff_base: float = 2.0
    #: The factor between one wait and the next (1 to 100).
    backoff_factor: float = 2.0
    #: The longest wait, in seconds.
    backoff_max: float = 300.0
    #: 0 (none) to 1 (down to no wait).
    jitter: float = 0.5


#: The policy of a job that names none: one value, which never changes, for all of them.
DEFAULT_RETRY: Final = RetryPolicy()


@frozen(kw_only=True)
class LeaseToken:
    """The proof of a claim, which each later call of its holder must show (I8)."""

    #: Grows with each claim of the job and never restarts: pass it to systems that the job changes.
    fence: int
    #: 128 random bits, as hexadecimal digits, which the store compares. Omitted from the repr of
    #: every value, which may end up in logs.
    claim_id: str = field(repr=False)


@frozen(kw_only=True)
class Attempt:
    """One claim of the job, and how it ended."""

    number: int
    agent_id: str
    fence: int
    claim_id: str = field(repr=False)
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: The agent, or the actor that took the job away.
    ended_by: str | None = None
    #: None while it runs, and for a release, which has no verdict.
    verdict: Verdict | None = None
    exit_code: int | None = None
    reason: str | None = None
    #: The holder released the job; if an at-most-once job had started, the verdict is ERROR.
    released: bool = False

    @property
    def token(self) -> LeaseToken:
        """The token of this attempt's holder."""
        return LeaseToken(fence=self.fence, claim_id=self.claim_id)

    @property
    def own_verdict(self) -> Verdict | None:
        """The verdict, if the holder itself reported it."""
        return self.verdict if self.ended_by == self.agent_id else None


@frozen(kw_only=True)
class Transition:
    """One step of a job's history."""

    #: None for its creation.
    source: JobState | None = None
    target: JobState
    at: datetime
    #: The agent's id, or the caller.
    actor: str
    reason: str


@frozen(kw_only=True)
class Progress:
    """The holder's report of its progress."""

    at: datetime
    #: 0 to 100, or None if unknown.
    percent: float | None = None
    message: str | None = None


@frozen(kw_only=True)
class Job:
    """A job. Instants are aware UTC datetimes of the store's calendar, durations are seconds.

    The calendar may be set forward or back. Fields that depend on elapsed time, or on order, are
    stamps: microseconds of the store's steady clock.
    """

    job_id: str
    job_type: str
    state: JobState
    created_at: datetime

    pool_name: str = "default"
    priority: Priority = Priority.NORMAL
    #: An agent must have all these labels to claim the job. Sorted.
    labels: tuple[str, ...] = ()
    #: The input of the handler: JSON, opaque to the library.
    payload: Mapping[str, Any] = field(factory=dict[str, Any])
    git: GitContext | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict[str, str])
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    retry: RetryPolicy = DEFAULT_RETRY
    #: Time limit of an attempt, from its start.
    timeout_seconds: float = 3600.0
    #: The job is not claimed before this time.
    run_at: datetime | None = None
    #: The job ends in TIMEOUT if no attempt has started by then. Later than ``run_at``.
    deadline_at: datetime | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    #: A tracked run: an external system executes it; it is never claimed.
    tracked: bool = False

    #: The first enqueue (or the replay).
    queued_at: datetime | None = None
    #: The stamp of ``queued_at``: the job's place within its priority.
    queued_stamp: int | None = None
    #: Since when it can be claimed; a wait is measured from here.
    ready_at: datetime | None = None
    #: The stamp from which a retried or released job may be claimed again; ``run_at`` has the
    #: expected time. None: ``run_at`` is the caller's, and the calendar decides.
    paused_until: int | None = None
    claimed_at: datetime | None = None
    #: The stamp of ``claimed_at``.
    claimed_stamp: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    agent_id: str | None = None
    #: The last claim's token; it stays after the claim has ended. 0: never claimed.
    fence: int = 0
    claim_id: str | None = field(default=None, repr=False)
    #: The number of claims. It never restarts.
    attempt: int = 0
    #: The first attempt that started; None: none. A deadline applies only to it.
    first_started: int | None = None
    #: Attempts that count towards ``max_attempts``; a release does not.
    attempts_used: int = 0
    #: The limit: that of the policy, raised by each replay.
    max_attempts: int = 3
    #: Releases since the last attempt that counted.
    releases: int = 0
    #: The first 5 and the newest 20: their numbers show the omitted ones; the log has all.
    attempts: tuple[Attempt, ...] = ()

    #: The verdict of the last attempt that ended.
    verdict: Verdict | None = None
    exit_code: int | None = None
    error_message: str | None = None
    logs_url: str | None = None
    logs_summary: str | None = None
    progress: Progress | None = None

    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None
    #: The first 10 transitions and the newest 30, …
    history: tuple[Transition, ...] = ()
    #: … and the number omitted between the two; the log has all.
    history_left_out: int = 0

    @property
    def status(self) -> JobStatus:
        """The status on the dashboard."""
        if self.state is JobState.DEAD_LETTERED:
            return JobStatus((self.verdict or Verdict.ERROR).value)
        return JOB_STATUS[self.state]

    @property
    def queue_status(self) -> QueueStatus | None:
        """The status in the queue; None for a job that was never enqueued (PENDING)."""
        return QUEUE_STATUS[self.state]

    @property
    def token(self) -> LeaseToken | None:
        """The last claim's token, None for a job that was never claimed."""
        if self.claim_id is None:
            return None
        return LeaseToken(fence=self.fence, claim_id=self.claim_id)

    @property
    def start_deadline(self) -> datetime | None:
        """When the job ends if it has not started; None: no deadline, or it has started before.

        After its first start, only its ``timeout_seconds`` limits it.
        """
        return self.deadline_at if self.first_started is None else None

    @property
    def is_final(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL_STATES

    @property
    def duration_seconds(self) -> float | None:
        """Duration of the last attempt, in seconds; None while it runs, or if it never ran."""
        began, ended = self.started_at, self.completed_at
        if self.attempts:  # the job may end much later, such as by a cancel in the queue
            began, ended = self.attempts[-1].started_at, self.attempts[-1].ended_at
        if began is None or ended is None:
            return None
        return max(0.0, (ended - began).total_seconds())


#: States that no command leaves.
FINAL_STATES = frozenset(
    {JobState.SUCCESS, JobState.FAILED, JobState.TIMEOUT, JobState.ERROR, JobState.CANCELLED}
)

#: States that a job does not leave by itself; an operator may replay a dead letter.
RESTING_STATES = FINAL_STATES | {JobState.DEAD_LETTERED}

#: What the dashboard shows for each state; for a dead letter it is its last verdict.
JOB_STATUS: Mapping[JobState, JobStatus] = {
    state: JobStatus.QUEUED if state is JobState.CLAIMED else JobStatus(state.value)
    for state in JobState
    if state is not JobState.DEAD_LETTERED
}

#: The queue status of each state.
QUEUE_STATUS: Mapping[JobState, QueueStatus | None] = {
    JobState.PENDING: None,
    JobState.QUEUED: QueueStatus.QUEUED,
    JobState.CLAIMED: QueueStatus.CLAIMED,
    JobState.RUNNING: QueueStatus.RUNNING,
    JobState.SUCCESS: QueueStatus.COMPLETED,
    JobState.FAILED: QueueStatus.FAILED,
    JobState.TIMEOUT: QueueStatus.FAILED,
    JobState.ERROR: QueueStatus.FAILED,
    JobState.DEAD_LETTERED: QueueStatus.DEAD_LETTERED,
    JobState.CANCELLED: QueueStatus.CANCELLED,
}
