"""All rules of the oracle: ownership, leases and losses, for all jobs or for those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.testing.job_oracle.answers import Answers
from cicd_core.testing.job_oracle.logged import LoggedJob, LoggedJobs
from cicd_core.testing.job_oracle.losses import early_ends, lost_effects
from cicd_core.testing.job_oracle.ownership import double_owners

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cicd_core.model.event import Event
    from cicd_core.testing.recording.service_calls import ServiceOperation

_NOTHING: Final = LoggedJob()


class JobOracle:
    """Compares the answers about jobs with each other, and with the log."""

    def __init__(self, *, is_sequential: bool = False) -> None:
        """Start without answers and events.

        Args:
            is_sequential: whether no two calls overlap, and callers have the store's clock: then
                each event has the time of its commit.
        """
        self._is_sequential = is_sequential
        self.answers = Answers()
        self.logged = LoggedJobs()

    def add(self, operation: ServiceOperation) -> None:
        """Add a call with its answer."""
        self.answers.add(operation)

    def see(self, event: Event) -> None:
        """Add the next event of the log."""
        self.logged.add(event)

    def double_owned(self, jobs: Iterable[str] | None = None) -> Iterator[str]:
        """Yield a sentence for each job with two owners; without ``jobs``, of all jobs."""
        for job_id in self._answered(jobs):
            yield from double_owners(job_id, self.answers.jobs[job_id])

    def early(self, jobs: Iterable[str] | None = None) -> Iterator[str]:
        """Yield a sentence for each lease that ended too early; without ``jobs``, of all jobs."""
        for job_id in self._answered(jobs):
            found = self.logged.jobs.get(job_id, _NOTHING)
            answers = self.answers.jobs[job_id]
            yield from early_ends(job_id, answers, found, is_sequential=self._is_sequential)

    def lost(self) -> Iterator[str]:
        """Yield a sentence for each acknowledged call without an effect; all jobs must be idle."""
        for job_id, answers in self.answers.jobs.items():
            yield from lost_effects(job_id, answers, self.logged.jobs.get(job_id, _NOTHING))

    def changed(self) -> set[str]:
        """Return the jobs with new answers or events since the last call."""
        changed = self.answers.touched | self.logged.touched
        self.answers.touched.clear()
        self.logged.touched.clear()
        return changed

    def _answered(self, jobs: Iterable[str] | None) -> Iterable[str]:
        known = self.answers.jobs
        return known if jobs is None else [job_id for job_id in jobs if job_id in known]
