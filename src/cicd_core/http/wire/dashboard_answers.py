"""The answers of the dashboard's routes: flat fields, as its callers expect them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from msgspec import Meta, Struct

from cicd_core.model.deployment import DeploymentStatus
from cicd_core.model.job import JobStatus
from cicd_core.public_json import to_json
from cicd_core.public_json.flat_git import flat_fields

if TYPE_CHECKING:
    from cicd_core.control_plane.dashboard import DashboardSummary
    from cicd_core.model.agent import Agent
    from cicd_core.model.deployment import Deployment
    from cicd_core.model.job import Job
    from cicd_core.persistence.listing import Page

Answer = TypeVar("Answer", bound=Struct)

#: An instant, in UTC.
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

#: Number of digits of a commit in a list, and in the answers for a new job and running jobs.
LIST_DIGITS: Final = 12
SHORT_DIGITS: Final = 7


class RunningJob(Struct):
    """A job that has not ended."""

    job_id: str
    job_type: str
    status: str
    created_at: Moment
    git_commit_sha: str | None
    git_author: str | None


class JobRow(RunningJob):
    """A job in a list."""

    duration_seconds: float | None
    exit_code: int | None


class JobDetails(JobRow):
    """A job."""

    git_repo: str | None
    git_ref: str | None
    agent_id: str | None
    logs_url: str | None
    error_message: str | None


class JobRows(Struct):
    """A page of jobs; ``total`` is the number of jobs on it."""

    jobs: list[JobRow]
    total: int
    limit: int
    cursor: str | None
    unreadable: list[str]
    incomplete: bool


class StartedJob(Struct):
    """A job whose start was recorded."""

    job_id: str
    status: str
    started_at: Moment | None


class EndedJob(Struct):
    """A job whose end was recorded."""

    job_id: str
    status: str
    exit_code: int | None
    duration_seconds: float | None
    completed_at: Moment | None


class DeploymentOfService(Struct):
    """A deployment in the list of its service."""

    deployment_id: str
    service_version: str
    status: str
    created_at: Moment
    deployed_to_staging: bool
    deployed_to_production: bool
    rolled_back: bool


class DeploymentRow(DeploymentOfService):
    """A deployment in a list."""

    service_name: str
    git_commit_sha: str | None


class DeploymentDetails(DeploymentRow):
    """A deployment."""

    git_author: str | None
    staging_deployed_at: Moment | None
    production_deployed_at: Moment | None
    rolled_back_to_version: str | None
    rollback_reason: str | None


class DeploymentRows(Struct):
    """A page of deployments; ``total`` is the number of deployments on it."""

    deployments: list[DeploymentRow]
    total: int
    limit: int
    cursor: str | None
    unreadable: list[str]
    incomplete: bool


class ServiceDeployments(Struct):
    """A page of a service's deployments; ``total`` is the number of deployments on it."""

    service_name: str
    deployments: list[DeploymentOfService]
    total: int
    cursor: str | None
    unreadable: list[str]


class StagedDeployment(Struct):
    """A deployment whose staging has ended."""

    deployment_id: str
    status: str
    deployed_to_staging: bool
    staging_deployed_at: Moment | None
    error_message: str | None


class ReleasedDeployment(Struct):
    """A deployment whose production has ended."""

    deployment_id: str
    status: str
    deployed_to_production: bool
    production_deployed_at: Moment | None
    error_message: str | None


class RolledBackDeployment(Struct):
    """A deployment that was rolled back."""

    deployment_id: str
    status: str
    rolled_back: bool
    rolled_back_to_version: str | None
    rollback_reason: str | None


class FailedDeployment(Struct):
    """A deployment that failed."""

    deployment_id: str
    status: str
    failed_stage: str | None
    error_message: str | None


class MeasuredDeployment(Struct):
    """A deployment with its newest metrics."""

    deployment_id: str
    status: str
    metrics: dict[str, Any] | None


class AgentRow(Struct):
    """An agent in a list."""

    agent_id: str
    pool_name: str
    status: str
    registered_at: Moment
    last_heartbeat: Moment | None
    current_job_count: int | None
    max_concurrent_jobs: int


class Summary(Struct):
    """The numbers of the dashboard; ``jobs_running`` counts all jobs that have not ended."""

    as_of: Moment
    jobs_running: int
    jobs_failed_today: int
    deployments_today: int
    recent_jobs: list[JobRow]
    recent_deployments: list[DeploymentRow]
    total_jobs: int
    jobs_completed: int
    jobs_failed: int
    total_deployments: int
    deployments_active: int
    deployments_staging: int
    deployments_failed: int
    exact: bool


def of_job(kind: type[Answer], job: Job, digits: int | None = None) -> Answer:
    """Return the answer about a job.

    Args:
        kind: one of the classes above.
        job: the job.
        digits: number of digits of its commit; None: all.
    """
    facts: dict[str, Any] = {
        **to_json(job),
        **flat_fields(job),
        "git_commit_sha": _shortened(job, digits),
    }
    return _picked(kind, facts)


def of_deployment(kind: type[Answer], deployment: Deployment, digits: int | None = None) -> Answer:
    """Return the answer about a deployment, like :func:`of_job`."""
    said: dict[str, Any] = to_json(deployment)
    facts = {
        **said,
        **flat_fields(deployment),
        "git_commit_sha": _shortened(deployment, digits),
        "service_version": deployment.version,
        "deployed_to_staging": deployment.staged_at is not None,
        "deployed_to_production": deployment.live_at is not None,
        "rolled_back": deployment.rolled_back_at is not None,
        "staging_deployed_at": said["staged_at"],
        "production_deployed_at": said["live_at"],
        "rolled_back_to_version": deployment.rollback_target,
    }
    return _picked(kind, facts)


def of_agent(agent: Agent) -> AgentRow:
    """Return the row of an agent."""
    said: dict[str, Any] = to_json(agent)
    facts = {
        **said,
        "last_heartbeat": said["heartbeat_at"],
        "current_job_count": agent.running,
        "max_concurrent_jobs": agent.slots,
    }
    return _picked(AgentRow, facts)


def job_rows(page: Page[Job], limit: int) -> JobRows:
    """Return the rows of a page of jobs."""
    return JobRows(
        jobs=[of_job(JobRow, job, LIST_DIGITS) for job in page.items],
        total=len(page.items),
        limit=limit,
        cursor=page.cursor,
        unreadable=list(page.unreadable),
        incomplete=page.incomplete,
    )


def deployment_rows(page: Page[Deployment], limit: int) -> DeploymentRows:
    """Return the rows of a page of deployments."""
    return DeploymentRows(
        deployments=[of_deployment(DeploymentRow, each, LIST_DIGITS) for each in page.items],
        total=len(page.items),
        limit=limit,
        cursor=page.cursor,
        unreadable=list(page.unreadable),
        incomplete=page.incomplete,
    )


def service_rows(page: Page[Deployment], service_name: str) -> ServiceDeployments:
    """Return the rows of a page of a service's deployments."""
    return ServiceDeployments(
        service_name=service_name,
        deployments=[of_deployment(DeploymentOfService, each) for each in page.items],
        total=len(page.items),
        cursor=page.cursor,
        unreadable=list(page.unreadable),
    )


_NOT_ENDED: Final = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)
_FAILED: Final = (JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR)
_ACTIVE: Final = (DeploymentStatus.PRODUCTION, DeploymentStatus.LIVE)
_IN_STAGING: Final = (DeploymentStatus.STAGING, DeploymentStatus.STAGED)


def of_summary(summary: DashboardSummary) -> Summary:
    """Return the numbers of the summary, with the names that the dashboard's callers expect."""
    jobs, deployments = summary.jobs_by_status, summary.deployments_by_status
    return Summary(
        as_of=to_json(summary.as_of),
        jobs_running=sum(jobs[status] for status in _NOT_ENDED),
        jobs_failed_today=summary.failed_today,
        deployments_today=summary.deployments_today,
        recent_jobs=[of_job(JobRow, job, LIST_DIGITS) for job in summary.recent_jobs],
        recent_deployments=[
            of_deployment(DeploymentRow, each, LIST_DIGITS) for each in summary.recent_deployments
        ],
        total_jobs=sum(jobs.values()),
        jobs_completed=jobs[JobStatus.SUCCESS],
        jobs_failed=sum(jobs[status] for status in _FAILED),
        total_deployments=sum(deployments.values()),
        deployments_active=sum(deployments[status] for status in _ACTIVE),
        deployments_staging=sum(deployments[status] for status in _IN_STAGING),
        deployments_failed=deployments[DeploymentStatus.FAILED],
        exact=summary.exact,
    )


def _shortened(entity: Job | Deployment, digits: int | None) -> str | None:
    commit = flat_fields(entity)["git_commit_sha"]
    return None if commit is None else commit[:digits]


def _picked(kind: type[Answer], facts: dict[str, Any]) -> Answer:
    """Return an answer with those facts that its class has."""
    return kind(**{name: facts[name] for name in kind.__struct_fields__})
