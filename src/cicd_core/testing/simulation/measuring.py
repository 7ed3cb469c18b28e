"""The measurements of a running simulation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from cicd_core.lifecycle.job_steps import passed
from cicd_core.model.instants import SECOND
from cicd_core.model.job import FINAL_STATES, JobState, Priority
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.model.job import Job
    from cicd_core.testing.simulation.observer import JobSight

_HELD: Final = (JobState.CLAIMED, JobState.RUNNING)
_ENDS: Final = FINAL_STATES | {JobState.DEAD_LETTERED}


@frozen(kw_only=True)
class Sample:
    """The measured values at one moment."""

    #: Since the start, in seconds.
    at: float
    ready: int
    held: int
    #: Running agents, and those that the scaling signal wants.
    agents: int
    desired: int
    #: The average wait of the jobs claimed since the previous sample, in seconds.
    wait: float


@frozen(kw_only=True)
class Waits:
    """How long jobs waited for their claims, in seconds."""

    claims: int
    p50: float
    p95: float
    longest: float


def waits_of(seconds: Sequence[float]) -> Waits:
    """Return the waits in four numbers: exact, by the nearest rank."""
    if not seconds:
        return Waits(claims=0, p50=0.0, p95=0.0, longest=0.0)
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Waits(
        claims=len(ordered),
        p50=ordered[round(0.5 * last)],
        p95=ordered[round(0.95 * last)],
        longest=ordered[last],
    )


class Measures:
    """Waits, utilisation, outcomes and samples."""

    def __init__(self, start: int) -> None:
        """Begin at an instant, in µs."""
        self._start = self._at = start
        self._wait_sum, self._wait_count = 0.0, 0
        self._slot_seconds = self._busy_seconds = 0.0
        self.waits: dict[Priority, list[float]] = {priority: [] for priority in Priority}
        self.samples: list[Sample] = []
        #: The counts of events by name (crashes, retries, refused stale calls, …).
        self.tally: Counter[str] = Counter()
        #: When a job changed last, in µs.
        self.moved_at = start

    @property
    def utilisation(self) -> float:
        """The share of the slots that were in use, over all of the time, 0 to 1."""
        return self._busy_seconds / self._slot_seconds if self._slot_seconds else 0.0

    def pass_time(self, now: int, *, slots: int, busy: int) -> None:
        """Count the slots from the last call up to now (µs)."""
        seconds, self._at = (now - self._at) / SECOND, now
        self._slot_seconds += slots * seconds
        self._busy_seconds += min(busy, slots) * seconds

    def moved(self, before: JobSight | None, job: Job, now: int) -> None:
        """Count the result of a job."""
        self.moved_at = now
        if before is None:
            self.tally["enqueued"] += 1
        elif job.attempt > before.attempt:
            self._claimed(job)
        was = None if before is None else before.state
        if job.state is JobState.QUEUED:
            self.tally["retries"] += was in _HELD
            self.tally["replays"] += was is JobState.DEAD_LETTERED
        elif job.state is not was and job.state in _ENDS:
            self.tally[job.state.value] += 1

    def sample(self, now: int, *, ready: int, held: int, agents: int, desired: int) -> None:
        """Record the current values."""
        wait = self._wait_sum / self._wait_count if self._wait_count else 0.0
        self._wait_sum, self._wait_count = 0.0, 0
        at = (now - self._start) / SECOND
        self.samples.append(
            Sample(at=at, ready=ready, held=held, agents=agents, desired=desired, wait=wait)
        )

    def _claimed(self, job: Job) -> None:
        if job.ready_at is None or job.claimed_at is None:
            return
        wait = (job.claimed_at - job.ready_at).total_seconds()
        wait = passed(wait, job.queued_stamp, job.claimed_stamp)
        self.waits[job.priority].append(wait)
        self._wait_sum += wait
        self._wait_count += 1
