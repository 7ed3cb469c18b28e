"""A deployment: one version of one service on its way through staging to production."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import (
    check_kind,
    check_label,
    check_metadata,
    check_name,
    check_number,
    check_optional_name,
    check_together,
)
from cicd_core.model.git import GitContext, check_git, git_texts
from cicd_core.model.instants import require_aware
from cicd_core.values import evolve, frozen

#: The maximum of each metric.
_MOST = {"error_rate": 1.0, "latency_ms": 1e9, "requests_per_second": 1e12}


class DeploymentStatus(StrEnum):
    """The status of a deployment."""

    PENDING = "pending"
    STAGING = "staging"
    STAGED = "staged"
    PRODUCTION = "production"
    LIVE = "live"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


@frozen(kw_only=True)
class DeploymentTransition:
    """One step of a deployment's history."""

    #: None for its creation.
    source: DeploymentStatus | None = None
    target: DeploymentStatus
    at: datetime
    #: The caller, or the job that reported.
    actor: str
    reason: str


@frozen(kw_only=True)
class DeploymentMetrics:
    """Metrics of a deployment under traffic; None if not measured."""

    #: The share of requests that fail, 0 to 1.
    error_rate: float | None = None
    #: Milliseconds, up to 1e9; the reporter chooses the percentile.
    latency_ms: float | None = None
    #: Up to 1e12.
    requests_per_second: float | None = None
    #: The time of measurement; None, and a time in the future, mean now.
    recorded_at: datetime | None = None


@frozen(kw_only=True)
class Deployment:
    """A deployment. Instants are aware UTC datetimes of the store's clock."""

    deployment_id: str
    service_name: str
    version: str
    status: DeploymentStatus
    created_at: datetime
    created_by: str

    #: Such as ``eu-west`` or ``customers``; staging and production are stages, not environments.
    environment: str | None = None
    git: GitContext | None = None
    metadata: Mapping[str, str] = field(factory=dict[str, str])

    build_job_id: str | None = None
    test_job_id: str | None = None
    deploy_job_id: str | None = None
    staging_job_id: str | None = None
    production_job_id: str | None = None

    staging_started_at: datetime | None = None
    staged_at: datetime | None = None
    production_started_at: datetime | None = None
    live_at: datetime | None = None
    failed_at: datetime | None = None
    rolled_back_at: datetime | None = None

    #: The status in which it failed.
    failed_stage: DeploymentStatus | None = None
    error_message: str | None = None
    #: The id or version of the deployment that replaces it.
    rollback_target: str | None = None
    rollback_reason: str | None = None
    #: The newest metrics.
    metrics: DeploymentMetrics | None = None
    #: The newest 100 transitions.
    history: tuple[DeploymentTransition, ...] = ()

    @property
    def entered_production(self) -> bool:
        """Whether its production stage has started: only then can it be rolled back."""
        return self.production_started_at is not None

    @property
    def is_final(self) -> bool:
        """Whether its status is final."""
        if self.status is DeploymentStatus.FAILED:
            return not self.entered_production
        return self.status is DeploymentStatus.ROLLED_BACK


@frozen(kw_only=True)
class DeploymentSpec:
    """A deployment to create."""

    #: The service: 1 to 128 characters of ``A-Z a-z 0-9 . _ : / -``, as all names.
    service_name: str
    #: 1 to 256 characters, in any scheme.
    version: str
    #: The environment, such as ``eu-west`` or ``customers``: a name, or None. Staging and
    #: production are stages of every deployment, not environments.
    environment: str | None = None
    #: The sources of the version, for people and for the jobs that build it; None: not given.
    git: GitContext | None = None
    #: The ids of the jobs that built, tested and deploy it, for people: no job is started or
    #: checked. None: not given.
    build_job_id: str | None = None
    test_job_id: str | None = None
    deploy_job_id: str | None = None
    #: Texts by name, for people and your own programs. With the git context at most
    #: 256 KiB of JSON.
    metadata: Mapping[str, str] = field(factory=dict[str, str])


def checked(spec: DeploymentSpec) -> DeploymentSpec:
    """Return the spec with its metadata sorted.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: a field is over its limit, or metadata and git context are over 256 KiB of JSON
            together.
    """
    check_kind("spec", spec, DeploymentSpec)
    git, metadata = check_git(spec.git), check_metadata(spec.metadata)
    check_together("metadata", metadata, git_texts(git))
    return DeploymentSpec(
        service_name=check_name("service_name", spec.service_name),
        version=check_label("version", spec.version),
        environment=check_optional_name("environment", spec.environment),
        git=git,
        build_job_id=check_optional_name("build_job_id", spec.build_job_id),
        test_job_id=check_optional_name("test_job_id", spec.test_job_id),
        deploy_job_id=check_optional_name("deploy_job_id", spec.deploy_job_id),
        metadata=metadata,
    )


def checked_metrics(metrics: DeploymentMetrics) -> DeploymentMetrics:
    """Return the metrics, with their time in UTC.

    Raises:
        InvalidInput: no metric is given, or one is out of its range; the error names it.
    """
    check_kind("metrics", metrics, DeploymentMetrics)
    if all(getattr(metrics, name) is None for name in _MOST):
        raise InvalidInput("metrics", ..., f"give at least one of {', '.join(_MOST)}")
    for name, most in _MOST.items():
        value = getattr(metrics, name)
        if value is not None:
            check_number(f"metrics.{name}", value, least=0, most=most)
    return evolve(metrics, recorded_at=require_aware("metrics.recorded_at", metrics.recorded_at))
