"""JobService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.jobs import JobService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from cicd_core.model.job import Job, JobStatus, Priority
    from cicd_core.model.outcome import Outcome
    from cicd_core.model.spec import JobSpec
    from cicd_core.persistence.listing import Page
    from cicd_core.queueing.why import Reason


class JobService(Facade[Service]):
    """Jobs, for callers. ``actor`` is the caller, for the job's history."""

    def create(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a PENDING job, to enqueue later, or to record as a tracked run.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
        """
        return self._call(partial(self._service.create, spec, actor=actor))

    def submit(self, job_id: str, *, actor: str = "caller") -> Job:
        """PENDING -> QUEUED.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not PENDING.
        """
        return self._call(partial(self._service.submit, job_id, actor=actor))

    def get(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFound: there is no such job.
        """
        return self._call(partial(self._service.get, job_id))

    def list(
        self,
        *,
        status: JobStatus | str | None = None,
        agent_id: str | None = None,
        pool_name: str | None = None,
        job_type: str | None = None,
        tag: str | None = None,
        id_prefix: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return a page of jobs, the newest first.

        Args:
            status: that on the dashboard.
            agent_id: only jobs that this agent claimed last.
            pool_name: only jobs of this pool.
            job_type: only jobs of this type.
            tag: only jobs with this tag; ``name=value`` matches metadata instead.
            id_prefix: only jobs whose ids start with it. This is fast for generated ids; ids from
                idempotency keys are found as with any other filter.
            since: only jobs created at this time or later.
            until: only jobs created before this time.
            limit: 1 to 500.
            cursor: that of the previous page of the same query.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
            InvalidCursor: it is damaged, or belongs to another query.
        """
        return self._call(
            partial(
                self._service.list,
                status=status,
                agent_id=agent_id,
                pool_name=pool_name,
                job_type=job_type,
                tag=tag,
                id_prefix=id_prefix,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )

    def iterate(
        self,
        *,
        status: JobStatus | str | None = None,
        agent_id: str | None = None,
        pool_name: str | None = None,
        job_type: str | None = None,
        tag: str | None = None,
        id_prefix: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Generator[Job]:
        """Yield all jobs that match, the newest first; the filters are those of :meth:`list`.

        It reads pages of 100 as needed. It omits jobs created meanwhile, and jobs whose records do
        not decode, which :meth:`list` names.

        Close it when you leave early: ``with closing(plane.jobs.iterate()) as jobs``.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
        """
        return self._walk(
            partial(
                self._service.iterate,
                status=status,
                agent_id=agent_id,
                pool_name=pool_name,
                job_type=job_type,
                tag=tag,
                id_prefix=id_prefix,
                since=since,
                until=until,
            )
        )

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Wait until a job has ended, and return it: in a final state, or as a dead letter.

        Check its ``state``: success is one of several ends. All calls that wait on one control
        plane share one reader of the log, so a hundred waits read it as often as one does.

        Args:
            job_id: the job.
            timeout: maximum wait in seconds; None waits without limit. 0 looks once.

        Raises:
            NotFound: there is no such job, or its retention ended meanwhile.
            WaitTimedOut: it has not ended in that time; it still runs.
            InvalidInput: ``timeout`` is not a duration.
            StoreError: the log, or the job, cannot be read.
        """
        return self._call(partial(self._service.wait, job_id, timeout=timeout))

    def dead_letters(self, *, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """Return a page of the dead letters, the newest first."""
        return self._call(partial(self._service.dead_letters, limit=limit, cursor=cursor))

    def cancel(self, job_id: str, *, actor: str = "caller", reason: str = "cancelled") -> Job:
        """Cancel a job: end it if no agent runs it, else ask its agent to stop.

        ``cancel_requested_at`` and ``state`` of the answer show which of the two happened.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has already ended with another state.
        """
        return self._call(partial(self._service.cancel, job_id, actor=actor, reason=reason))

    def reprioritise(self, job_id: str, priority: Priority | str, *, actor: str = "caller") -> Job:
        """Change a job's priority; it keeps its place within the priority.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has ended.
            InvalidInput: ``priority`` is neither a priority nor the text of one, such as ``high``.
        """
        return self._call(partial(self._service.reprioritise, job_id, priority, actor=actor))

    def replay(self, job_id: str, *, actor: str = "caller", attempts: int | None = None) -> Job:
        """Queue a dead letter again, with new attempts (by default as many as in its policy).

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not a dead letter.
            InvalidInput: ``attempts`` is not 1 to 100.
        """
        return self._call(partial(self._service.replay, job_id, actor=actor, attempts=attempts))

    def record_start(
        self, job_id: str, *, started_at: datetime | None = None, actor: str = "caller"
    ) -> Job:
        """Record that an external system started a PENDING job, which becomes a tracked run.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is in the queue, or has ended.
            InvalidInput: ``started_at`` is naive, or more than a day after the store's time.
        """
        return self._call(
            partial(self._service.record_start, job_id, started_at=started_at, actor=actor)
        )

    def record_execution(
        self,
        job_id: str,
        outcome: Outcome,
        *,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        duration_seconds: float | None = None,
        agent_id: str | None = None,
        actor: str = "caller",
    ) -> Job:
        """Record the end of a tracked run.

        Args:
            job_id: the job.
            outcome: its result.
            started_at: its start; by default as recorded by :meth:`record_start`.
            completed_at: its end; now by default.
            duration_seconds: its duration, at most 366 days, instead of ``started_at``.
            agent_id: the agent that ran it, which then lists it among its jobs.
            actor: the caller.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is in the queue, or has ended with another verdict.
            InvalidInput: it would have ended before it started: by ``started_at``, or by more than
                five minutes before the recorded start. Or it would have lasted for more than 366
                days, or a moment is naive, before 1970, or more than a day after the store's time.
        """
        return self._call(
            partial(
                self._service.record_execution,
                job_id,
                outcome,
                started_at=started_at,
                completed_at=completed_at,
                duration_seconds=duration_seconds,
                agent_id=agent_id,
                actor=actor,
            )
        )

    def why(self, job_id: str) -> tuple[Reason, ...]:
        """Return why a job is not being picked up, the most important reason first.

        Raises:
            NotFound: there is no such job.
        """
        return self._call(partial(self._service.why, job_id))
