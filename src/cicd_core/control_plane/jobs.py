"""Jobs from the caller's side: create, list, wait, cancel, replay, record, why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.control_plane.explaining import explain_job
from cicd_core.control_plane.job_filter import JobFilter
from cicd_core.control_plane.job_watch import JobWatch
from cicd_core.errors import InvalidInput, WaitTimedOut
from cicd_core.lifecycle import jobs as lifecycle
from cicd_core.lifecycle import tracked_runs
from cicd_core.lifecycle.decision import unchanged
from cicd_core.model.checks import (
    MAX_REASON,
    check_kind,
    check_label,
    check_name,
    check_optional_name,
    check_seconds,
    kept_text,
)
from cicd_core.model.choices import check_choice
from cicd_core.model.instants import require_aware
from cicd_core.model.job import RESTING_STATES, Job, JobState, Priority
from cicd_core.model.outcome import Outcome
from cicd_core.persistence.collections import DEAD, DEAD_LETTERS, JOBS
from cicd_core.persistence.grants import load_job
from cicd_core.persistence.listing import Listing, Page, read_page
from cicd_core.store.records import Partition

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.enqueueing import JobFactory
    from cicd_core.control_plane.events import EventService
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.job import JobStatus
    from cicd_core.model.spec import JobSpec
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.queueing.why import Reason


#: Number of jobs that an iteration reads at once.
_ITERATED: Final = 100


class JobService:
    """Jobs, for callers. ``actor`` is the caller, for the job's history."""

    def __init__(
        self,
        context: Context,
        repository: Repository[Job],
        lanes: LaneBook,
        maker: JobFactory,
        agents: AgentService,
        *,
        events: EventService,
    ) -> None:
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._maker = maker
        self._agents = agents
        self._watch = JobWatch(events, self.get)

    async def create(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a PENDING job, to enqueue later, or to record as a tracked run.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
        """
        (job,) = await self._maker.make([spec], actor=actor, enqueue=False)
        return job

    async def submit(self, job_id: str, *, actor: str = "caller") -> Job:
        """PENDING -> QUEUED.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not PENDING.
        """
        return await self._change(
            job_id,
            actor,
            lambda job, now, steady: lifecycle.submit(job, now=now, actor=actor, steady=steady),
        )

    async def get(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFound: there is no such job.
        """
        return (await self._repository.get(_checked_id(job_id))).value

    async def list(
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
        wanted = JobFilter.checked(status, agent_id, pool_name, job_type, tag, id_prefix=id_prefix)
        listing = Listing(
            partitions=wanted.partitions,
            load=load_job,
            keep=wanted.has,
            since=since,
            until=until,
            within=wanted.within,
            filters=wanted.texts,
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def iterate(
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
    ) -> AsyncGenerator[Job, None]:
        """Yield all jobs that match, the newest first; the filters are those of :meth:`list`.

        It reads pages of 100 as needed. It omits jobs created meanwhile, and jobs whose records do
        not decode, which :meth:`list` names.

        Close it when you leave early: ``async with aclosing(plane.jobs.iterate()) as jobs``.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
        """
        cursor: str | None = None
        while True:
            page = await self.list(
                status=status,
                agent_id=agent_id,
                pool_name=pool_name,
                job_type=job_type,
                tag=tag,
                id_prefix=id_prefix,
                since=since,
                until=until,
                limit=_ITERATED,
                cursor=cursor,
            )
            for job in page.items:
                yield job
            cursor = page.cursor
            if cursor is None:
                return

    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:  # noqa: ASYNC109 - the library's own error names the job
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
        allowed = None if timeout is None else check_seconds("timeout", timeout)
        last = await self.get(job_id)
        if last.state in RESTING_STATES:
            return last

        def see(job: Job) -> None:
            nonlocal last
            last = job

        with anyio.move_on_after(allowed):
            return await self._watch.rest(job_id, see)
        raise WaitTimedOut(job_id, last.state.value, allowed or 0.0)

    async def dead_letters(self, *, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """Return a page of the dead letters, the newest first."""
        partitions = (Partition(JOBS.name, DEAD_LETTERS, DEAD),)
        listing = Listing(partitions=partitions, load=load_job)
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def cancel(self, job_id: str, *, actor: str = "caller", reason: str = "cancelled") -> Job:
        """Cancel a job: end it if no agent runs it, else ask its agent to stop.

        ``cancel_requested_at`` and ``state`` of the answer show which of the two happened.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has already ended with another state.
        """
        reason = kept_text("reason", reason, most=MAX_REASON, empty="cancelled")
        return await self._change(
            job_id,
            actor,
            lambda job, now, _: lifecycle.cancel(job, now=now, actor=actor, reason=reason),
        )

    async def reprioritise(
        self, job_id: str, priority: Priority | str, *, actor: str = "caller"
    ) -> Job:
        """Change a job's priority; it keeps its place within the priority.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has ended.
            InvalidInput: ``priority`` is neither a priority nor the text of one, such as ``high``.
        """
        wanted = check_choice("priority", priority, Priority)
        return await self._change(
            job_id,
            actor,
            lambda job, now, _: lifecycle.reprioritise(job, wanted, now=now, actor=actor),
        )

    async def replay(
        self, job_id: str, *, actor: str = "caller", attempts: int | None = None
    ) -> Job:
        """Queue a dead letter again, with new attempts (by default as many as in its policy).

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not a dead letter.
            InvalidInput: ``attempts`` is not 1 to 100.
        """
        seen = await self.get(job_id)
        # A repetition after an unknown outcome must not replay twice: the allowed attempts show it.
        allowed = seen.max_attempts

        def decide(job: Job, now: datetime, steady: int) -> Decision[Job]:
            if job.state is JobState.QUEUED and job.max_attempts > allowed:
                return unchanged(job)
            return lifecycle.replay(job, now=now, actor=actor, attempts=attempts, steady=steady)

        return await self._change(job_id, actor, decide)

    async def record_start(
        self, job_id: str, *, started_at: datetime | None = None, actor: str = "caller"
    ) -> Job:
        """Record that an external system started a PENDING job, which becomes a tracked run.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is in the queue, or has ended.
            InvalidInput: ``started_at`` is naive, or more than a day after the store's time.
        """
        began = require_aware("started_at", started_at)
        return await self._change(
            job_id,
            actor,
            lambda job, now, _: tracked_runs.record_start(
                job, now=now, actor=actor, started_at=began
            ),
        )

    async def record_execution(
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
        check_kind("outcome", outcome, Outcome)
        began = require_aware("started_at", started_at)
        finished = require_aware("completed_at", completed_at)
        check_optional_name("agent_id", agent_id)
        if duration_seconds is not None:
            check_seconds(
                "duration_seconds", duration_seconds, most=tracked_runs.LONGEST_RUN.total_seconds()
            )
            if began is not None:
                reason = "give started_at or duration_seconds, not both"
                raise InvalidInput("duration_seconds", duration_seconds, reason)
        return await self._change(
            job_id,
            actor,
            lambda job, now, _: tracked_runs.record_execution(
                job,
                outcome,
                now=now,
                actor=actor,
                started_at=began,
                completed_at=finished,
                duration_seconds=duration_seconds,
                agent_id=agent_id,
            ),
        )

    async def why(self, job_id: str) -> tuple[Reason, ...]:
        """Return why a job is not being picked up, the most important reason first.

        Raises:
            NotFound: there is no such job.
        """
        return await explain_job(self._context, self._lanes, self._agents, await self.get(job_id))

    async def _change(
        self, job_id: str, actor: str, decide: Callable[[Job, datetime, int], Decision[Job]]
    ) -> Job:
        check_label("actor", actor)
        return (await self._repository.change(_checked_id(job_id), decide)).value


def _checked_id(job_id: str) -> str:
    return check_name("job_id", job_id)
