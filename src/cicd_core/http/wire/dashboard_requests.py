"""The bodies and query strings of the dashboard's routes: flat fields, as its callers send them."""

from __future__ import annotations

from msgspec import field

from cicd_core.http.wire.deployment_requests import DeploymentsQuery
from cicd_core.http.wire.requests import Asked, Instant, JobsQuery, Label, Limit, Name, PageQuery
from cicd_core.model.deployment import DeploymentMetrics, DeploymentSpec
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.public_json.flat_git import checked_fields, context_of


class TrackedJobBody(Asked):
    """A tracked run to record, which an external system executes."""

    job_type: Name
    git_repo: str
    git_ref: str
    git_commit_sha: str
    git_commit_message: str
    git_author: str
    #: Texts by name: the job's metadata.
    tags: dict[str, str] = field(default_factory=dict[str, str])
    pool_name: Name = "default"
    idempotency_key: Label | None = None

    def value(self) -> JobSpec:
        """Return it as a value of the library.

        Raises:
            InvalidInput: a git field is wrong; the error names it.
        """
        said = checked_fields(
            {
                "git_repo": self.git_repo,
                "git_ref": self.git_ref,
                "git_commit_sha": self.git_commit_sha,
                "git_commit_message": self.git_commit_message,
                "git_author": self.git_author,
            }
        )
        git = context_of(said)
        return JobSpec(
            job_type=self.job_type,
            pool_name=self.pool_name,
            git=git,
            metadata={**self.tags, **({} if git else said)},
            idempotency_key=self.idempotency_key,
        )


class TrackedJobsQuery(JobsQuery):
    """The filters of jobs."""

    limit: Limit = 100


class HundredQuery(PageQuery):
    """A page of up to a hundred."""

    limit: Limit = 100


class NewestQuery(Asked):
    """The number of newest entries."""

    limit: Limit = 100


class TrackedEndBody(Asked):
    """The end of a run, and its agent."""

    agent_id: Name
    exit_code: int
    duration_seconds: float
    logs_url: str | None = None
    logs_summary: str | None = None
    error_message: str | None = None

    def outcome(self) -> Outcome:
        """Return the outcome: exit code 0 is a success, any other one a failure."""
        return Outcome(
            verdict="success" if self.exit_code == 0 else "failed",
            exit_code=self.exit_code,
            error_message=self.error_message,
            logs_url=self.logs_url,
            logs_summary=self.logs_summary,
        )


class ReleaseOfServiceBody(Asked):
    """A version of a service to deploy."""

    service_name: Name
    service_version: Label
    git_commit_sha: str
    git_commit_message: str
    git_author: str
    build_job_id: Name | None = None
    test_job_id: Name | None = None
    environment: Name | None = None
    deployment_id: Name | None = None

    def value(self) -> DeploymentSpec:
        """Return it as a value of the library; without a repository there is no git context.

        Raises:
            InvalidInput: a git field is wrong; the error names it.
        """
        return DeploymentSpec(
            service_name=self.service_name,
            version=self.service_version,
            environment=self.environment,
            build_job_id=self.build_job_id,
            test_job_id=self.test_job_id,
            metadata=checked_fields(
                {
                    "git_commit_sha": self.git_commit_sha,
                    "git_commit_message": self.git_commit_message,
                    "git_author": self.git_author,
                }
            ),
        )


class ReleasesQuery(DeploymentsQuery):
    """The filters of deployments."""

    limit: Limit = 100


class StageEndBody(Asked):
    """The result of a stage, and its job."""

    job_id: Name | None = None
    succeeded: bool = True
    error_message: str | None = None


class VersionRollbackBody(Asked):
    """The rollback of a deployment."""

    reason: str
    rolled_back_to_version: Label | None = None


class FailureBody(Asked):
    """The failure of a deployment."""

    error_message: str


class FiguresBody(Asked):
    """The metrics of a deployment under traffic; omitted ones were not measured."""

    error_rate: float | None = None
    latency_ms: float | None = None
    requests_per_second: float | None = None
    recorded_at: Instant | None = None

    def value(self) -> DeploymentMetrics:
        """Return it as a value of the library."""
        return DeploymentMetrics(**self.fields())


class ZoneQuery(Asked):
    """The time zone of "today"."""

    tz: str = "UTC"
