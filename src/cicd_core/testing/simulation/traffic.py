"""The traffic: times, kinds and durations of jobs."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cicd_core.model.job import Priority, RetryPolicy, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.queueing.lanes import lane_of
from cicd_core.testing.simulation.plan import DAY, HOUR, WORKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.model.job import Job
    from cicd_core.testing.simulation.plan import SimulationPlan

#: The share of jobs in bursts, such as the matrix of a pipeline, and the size of a burst.
_BURSTS: Final = 0.2
_BURST: Final = (10, 50)
#: Share of the others with a start time, at most an hour later.
_DELAYED: Final = 0.05
_PRIORITIES: Final = {
    Priority.CRITICAL: 3,
    Priority.HIGH: 17,
    Priority.NORMAL: 60,
    Priority.LOW: 20,
}
_VERDICTS: Final = {
    Verdict.SUCCESS: 88,
    Verdict.FAILED: 6,
    Verdict.ERROR: 5,
    Verdict.TIMEOUT: 1,
}
#: The messages of attempts, by verdict.
_MESSAGES: Final[Mapping[Verdict, tuple[str, ...]]] = {
    Verdict.SUCCESS: (),
    Verdict.FAILED: ("2 of 214 tests failed", "the linter found 3 faults", "make: *** [all] 1"),
    Verdict.ERROR: ("no space left on the disk", "the registry of images did not answer"),
    Verdict.TIMEOUT: ("it ran for longer than its timeout",),
}
_RETRY: Final = RetryPolicy(
    max_attempts=3, retry_on=(Verdict.ERROR, Verdict.TIMEOUT), backoff_base=5.0
)
_TIMEOUT: Final = 1.5 * HOUR
_WORKS: Final = {work.lane: work for work in WORKS}


def rate_at(seconds: float) -> float:
    """Return the rate at a time of day: 1 on average, lowest at night, highest at 14:00.

    Args:
        seconds: since midnight (UTC) of the first day.
    """
    return 1.0 + 0.8 * math.cos((seconds / DAY - 14 / 24) * 2 * math.pi)


class Traffic:
    """Draws the jobs, one arrival after the other."""

    def __init__(self, plan: SimulationPlan) -> None:
        """Draw only from the seed of the plan."""
        self._random = plan.drawn("traffic")
        size = sum(_BURST) / 2
        # Of the arrivals: a burst is one of them, and many jobs.
        self._burst_share = _BURSTS / (_BURSTS + (1 - _BURSTS) * size)
        jobs_per_arrival = 1 + self._burst_share * (size - 1)
        self._per_second = plan.jobs_per_hour / HOUR / jobs_per_arrival

    def next_after(self, seconds: float) -> float:
        """Return when the next jobs come: a Poisson process with the rate of the time of day."""
        while True:
            seconds += self._random.expovariate(self._per_second * 1.8)
            if self._random.random() * 1.8 < rate_at(seconds):
                return seconds

    def specs(self, now: datetime) -> list[JobSpec]:
        """Return the jobs that come together: one, or a burst of the same kind."""
        draw = self._random
        (work,) = draw.choices(WORKS, [item.share for item in WORKS])
        (priority,) = draw.choices(list(_PRIORITIES), list(_PRIORITIES.values()))
        number = draw.randint(*_BURST) if draw.random() < self._burst_share else 1
        delayed = number == 1 and draw.random() < _DELAYED
        run_at = now + timedelta(seconds=draw.uniform(1, HOUR)) if delayed else None
        spec = JobSpec(
            job_type=work.lane.job_type,
            pool_name=work.lane.pool_name,
            labels=work.lane.labels,
            priority=priority,
            delivery=work.delivery,
            retry=_RETRY,
            timeout_seconds=_TIMEOUT,
            run_at=run_at,
        )
        return [spec] * number


def seconds_of(job: Job, draw: Random) -> float:
    """Return how long an attempt of the job runs, in seconds: log-normal, at least one."""
    work = _WORKS[lane_of(job)]
    return max(1.0, draw.lognormvariate(math.log(work.median_seconds), work.spread))


def outcome_of(draw: Random, clock: str) -> Outcome:
    """Return how an attempt ends; ``clock`` is the time that the agent's own clock shows."""
    (verdict,) = draw.choices(list(_VERDICTS), list(_VERDICTS.values()))
    code = {Verdict.SUCCESS: 0, Verdict.FAILED: 1}.get(verdict)
    messages = _MESSAGES[verdict]
    # Chosen by the clock, so that no further number is drawn.
    message = messages[sum(clock.encode()) % len(messages)] if messages else None
    summary = f"{message or 'all steps passed'}\nended at {clock} by the agent's clock"
    return Outcome(verdict=verdict, exit_code=code, logs_summary=summary, error_message=message)
