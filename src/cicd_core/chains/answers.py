"""Answers of chains: dictionaries with the field names of the original system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.model.agent import AgentStatus
from cicd_core.model.job import QueueStatus
from cicd_core.public_json import to_json
from cicd_core.public_json.flat_git import flat_fields

if TYPE_CHECKING:
    from cicd_core.model.agent import Agent
    from cicd_core.model.deployment import Deployment
    from cicd_core.model.job import Job
    from cicd_core.queueing.stats import QueueStats

#: Number of digits of a commit in the queue's answers.
_DIGITS: Final = 12
_JOB: Final = (
    "job_id",
    "job_type",
    "status",
    "created_at",
    "git_repo",
    "git_ref",
    "git_commit_sha",
    "git_author",
    "agent_id",
    "exit_code",
    "duration_seconds",
    "logs_url",
    "error_message",
)
#: The depth behind each number of the queue's statistics.
_DEPTHS: Final = {
    "total_queued": QueueStatus.QUEUED,
    "total_claimed": QueueStatus.CLAIMED,
    "total_running": QueueStatus.RUNNING,
    "total_completed": QueueStatus.COMPLETED,
    "total_failed": QueueStatus.FAILED,
    "total_dead_lettered": QueueStatus.DEAD_LETTERED,
}


def job_response(job: Job) -> dict[str, Any]:
    """Return a job's 13 fields; instants are ISO texts in UTC."""
    facts = {**to_json(job), **flat_fields(job)}
    return {key: facts.get(key) for key in _JOB}


def queue_job_response(job: Job) -> dict[str, Any]:
    """Return a queued job's 13 fields; ``attempt`` counts from 1 and is 0 before the first."""
    facts, git = to_json(job), flat_fields(job)
    commit = git["git_commit_sha"]
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "pool_name": job.pool_name,
        "priority": facts["priority"],
        "status": job.queue_status.value if job.queue_status else facts["status"],
        "git_commit_sha": commit and commit[:_DIGITS],
        "git_author": git["git_author"],
        "queued_at": facts.get("queued_at"),
        "claimed_by_agent": job.agent_id,
        "attempt": job.attempt,
        "exit_code": job.exit_code,
        "duration_seconds": facts.get("duration_seconds"),
        "error_message": job.error_message,
    }


def deployment_response(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment's 14 fields; instants are ISO texts in UTC."""
    facts, git = to_json(deployment), flat_fields(deployment)
    return {
        "deployment_id": deployment.deployment_id,
        "service_name": deployment.service_name,
        "service_version": deployment.version,
        "status": facts["status"],
        "created_at": facts["created_at"],
        "git_commit_sha": git["git_commit_sha"],
        "git_author": git["git_author"],
        "deployed_to_staging": deployment.staged_at is not None,
        "deployed_to_production": deployment.live_at is not None,
        "rolled_back": deployment.rolled_back_at is not None,
        "staging_deployed_at": facts.get("staged_at"),
        "production_deployed_at": facts.get("live_at"),
        "rolled_back_to_version": deployment.rollback_target,
        "rollback_reason": deployment.rollback_reason,
    }


def agent_response(agent: Agent) -> dict[str, Any]:
    """Return an agent's fields; ``tags`` are its metadata; its secret is omitted."""
    facts = to_json(agent)
    return {
        "agent_id": agent.agent_id,
        "pool_name": agent.pool_name,
        "status": facts["status"],
        "version": agent.version,
        "registered_at": facts["registered_at"],
        "last_heartbeat": facts.get("heartbeat_at"),
        "max_concurrent_jobs": agent.slots,
        "current_job_count": agent.running or 0,
        "metrics": facts.get("metrics"),
        "tags": dict(agent.metadata),
    }


def stats_response(stats: QueueStats) -> dict[str, Any]:
    """Return the queue's statistics: seconds, and a rate from 0 to 1. None: not measured."""
    return {
        **{name: stats.depth[status] for name, status in _DEPTHS.items()},
        "avg_queue_wait_seconds": stats.average_wait_seconds,
        "avg_execution_seconds": stats.average_run_seconds,
        "failure_rate": stats.failure_rate,
        "p95_queue_wait": stats.p95_wait_seconds,
    }


#: The statuses of agents that take work, the best first.
WORKING: Final = (AgentStatus.HEALTHY, AgentStatus.DEGRADED)
