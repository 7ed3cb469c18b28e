"""The nine links about the queue. ``claim`` has a claim's lease token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.chains.answers import queue_job_response, stats_response
from cicd_core.chains.job_links import GIT_FIELDS, git_of, outcome_of
from cicd_core.chains.links import (
    VALIDATION_ERROR,
    PlaneLink,
    ServiceLink,
    actor_of,
    chosen,
    first_empty,
    found_in,
    texts_by_name,
)
from cicd_core.model.claim import ClaimedJob
from cicd_core.model.job import Job, JobState, RetryPolicy, Verdict
from cicd_core.model.spec import JobSpec
from cicd_core.queueing.stats import QueueStats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.chains.running import Context

_REQUIRED: Final = ("job_type", "pool_name")
#: In the original system every failure is retried.
_RETRIED: Final = (Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR)


class EnqueueJobLink(PlaneLink):
    """Enqueue a job, into ``job``. ``job_id`` is its idempotency key."""

    once = "job"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Enqueue it, if valid; its failures are retried."""
        refused = first_empty(ctx, _REQUIRED)
        if refused is not None:
            return {VALIDATION_ERROR: refused}
        has_git = any(ctx.get(key) for key in GIT_FIELDS)
        git, kept = git_of(ctx) if has_git else (None, {})
        spec = JobSpec(
            job_type=ctx.get("job_type"),
            pool_name=ctx.get("pool_name"),
            git=git,
            metadata={**texts_by_name(ctx, "tags"), **kept},
            idempotency_key=ctx.get("job_id"),
            retry=RetryPolicy(retry_on=_RETRIED, **chosen(ctx, "max_attempts")),
            **chosen(ctx, "priority", "timeout_seconds", "payload", "labels"),
        )
        return {"job": await self.plane.queue.enqueue(spec, actor=actor_of(ctx))}


class ClaimJobLink(PlaneLink):
    """Claim a job for ``agent_id`` from ``pool_name``: ``claim``, ``job``, ``no_jobs_available``.

    Keep ``claim``: it is needed to start and complete the job.
    """

    needs = ("agent_id", "pool_name")
    once = "no_jobs_available"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Claim at most one job; ``request_id`` makes it safe to repeat in another context."""
        claimed = await self.plane.queue.claim(
            agent_id=ctx.get("agent_id"),
            pool_name=ctx.get("pool_name"),
            lease_seconds=ctx.get("lease_duration_seconds"),
            request_id=ctx.get("request_id"),
            **chosen(ctx, "labels", "job_types"),
        )
        if not claimed:
            return {"no_jobs_available": True}
        return {"claim": claimed[0], "job": claimed[0].job, "no_jobs_available": False}


class StartJobExecutionLink(PlaneLink):
    """Start the job of ``claim``; the context's claim then is the started one."""

    needs = ("claim",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Start it, unless the claim is of a started job."""
        claim = ctx.get("claim")
        if isinstance(claim, ClaimedJob) and claim.job.state is not JobState.CLAIMED:
            return {"job": claim.job}
        started = await self.plane.queue.start(claim)
        return {"claim": started, "job": started.job}


class CompleteJobLink(PlaneLink):
    """End the attempt of ``claim`` by its ``exit_code``; a failure may lead to another attempt."""

    needs = ("claim", "exit_code")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Complete it; a repetition changes nothing."""
        job = await self.plane.queue.complete(ctx.get("claim"), outcome_of(ctx))
        return {"job": job, "completed": True}


class RetryFailedJobLink(ServiceLink):
    """Check whether a completed ``job`` is retried: ``retried``, ``cannot_retry``.

    The queue decides that in the commit of the completion; this link writes nothing.
    """

    needs = ("job", "completed")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Check the job."""
        state = found_in(ctx, "job", Job).state
        return {
            "retried": state is JobState.QUEUED,
            "cannot_retry": state not in {JobState.QUEUED, JobState.SUCCESS},
        }


class RequeueExpiredLeasesLink(PlaneLink):
    """Requeue jobs of lost agents now: ``requeued_count``."""

    once = "requeued_count"

    async def work(self, ctx: Context) -> Mapping[str, Any]:  # noqa: ARG002 - it has no input
        """Process due records."""
        return {"requeued_count": (await self.plane.maintenance.requeue_expired()).requeued}


class GetQueueStatsLink(PlaneLink):
    """Read the queue's statistics, of ``pool_name`` if given, into ``stats``."""

    once = "stats"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read them."""
        return {"stats": await self.plane.queue.stats(**chosen(ctx, "pool_name"))}


class SerializeQueueJobLink(ServiceLink):
    """Put the 13 queue fields of ``job`` into ``job_response``."""

    needs = ("job",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert it to a dictionary."""
        return {"job_response": queue_job_response(found_in(ctx, "job", Job))}


class SerializeStatsLink(ServiceLink):
    """Put ``stats`` into ``stats_response``, with the original system's names."""

    needs = ("stats",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert them to a dictionary."""
        return {"stats_response": stats_response(found_in(ctx, "stats", QueueStats))}
