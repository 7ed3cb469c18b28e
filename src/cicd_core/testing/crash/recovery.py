"""Time until jobs of killed workers were requeued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import SECOND
from cicd_core.testing.crash.plan import agent_name
from cicd_core.testing.job_oracle.logged import REAPER
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.testing.crash.storm import Death
    from cicd_core.testing.job_oracle.logged import LoggedJobs


@frozen(kw_only=True)
class Recovery:
    """From the kill of a job's holder until the queue had the job again, in seconds."""

    #: How many jobs were requeued.
    jobs: int
    #: The time for half of them, and for all of them; None: there was no job.
    median: float | None
    longest: float | None


def recovery(logged: LoggedJobs, deaths: Iterable[Death], offset: int) -> Recovery:
    """Return the times until the jobs of killed workers were claimed again.

    Args:
        logged: the store's log.
        deaths: when the workers ended, in microseconds since the machine started.
        offset: the difference from that to the store's time.
    """
    killed = {
        agent_name(death.slot, death.generation): death.at + offset
        for death in deaths
        if death.was_killed
    }
    seconds = sorted(
        (attempt.ended - killed[attempt.agent]) / SECOND
        for job in logged.jobs.values()
        for attempt in job.attempts.values()
        if attempt.ended is not None
        and attempt.ended_by == REAPER
        and not attempt.missed_deadline  # by the calendar, independent of its holder
        and attempt.ended > killed.get(attempt.agent, attempt.ended)
    )
    return Recovery(
        jobs=len(seconds),
        median=_middle(seconds),
        longest=seconds[-1] if seconds else None,
    )


def _middle(ordered: Sequence[float]) -> float | None:
    return ordered[len(ordered) // 2] if ordered else None
