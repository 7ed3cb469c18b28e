"""The six chains about the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.chains.queue_links import (
    ClaimJobLink,
    CompleteJobLink,
    EnqueueJobLink,
    GetQueueStatsLink,
    RequeueExpiredLeasesLink,
    RetryFailedJobLink,
    SerializeQueueJobLink,
    SerializeStatsLink,
    StartJobExecutionLink,
)
from cicd_core.chains.requests import (
    Claimed,
    EndOfAttempt,
    NoRequest,
    PoolWanted,
    QueuedJob,
    WantedWork,
)
from cicd_core.chains.service_chain import ServiceChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.chains.links import Plane
    from cicd_core.chains.running import Context, Link


_OF_A_CLAIM: Final = ("claim", "job", "job_response")


class EnqueueChain(ServiceChain[QueuedJob]):
    """Enqueue a job: its 13 fields."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Enqueue, serialize."""
        return (EnqueueJobLink(control_plane), SerializeQueueJobLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the job's fields."""
        return dict(ctx.get("job_response"))


class ClaimChain(ServiceChain[WantedWork]):
    """Claim a job: ``no_jobs_available``, ``claim``, ``job`` and ``job_response``."""

    needs = ("agent_id", "pool_name")

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Claim, serialize."""
        return (ClaimJobLink(control_plane), SerializeQueueJobLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the whole context: its claim starts and completes the job.

        Without a job, a reused answer no longer has its old claim.
        """
        old = _OF_A_CLAIM if ctx.get("no_jobs_available") else ()
        return {key: value for key, value in ctx.to_dict().items() if key not in old}


class StartChain(ServiceChain[Claimed]):
    """Start a claimed job: ``claim``, for its completion, and ``job_response``."""

    needs = ("claim",)

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Start, serialize."""
        return (StartJobExecutionLink(control_plane), SerializeQueueJobLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the started claim, and the job's fields, if the claim has them."""
        return {"claim": ctx.get("claim"), "job_response": ctx.get("job_response")}


class CompleteChain(ServiceChain[EndOfAttempt]):
    """End an attempt: the job's 13 fields, and ``retried``."""

    needs = ("claim", "exit_code")

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Complete, check for a retry, serialize."""
        return (
            CompleteJobLink(control_plane),
            RetryFailedJobLink(),
            SerializeQueueJobLink(),
        )

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the job's fields, and whether it is retried."""
        return {**ctx.get("job_response"), "retried": ctx.get("retried")}


class MaintenanceChain(ServiceChain[NoRequest]):
    """Requeue jobs of lost agents: ``requeued_count``."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Requeue."""
        return (RequeueExpiredLeasesLink(control_plane),)

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the number of requeued jobs."""
        return {"requeued_count": ctx.get("requeued_count")}


class StatsChain(ServiceChain[PoolWanted]):
    """Read the queue's statistics."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Read, serialize."""
        return (GetQueueStatsLink(control_plane), SerializeStatsLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the statistics."""
        return dict(ctx.get("stats_response"))
