"""Jobs, for callers: ``/api/jobs``."""

from __future__ import annotations

from typing import Final

from cicd_core.errors import WaitTimedOut
from cicd_core.http.server.idempotency import key_of
from cicd_core.http.server.replies import created, ok
from cicd_core.http.server.routing import Call, Reply, RouteTable
from cicd_core.http.wire import job_requests as asked
from cicd_core.http.wire.requests import JobBody, Nothing
from cicd_core.model.checks import check_name, check_seconds
from cicd_core.model.claim import MAX_WAIT_SECONDS
from cicd_core.model.job import Job
from cicd_core.model.principal import Scope
from cicd_core.public_json import to_json
from cicd_core.values import evolve

TABLE: Final = RouteTable("/api/jobs")


@TABLE.add("POST", "", JobBody, Scope.JOBS_WRITE, status=201, gives=Job, takes_key=True)
async def create(call: Call, body: JobBody) -> Reply:
    """Create a pending job, to be submitted later, or recorded as a run."""
    spec = evolve(body.value(), idempotency_key=key_of(call, body.idempotency_key))
    job = await call.plane.jobs.create(spec, actor=call.actor)
    return created(call, "/api/queue/jobs", job.job_id, to_json(job))


@TABLE.add("POST", "/{job_id}/submit", Nothing, Scope.JOBS_WRITE, gives=Job)
async def submit(call: Call, _: Nothing) -> Reply:
    """PENDING -> QUEUED."""
    return ok(await call.plane.jobs.submit(call.name("job_id"), actor=call.actor))


@TABLE.add("POST", "/{job_id}/record-start", asked.RecordStartBody, Scope.JOBS_WRITE, gives=Job)
async def record_start(call: Call, body: asked.RecordStartBody) -> Reply:
    """Record that an external system started a pending job."""
    job_id, actor = call.name("job_id"), call.actor
    return ok(await call.plane.jobs.record_start(job_id, **body.fields(), actor=actor))


@TABLE.add("POST", "/{job_id}/record-end", asked.RecordEndBody, Scope.JOBS_WRITE, gives=Job)
async def record_execution(call: Call, body: asked.RecordEndBody) -> Reply:
    """Record the end of a run in an external system."""
    job_id, outcome = call.name("job_id"), body.outcome.value()
    return ok(
        await call.plane.jobs.record_execution(job_id, outcome, **body.times(), actor=call.actor)
    )


@TABLE.add("GET", "/{job_id}/wait", asked.WaitQuery, Scope.JOBS_READ, gives=Job, may_be_empty=True)
async def wait(call: Call, query: asked.WaitQuery) -> Reply:
    """Return a job when it has ended, or after some seconds. 204: the server is stopping."""
    job_id = check_name("job_id", call.name("job_id"))
    wanted = check_seconds("seconds", query.seconds, most=MAX_WAIT_SECONDS)
    seconds = min(wanted, call.limits.max_wait_seconds)

    async def rest() -> Job:
        try:
            return await call.plane.jobs.wait(job_id, timeout=seconds)
        except WaitTimedOut:
            return await call.plane.jobs.get(job_id)

    job = await call.waiting.attend(call.request, call.principal.name, rest)
    await call.recheck(Scope.JOBS_READ)
    return Reply() if job is None else ok(job)
