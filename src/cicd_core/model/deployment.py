"""A deployment: one version of one service on its way through staging to production."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from attrs import evolve, field, frozen

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

#: The most that each figure may be.
_MOST = {"error_rate": 1.0, "latency_ms": 1e9, "requests_per_second": 1e12}


class DeploymentStatus(StrEnum):
    """Where a deployment stands."""

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
    source: DeploymentStatus | None
    target: DeploymentStatus
    at: datetime
    #: Who asked, or which job reported.
    by: str
    why: str


@frozen(kw_only=True)
class DeploymentMetrics:
    """How a deployment behaves under traffic; what was not measured is None."""

    #: The share of requests that fail, 0 to 1.
    error_rate: float | None = None
    #: Milliseconds, up to 1e9; which percentile is the reporter's business.
    latency_ms: float | None = None
    #: Up to 1e12.
    requests_per_second: float | None = None
    #: When it was measured; None in a report, and a moment still to come, mean now.
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

    #: Such as ``eu-west`` or ``customers``; staging and production are stages, no environments.
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
    #: The deployment's id, or the version, that took its place.
    rollback_target: str | None = None
    rollback_reason: str | None = None
    #: The newest figures.
    metrics: DeploymentMetrics | None = None
    #: The newest 100 transitions.
    history: tuple[DeploymentTransition, ...] = ()

    @property
    def entered_production(self) -> bool:
        """Whether its production stage was ever begun: only then can it be rolled back."""
        return self.production_started_at is not None

    @property
    def is_final(self) -> bool:
        """Whether no command changes its status any more."""
        if self.status is DeploymentStatus.FAILED:
            return not self.entered_production
        return self.status is DeploymentStatus.ROLLED_BACK


@frozen(kw_only=True)
class DeploymentSpec:
    """A deployment to be made. The fields mean what they mean on :class:`Deployment`."""

    service_name: str
    #: 1 to 256 characters, in any scheme.
    version: str
    environment: str | None = None
    git: GitContext | None = None
    build_job_id: str | None = None
    test_job_id: str | None = None
    deploy_job_id: str | None = None
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
    """Return the figures, their instant in UTC.

    Raises:
        InvalidInput: none is given, or one is out of its range; the error names it.
    """
    check_kind("metrics", metrics, DeploymentMetrics)
    if all(getattr(metrics, name) is None for name in _MOST):
        raise InvalidInput("metrics", metrics, f"give at least one of {', '.join(_MOST)}")
    for name, most in _MOST.items():
        value = getattr(metrics, name)
        if value is not None:
            check_number(f"metrics.{name}", value, least=0, most=most)
    return evolve(metrics, recorded_at=require_aware("metrics.recorded_at", metrics.recorded_at))
