"""Jobs, for callers, over HTTP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.errors import StoreUnavailable, WaitTimedOut
from cicd_core.http.client.connection import ANSWER_SECONDS, POLL_SECONDS
from cicd_core.http.client.moments import moment
from cicd_core.http.client.outages import Outage
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import asked_to_wire, from_wire, part_of, values_from_wire
from cicd_core.model.checks import check_kind, check_name, check_seconds
from cicd_core.model.choices import check_choice
from cicd_core.model.job import RESTING_STATES, Job, JobStatus, Priority
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec, checked
from cicd_core.persistence.listing import Page
from cicd_core.queueing.why import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import datetime

    from cicd_core.http.client.connection import Connection

#: Number of jobs that an iteration reads at once.
_ITERATED: Final = 100
#: Pause before another request after the answer of a stopping server, in seconds.
_PAUSE: Final = 0.2


class RemoteJobs:
    """Jobs of a server; the same methods as ``JobService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def create(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a PENDING job, to submit later, or to record as a tracked run.

        If the answer is lost, the call is repeated only with an idempotency key.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
        """
        body = asked_to_wire(checked(spec))
        return await self._command(
            "POST", path_of("jobs"), body, repeatable=spec.idempotency_key is not None
        )

    async def submit(self, job_id: str, *, actor: str = "caller") -> Job:
        """PENDING -> QUEUED.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not PENDING.
        """
        return await self._command("POST", _own_path(job_id, "submit"), {})

    async def get(self, job_id: str) -> Job:
        """Return the job.

        Raises:
            NotFound: there is no such job.
        """
        return from_wire(Job, await self._connection.get(_path(job_id)))

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
        """Return a page of jobs, the newest first; the arguments are those of ``JobService.list``.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
            InvalidCursor: it is damaged, or belongs to another query.
        """
        query = {
            "status": status,
            "agent_id": agent_id,
            "pool_name": pool_name,
            "job_type": job_type,
            "tag": tag,
            "id_prefix": id_prefix,
            "since": moment("since", since),
            "until": moment("until", until),
            "limit": limit,
            "cursor": cursor,
        }
        return from_wire(Page[Job], await self._connection.get(path_of("queue", "jobs"), query))

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

    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:  # noqa: ASYNC109 - the library's own error tells of the job
        """Wait until a job has ended, and return it: in a final state, or as a dead letter.

        Args:
            job_id: the job.
            timeout: maximum wait in seconds; None waits without limit. 0 looks once.

        Raises:
            NotFound: there is no such job, or its retention ended meanwhile.
            WaitTimedOut: it has not ended in that time; it still runs.
            InvalidInput: ``timeout`` is not a duration.
        """
        allowed = None if timeout is None else check_seconds("timeout", timeout)
        until = math.inf if allowed is None else anyio.current_time() + allowed
        outage = Outage()
        while True:
            left = max(0.0, min(until - anyio.current_time(), POLL_SECONDS))
            try:
                answer = await self._ended(job_id, left)
            except StoreUnavailable:
                if anyio.current_time() >= until or not outage.may_go_on():
                    raise
                await anyio.sleep(_PAUSE)
                continue
            outage.over()
            if answer is None:  # the server is stopping; another one may answer
                if anyio.current_time() < until:
                    await anyio.sleep(_PAUSE)
                    continue
                answer = await self._connection.get(_path(job_id))
            job = from_wire(Job, answer)
            if job.state in RESTING_STATES:
                return job
            if anyio.current_time() >= until:
                raise WaitTimedOut(job_id, job.state.value, allowed or 0.0)

    async def _ended(self, job_id: str, seconds: float) -> Any:
        """Return the server's answer about a job when it has ended, or after some seconds."""
        return await self._connection.call(
            "GET",
            _own_path(job_id, "wait"),
            query={"seconds": seconds},
            repeatable=True,
            seconds=ANSWER_SECONDS + seconds,
        )

    async def dead_letters(self, *, limit: int = 50, cursor: str | None = None) -> Page[Job]:
        """Return a page of the dead letters, the newest first."""
        query = {"limit": limit, "cursor": cursor}
        path = path_of("queue", "dead-letters")
        return from_wire(Page[Job], await self._connection.get(path, query))

    async def cancel(self, job_id: str, *, actor: str = "caller", reason: str = "cancelled") -> Job:
        """Cancel a job: end it if no agent runs it, else ask its agent to stop.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has already ended with another state.
        """
        return await self._command("PATCH", _path(job_id, "cancel"), {"reason": reason})

    async def reprioritise(
        self, job_id: str, priority: Priority | str, *, actor: str = "caller"
    ) -> Job:
        """Change a job's priority; it keeps its place within the priority.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it has ended.
            InvalidInput: ``priority`` is neither a priority nor the text of one, such as ``high``.
        """
        body = {"priority": asked_to_wire(check_choice("priority", priority, Priority))}
        return await self._command("PATCH", _path(job_id, "priority"), body)

    async def replay(
        self, job_id: str, *, actor: str = "caller", attempts: int | None = None
    ) -> Job:
        """Queue a dead letter again, with new attempts (by default as many as in its policy).

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is not a dead letter.
            InvalidInput: ``attempts`` is not 1 to 100.
        """
        name = check_name("job_id", job_id)
        path = path_of("queue", "dead-letters", name=name, command="replay")
        return await self._command("POST", path, {"attempts": attempts}, repeatable=False)

    async def record_start(
        self, job_id: str, *, started_at: datetime | None = None, actor: str = "caller"
    ) -> Job:
        """Record that an external system started a PENDING job, which becomes a tracked run.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is in the queue, or has ended.
        """
        body = {"started_at": moment("started_at", started_at)}
        return await self._command("POST", _own_path(job_id, "record-start"), body)

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

        The arguments are those of ``JobService.record_execution``.

        Raises:
            NotFound: there is no such job.
            IllegalTransition: it is in the queue, or has ended with another verdict.
            InvalidInput: it would have ended before it started.
        """
        check_kind("outcome", outcome, Outcome)
        body = {
            "outcome": asked_to_wire(outcome),
            "started_at": moment("started_at", started_at),
            "completed_at": moment("completed_at", completed_at),
            "duration_seconds": duration_seconds,
            "agent_id": agent_id,
        }
        return await self._command("POST", _own_path(job_id, "record-end"), body)

    async def why(self, job_id: str) -> tuple[Reason, ...]:
        """Return why a job is not being picked up, the most important reason first.

        Raises:
            NotFound: there is no such job.
        """
        answer = await self._connection.get(_path(job_id, "why"))
        return tuple(values_from_wire(Reason, part_of(answer, "reasons")))

    async def _command(
        self, method: str, path: str, body: Mapping[str, Any], *, repeatable: bool = True
    ) -> Job:
        answer = await self._connection.call(method, path, body, repeatable=repeatable)
        return from_wire(Job, answer)


def _path(job_id: str, command: str | None = None) -> str:
    return path_of("queue", "jobs", name=check_name("job_id", job_id), command=command)


def _own_path(job_id: str, command: str) -> str:
    return path_of("jobs", name=check_name("job_id", job_id), command=command)
