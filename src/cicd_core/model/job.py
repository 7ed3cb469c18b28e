"""A job: one aggregate that serves the queue and the dashboard alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from attrs import Factory, field, frozen

from cicd_core.model.git import GitContext


class Priority(IntEnum):
    """The order between jobs; within one priority the first enqueued goes first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class JobState(StrEnum):
    """The one state that is stored; :class:`JobStatus` and :class:`QueueStatus` are views of it."""

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
    """What the dashboard shows: claimed reads as queued, a dead letter as its last verdict."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    ERROR = "error"


class QueueStatus(StrEnum):
    """What the queue shows."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """How one attempt, or a whole job, ended."""

    SUCCESS = "success"
    #: The job's own verdict: it ran, and said no (an exit code other than 0).
    FAILED = "failed"
    TIMEOUT = "timeout"
    #: The infrastructure's: the agent died, the checkout broke, the lease was lost.
    ERROR = "error"
    CANCELLED = "cancelled"


class Delivery(StrEnum):
    """What happens when an agent is lost while the job runs."""

    #: It runs again, under a new fence. The default.
    AT_LEAST_ONCE = "at_least_once"
    #: It ends in ERROR and never starts a second time: for deploys.
    AT_MOST_ONCE = "at_most_once"


@frozen(kw_only=True)
class RetryPolicy:
    """When a verdict leads to another attempt, and how long that one waits.

    The wait before attempt ``n + 1`` is ``min(base * factor ** (n - 1), max) * (1 - jitter * u)``
    seconds, where ``u`` in [0, 1) comes from the job's id and the attempt: reproducible, and
    different for each job.
    """

    #: Attempts in all, the first one included (1 to 100).
    max_attempts: int = 3
    #: The verdicts that are tried again. A lost lease counts as ``error``.
    retry_on: tuple[Verdict, ...] = (Verdict.ERROR,)
    #: Seconds.
    backoff_base: float = 2.0
    backoff_factor: float = 2.0
    #: Seconds.
    backoff_max: float = 300.0
    #: 0 (none) to 1 (anything down to no wait at all).
    jitter: float = 0.5


@frozen(kw_only=True)
class LeaseToken:
    """What a claim gives to its holder, and what each of its later calls must show (I8)."""

    #: Grows with each claim of the job and never restarts: hand it to what the job writes to.
    fence: int
    #: 128 random bits, as hexadecimal digits: what the store compares.
    claim_id: str


@frozen(kw_only=True)
class Attempt:
    """One claim of the job, and how it ended."""

    number: int
    agent_id: str
    fence: int
    claim_id: str
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: The agent, or whoever took it away.
    ended_by: str | None = None
    #: None while it lasts, and for a release, which is no verdict.
    verdict: Verdict | None = None
    exit_code: int | None = None
    reason: str | None = None
    #: The holder gave the job back; of an at-most-once job that had begun, the verdict is ERROR.
    released: bool = False

    @property
    def token(self) -> LeaseToken:
        """The token that this attempt's holder was given."""
        return LeaseToken(fence=self.fence, claim_id=self.claim_id)

    @property
    def own_verdict(self) -> Verdict | None:
        """The verdict, if the holder itself reported it."""
        return self.verdict if self.ended_by == self.agent_id else None


@frozen(kw_only=True)
class Transition:
    """One step of a job's history."""

    #: None for its creation.
    source: JobState | None
    target: JobState
    at: datetime
    #: The agent's id, or who asked.
    by: str
    why: str


@frozen(kw_only=True)
class Progress:
    """What the holder says of its work so far."""

    at: datetime
    #: 0 to 100, or None where the work can't say.
    percent: float | None = None
    message: str | None = None


@frozen(kw_only=True)
class Job:
    """A job. Instants are aware UTC datetimes of the store's calendar, durations are seconds.

    A calendar may be set forward or back; what depends on the time that has passed, or on who was
    first, is a stamp: microseconds of the store's steady clock.
    """

    job_id: str
    job_type: str
    state: JobState
    created_at: datetime

    pool_name: str = "default"
    priority: Priority = Priority.NORMAL
    #: An agent must have all of these to claim the job. Sorted.
    labels: tuple[str, ...] = ()
    #: What the handler gets: JSON, opaque to us.
    payload: Mapping[str, Any] = field(factory=dict[str, Any])
    git: GitContext | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict[str, str])
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    retry: RetryPolicy = Factory(RetryPolicy)
    #: How long one attempt may run, from its start.
    timeout_seconds: float = 3600.0
    #: Not to be claimed before.
    run_at: datetime | None = None
    #: It ends in TIMEOUT when no attempt has started by then. Later than ``run_at``.
    deadline_at: datetime | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    #: A run that something else executes and that is only recorded here; it is never claimed.
    tracked: bool = False

    #: The first enqueue (or the replay).
    queued_at: datetime | None = None
    #: The stamp of ``queued_at``: the job's place among those of its priority.
    queued_stamp: int | None = None
    #: Since when it can be claimed: what a wait is measured from.
    ready_at: datetime | None = None
    #: The stamp from which on a job that was retried or released may be claimed again; ``run_at``
    #: is when that should be. None: ``run_at`` is the caller's, and the calendar decides.
    paused_until: int | None = None
    claimed_at: datetime | None = None
    #: The stamp of ``claimed_at``.
    claimed_stamp: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    agent_id: str | None = None
    #: The last claim's token; it stays when the claim has ended. 0: never claimed.
    fence: int = 0
    claim_id: str | None = None
    #: Claims so far. It never restarts.
    attempt: int = 0
    #: The attempt that was the first to start; None: none has. A deadline is for that one only.
    first_started: int | None = None
    #: Attempts that count against ``max_attempts``: a release does not.
    attempts_used: int = 0
    #: The allowance: the policy's, raised by each replay.
    max_attempts: int = 3
    #: Releases since the last attempt that counted.
    releases: int = 0
    #: The first 5 and the newest 20: the numbers tell which were left out, the log has them all.
    attempts: tuple[Attempt, ...] = ()

    #: How the last attempt that ended ended.
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
    #: … and how many between the two were left out: the log has them all.
    history_left_out: int = 0

    @property
    def status(self) -> JobStatus:
        """What the dashboard shows."""
        if self.state is JobState.CLAIMED:
            return JobStatus.QUEUED
        if self.state is JobState.DEAD_LETTERED:
            return JobStatus((self.verdict or Verdict.ERROR).value)
        return JobStatus(self.state.value)

    @property
    def queue_status(self) -> QueueStatus | None:
        """What the queue shows; None for a job that was never given to it (PENDING)."""
        return QUEUE_STATUS[self.state]

    @property
    def token(self) -> LeaseToken | None:
        """The last claim's token, None for a job that was never claimed."""
        if self.claim_id is None:
            return None
        return LeaseToken(fence=self.fence, claim_id=self.claim_id)

    @property
    def start_deadline(self) -> datetime | None:
        """When it ends if it has not started; None: it has no deadline, or has started before.

        What has started once is ended by its ``timeout_seconds`` alone.
        """
        return self.deadline_at if self.first_started is None else None

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in FINAL_STATES

    @property
    def duration_seconds(self) -> float | None:
        """How long the last attempt ran, in seconds; None while it runs, or if it never did."""
        began, ended = self.started_at, self.completed_at
        if self.attempts:  # the job itself may have ended much later: cancelled in the queue, say
            began, ended = self.attempts[-1].started_at, self.attempts[-1].ended_at
        if began is None or ended is None:
            return None
        return max(0.0, (ended - began).total_seconds())


#: States that no command leaves.
FINAL_STATES = frozenset(
    {JobState.SUCCESS, JobState.FAILED, JobState.TIMEOUT, JobState.ERROR, JobState.CANCELLED}
)

#: What the queue shows for each state.
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
