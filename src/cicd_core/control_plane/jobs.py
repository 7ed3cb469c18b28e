"""Jobs for those who ask for work and look after it: create, list, cancel, replay, record, why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.control_plane.explaining import explain_job
from cicd_core.control_plane.listing import Listing, Page, read_page
from cicd_core.errors import InvalidInput
from cicd_core.lifecycle import jobs as lifecycle
from cicd_core.lifecycle.decision import unchanged
from cicd_core.model.checks import MAX_REASON, check_kind, check_label, check_name, kept_text
from cicd_core.model.instants import require_aware
from cicd_core.model.job import Job, JobState, JobStatus, Priority
from cicd_core.model.outcome import Outcome
from cicd_core.persistence.collections import (
    BY_AGENT,
    BY_POOL,
    BY_STATUS,
    DEAD,
    DEAD_LETTERS,
    JOBS,
    job_statuses,
    of_pool,
)
from cicd_core.persistence.grants import load_job
from cicd_core.store.records import Partition

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.enqueueing import JobFactory
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.spec import JobSpec
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.queueing.why import Reason


class JobService:
    """Jobs, outside the hands of an agent. ``by`` is who asks: it stands in the job's history."""

    def __init__(
        self,
        context: Context,
        repository: Repository[Job],
        lanes: LaneBook,
        maker: JobFactory,
        agents: AgentService,
    ) -> None:
        """Take the way to the store, the jobs' records, the lanes, what makes jobs, the agents."""
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._maker = maker
        self._agents = agents

    async def create(self, spec: JobSpec, *, by: str = "caller") -> Job:
        """Create a PENDING job, to be enqueued later, or recorded as a tracked run.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
        """
        (job,) = await self._maker.make([spec], by=by, enqueue=False)
        return job

    async def enqueue(self, job_id: str, *, by: str = "caller") -> Job:
        """PENDING -> QUEUED.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not PENDING.
        """
        steady = (await self._context.store.now()).micros
        return await self._change(
            job_id, by, lambda job, now: lifecycle.enqueue(job, now=now, by=by, steady=steady)
        )

    async def get(self, job_id: str) -> Job:
        """Return the job as it stands.

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
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return a page of jobs, the newest first.

        Args:
            status: as the dashboard shows it.
            agent_id: only those that this agent claimed last.
            pool_name: only those of this pool.
            since: only those created at this moment or later.
            until: only those created before this moment.
            limit: 1 to 500.
            cursor: of the page before, from the same query.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
            InvalidCursor: it is damaged, or of another query.
        """
        wanted = None if status is None else _checked_status(status)

        def keep(job: Job) -> bool:
            return (wanted is None or job.status is wanted) and pool_name in {None, job.pool_name}

        listing = Listing(
            partitions=_partitions(wanted, agent_id, pool_name),
            load=load_job,
            keep=keep,
            since=since,
            until=until,
            filters=(str(wanted), str(agent_id), str(pool_name)),
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def dead_letters(self, *, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """Return a page of the dead letters, the newest first."""
        partitions = (Partition(JOBS.name, DEAD_LETTERS, DEAD),)
        listing = Listing(partitions=partitions, load=load_job)
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def cancel(self, job_id: str, *, by: str = "caller", reason: str = "cancelled") -> Job:
        """End a job that nobody runs; ask the holder of a running one to stop.

        Look at ``cancel_requested_at`` and ``state`` of the answer to tell the two apart.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has ended already, otherwise.
        """
        why = kept_text("reason", reason, most=MAX_REASON, empty="cancelled")
        return await self._change(
            job_id, by, lambda job, now: lifecycle.cancel(job, now=now, by=by, reason=why)
        )

    async def reprioritise(self, job_id: str, priority: Priority, *, by: str = "caller") -> Job:
        """Give a job another priority; it keeps its place among equals.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has ended.
        """
        return await self._change(
            job_id, by, lambda job, now: lifecycle.reprioritise(job, priority, now=now, by=by)
        )

    async def replay(self, job_id: str, *, by: str = "caller", attempts: int | None = None) -> Job:
        """Queue a dead letter again, with more attempts (the policy's number when left out).

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not a dead letter.
            InvalidInput: ``attempts`` is not 1 to 100.
        """
        seen = await self.get(job_id)
        # Repeating after an unknown outcome must not replay twice: the attempts allowed tell.
        allowed = seen.max_attempts
        steady = (await self._context.store.now()).micros

        def decide(job: Job, now: datetime) -> Decision[Job]:
            if job.state is JobState.QUEUED and job.max_attempts > allowed:
                return unchanged(job)
            return lifecycle.replay(job, now=now, by=by, attempts=attempts, steady=steady)

        return await self._change(job_id, by, decide)

    async def record_start(
        self, job_id: str, *, started_at: datetime | None = None, by: str = "caller"
    ) -> Job:
        """A PENDING job has started somewhere else: from now on it is a tracked run.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: the queue has it, or it has ended.
        """
        began = require_aware("started_at", started_at)
        return await self._change(
            job_id,
            by,
            lambda job, now: lifecycle.record_start(job, now=now, by=by, started_at=began),
        )

    async def record_execution(
        self,
        job_id: str,
        outcome: Outcome,
        *,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        by: str = "caller",
    ) -> Job:
        """A tracked run has ended somewhere else.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: the queue has it, or it has ended with another verdict.
            InvalidInput: it would have ended before it started: by ``started_at``, or by more than
                five minutes before the start that was recorded.
        """
        check_kind("outcome", outcome, Outcome)
        began = require_aware("started_at", started_at)
        finished = require_aware("completed_at", completed_at)
        return await self._change(
            job_id,
            by,
            lambda job, now: lifecycle.record_execution(
                job, outcome, now=now, by=by, started_at=began, completed_at=finished
            ),
        )

    async def why(self, job_id: str) -> tuple[Reason, ...]:
        """Return why a job is not being picked up, the most important reason first.

        Raises:
            NotFound: there is no such job.
        """
        return await explain_job(self._context, self._lanes, self._agents, await self.get(job_id))

    async def _change(
        self, job_id: str, by: str, decide: Callable[[Job, datetime], Decision[Job]]
    ) -> Job:
        check_label("by", by)
        return (await self._repository.change(_checked_id(job_id), decide)).value


def _checked_id(job_id: str) -> str:
    return check_name("job_id", job_id)


def _checked_status(status: JobStatus | str) -> JobStatus:
    try:
        return JobStatus(status)
    except ValueError:
        raise InvalidInput("status", status, f"give one of {', '.join(JobStatus)}") from None


def _partitions(
    status: JobStatus | None, agent_id: str | None, pool_name: str | None
) -> tuple[Partition, ...]:
    if pool_name is not None:
        check_name("pool_name", pool_name)
    if agent_id is not None:
        return (Partition(JOBS.name, BY_AGENT, check_name("agent_id", agent_id)),)
    if pool_name is not None:
        values = [of_pool(pool_name, value) for value in job_statuses(status)]
        return tuple(Partition(JOBS.name, BY_POOL, value) for value in values)
    return tuple(Partition(JOBS.name, BY_STATUS, value) for value in job_statuses(status))
