"""The queue: ``/api/queue``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.control_plane.ready_jobs import ReadyJobs
from cicd_core.errors import CicdError, TooLarge
from cicd_core.http.server.idempotency import key_of
from cicd_core.http.server.long_claims import claim_and_wait
from cicd_core.http.server.replies import created, ok, page
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import requests as asked
from cicd_core.http.wire.claim_requests import ClaimBody, ExchangeBody, Result
from cicd_core.http.wire.job_requests import Replayed, Replays
from cicd_core.http.wire.problems import problem_of
from cicd_core.http.wire.values import claim_to_wire, held_to_wire
from cicd_core.model.checks import check_name
from cicd_core.model.claim import MAX_ENDS, ClaimedJob, ClaimRef, LeaseStatus
from cicd_core.model.job import Job
from cicd_core.model.principal import Scope
from cicd_core.persistence.listing import Page
from cicd_core.public_json import to_json
from cicd_core.queueing.stats import QueueStats
from cicd_core.queueing.why import Reason
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE: Final = RouteTable("/api/queue")
_JOBS: Final = "/api/queue/jobs"
#: Only the answer to a claim has the token of its lease.
_CLAIMED: Final = [Object({"token": asked.TokenBody}, of=ClaimedJob)]
_CLAIMS: Final = Object({"claims": _CLAIMED})


@TABLE.add("POST", "/jobs", asked.JobBody, Scope.JOBS_WRITE, status=201, gives=Job, takes_key=True)
async def enqueue(call: Call, body: asked.JobBody) -> Reply:
    """Create a job and put it into the queue."""
    spec = evolve(body.value(), idempotency_key=key_of(call, body.idempotency_key))
    job = await call.plane.queue.enqueue(spec, actor=call.actor)
    return created(call, _JOBS, job.job_id, to_json(job))


@TABLE.add(
    "POST",
    "/jobs/batch",
    asked.JobsBody,
    Scope.JOBS_WRITE,
    status=201,
    gives=Object({"jobs": list[Job]}),
)
async def enqueue_many(call: Call, body: asked.JobsBody) -> Reply:
    """Create up to 1,000 jobs and put them into the queue; each is created fully or not at all."""
    _check_number("jobs", body.jobs, asked.MAX_JOBS)
    specs = [each.value() for each in body.jobs]
    jobs = await call.plane.queue.enqueue_many(specs, actor=call.actor)
    return Reply(value={"jobs": to_json(jobs)}, status=201)


@TABLE.add("GET", "/jobs", asked.JobsQuery, Scope.JOBS_READ, gives=Page[Job])
async def list_jobs(call: Call, query: asked.JobsQuery) -> Reply:
    """Return a page of jobs, the newest first."""
    return page(call, await call.plane.jobs.list(**query.fields()))


@TABLE.add("GET", "/jobs/{job_id}", asked.Nothing, Scope.JOBS_READ, gives=Job)
async def get_job(call: Call, _: asked.Nothing) -> Reply:
    """Return a job."""
    return ok(await call.plane.jobs.get(call.name("job_id")))


@TABLE.add(
    "GET",
    "/jobs/{job_id}/why",
    asked.Nothing,
    Scope.JOBS_READ,
    gives=Object({"reasons": list[Reason]}),
)
async def why(call: Call, _: asked.Nothing) -> Reply:
    """Return why a job is not being picked up, the most important reason first."""
    reasons = await call.plane.jobs.why(call.name("job_id"))
    return Reply(value={"reasons": to_json(reasons)})


@TABLE.add("PATCH", "/jobs/{job_id}/cancel", asked.CancelBody, Scope.JOBS_WRITE, gives=Job)
async def cancel(call: Call, body: asked.CancelBody) -> Reply:
    """Cancel a job: end it if no agent runs it, else ask its agent to stop."""
    job_id, actor = call.name("job_id"), call.actor
    return ok(await call.plane.jobs.cancel(job_id, actor=actor, reason=body.reason))


@TABLE.add("PATCH", "/jobs/{job_id}/priority", asked.PriorityBody, Scope.JOBS_WRITE, gives=Job)
async def reprioritise(call: Call, body: asked.PriorityBody) -> Reply:
    """Change a job's priority; it keeps its place within the priority."""
    job_id, actor = call.name("job_id"), call.actor
    return ok(await call.plane.jobs.reprioritise(job_id, body.value(), actor=actor))


@TABLE.add("POST", "/claim", ClaimBody, Scope.QUEUE_CLAIM, gives=_CLAIMS, may_be_empty=True)
async def claim(call: Call, body: ClaimBody) -> Reply:
    """Claim up to ``limit`` jobs; wait up to ``wait`` seconds for the first. 204: there is none."""
    call.own_agent(body.agent_id, body.pool_name)
    wait = min(body.wait, call.limits.max_wait_seconds)
    work = partial(call.plane.queue.claim, **{**body.fields(), "wait": wait})
    if wait <= 0:
        return _claims(await work())
    return _claims(await claim_and_wait(call, body, work))


@TABLE.add(
    "POST",
    "/exchange",
    ExchangeBody,
    Scope.QUEUE_CLAIM,
    gives=Object({"ends": list[Result], "claim": Result, "claims": _CLAIMED}),
)
async def exchange(call: Call, body: ExchangeBody) -> Reply:
    """End up to 256 attempts and claim jobs, without a wait; neither depends on the other."""
    _check_number("ends", body.ends, MAX_ENDS, "ends")
    if body.claim is not None:
        call.own_agent(body.claim.agent_id, body.claim.pool_name)
    ends = body.pairs(call.principal.agent_id)
    done = await call.plane.queue.exchange(ends, body.request())
    return Reply(
        value={
            "ends": [_result(error) for error in done.errors],
            "claim": _result(done.claim_error),
            "claims": [claim_to_wire(each) for each in done.claims],
        }
    )


def _result(error: CicdError | None) -> Result:
    return Result(None if error is None else problem_of(error))


@TABLE.add("POST", "/held", asked.HeldBody, Scope.QUEUE_CLAIM, gives=_CLAIMS, may_be_empty=True)
async def held(call: Call, body: asked.HeldBody) -> Reply:
    """Return the jobs that a claim with this request id took and still holds. 204: none."""
    call.own_agent(body.agent_id)
    claims, pools = await call.plane.queue.held(**body.fields()), call.principal.pools
    return _claims([each for each in claims if pools is None or each.job.pool_name in pools])


def _check_number(field: str, given: Sequence[object], most: int, unit: str = "jobs") -> None:
    """Check the length of a list.

    Raises:
        TooLarge: it is longer than one request may have.
    """
    if len(given) > most:
        raise TooLarge(field, len(given), most, unit)


def _claims(claims: Sequence[ClaimedJob] | None) -> Reply:
    if not claims:
        return Reply()
    return Reply(value={"claims": [claim_to_wire(each) for each in claims]})


def _reference(call: Call, body: asked.HolderBody) -> ClaimRef:
    """Return the claim reference in the path and the body, for the calling agent."""
    return body.reference(call.name("job_id"), call.principal.agent_id)


@TABLE.add("PATCH", "/jobs/{job_id}/start", asked.HolderBody, Scope.QUEUE_CLAIM, gives=ClaimedJob)
async def start(call: Call, body: asked.HolderBody) -> Reply:
    """CLAIMED -> RUNNING."""
    started = await call.plane.queue.start(_reference(call, body))
    return Reply(value=held_to_wire(started))


@TABLE.add(
    "POST",
    "/renew",
    asked.RenewBody,
    Scope.QUEUE_CLAIM,
    gives=Object({"leases": list[LeaseStatus]}),
)
async def renew(call: Call, body: asked.RenewBody) -> Reply:
    """Renew up to 1,024 leases; the answers come in the order given."""
    _check_number("claims", body.claims, asked.MAX_RENEWALS, "leases")
    claims = [each.reference(each.job_id, call.principal.agent_id) for each in body.claims]
    return Reply(value={"leases": to_json(await call.plane.queue.renew(claims))})


@TABLE.add(
    "PATCH", "/jobs/{job_id}/progress", asked.ProgressBody, Scope.QUEUE_CLAIM, gives=ClaimedJob
)
async def progress(call: Call, body: asked.ProgressBody) -> Reply:
    """Store the progress of the job (0 to 100), and add it to the event log."""
    noted = await call.plane.queue.progress(
        _reference(call, body), percent=body.percent, message=body.message
    )
    return Reply(value=held_to_wire(noted))


@TABLE.add("PATCH", "/jobs/{job_id}/complete", asked.CompleteBody, Scope.QUEUE_CLAIM, gives=Job)
async def complete(call: Call, body: asked.CompleteBody) -> Reply:
    """End the attempt; repeating the same outcome is a no-op."""
    reference = _reference(call, body)
    return ok(await call.plane.queue.complete(reference, body.outcome.value()))


@TABLE.add("PATCH", "/jobs/{job_id}/release", asked.ReleaseBody, Scope.QUEUE_CLAIM, gives=Job)
async def release(call: Call, body: asked.ReleaseBody) -> Reply:
    """Release the job unfinished."""
    reference = _reference(call, body)
    return ok(await call.plane.queue.release(reference, reason=body.reason, began=body.began))


@TABLE.add("GET", "/stats", asked.StatsQuery, Scope.JOBS_READ, gives=QueueStats)
async def stats(call: Call, query: asked.StatsQuery) -> Reply:
    """Return depths, waits, executions, the failure rate and the oldest age."""
    return ok(await call.plane.queue.stats(query.pool_name, since=query.since))


@TABLE.add("GET", "/ready", asked.ReadyQuery, Scope.JOBS_READ, gives=ReadyJobs)
async def ready(call: Call, query: asked.ReadyQuery) -> Reply:
    """Return the jobs of a pool that are claimed next: by priority, then by age."""
    return ok(await call.plane.queue.ready(query.pool_name, limit=query.limit))


@TABLE.add("GET", "/dead-letters", asked.PageQuery, Scope.JOBS_READ, gives=Page[Job])
async def dead_letters(call: Call, query: asked.PageQuery) -> Reply:
    """Return a page of the dead letters, the newest first."""
    return page(call, await call.plane.jobs.dead_letters(**query.fields()))


@TABLE.add("POST", "/dead-letters/{job_id}/replay", asked.ReplayBody, Scope.JOBS_WRITE, gives=Job)
async def replay(call: Call, body: asked.ReplayBody) -> Reply:
    """Queue a dead letter again."""
    job_id, actor = call.name("job_id"), call.actor
    return ok(await call.plane.jobs.replay(job_id, actor=actor, attempts=body.attempts))


@TABLE.add("POST", "/dead-letters/replay", asked.ReplaysBody, Scope.JOBS_WRITE, gives=Replays)
async def replay_many(call: Call, body: asked.ReplaysBody) -> Reply:
    """Queue up to 100 dead letters again; a refused one does not block the others."""
    _check_number("job_ids", body.job_ids, asked.MAX_REPLAYS)
    for at, job_id in enumerate(body.job_ids):
        check_name(f"job_ids[{at}]", job_id)
    results: list[Replayed] = []
    for job_id in dict.fromkeys(body.job_ids):
        try:
            job = await call.plane.jobs.replay(job_id, actor=call.actor, attempts=body.attempts)
            results.append(Replayed(job_id=job_id, job=to_json(job)))
        except CicdError as refused:
            results.append(Replayed(job_id=job_id, problem=problem_of(refused)))
    return Reply(value=Replays(results=results))


@TABLE.add(
    "POST", "/maintenance/requeue-expired", asked.Nothing, Scope.AGENTS_ADMIN, gives=SweepReport
)
async def requeue_expired(call: Call, _: asked.Nothing) -> Reply:
    """Requeue jobs with expired leases."""
    return ok(await call.plane.maintenance.requeue_expired())
