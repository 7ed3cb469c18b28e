"""The bodies and query strings of ``/api/deployments``."""

from __future__ import annotations

from msgspec import field

from cicd_core.http.wire.requests import Asked, GitBody, Instant, Label, Name, PageQuery
from cicd_core.model.deployment import DeploymentSpec


class DeploymentBody(Asked):
    """A deployment to create; the fields of ``DeploymentSpec``, and optionally your own id."""

    service_name: Name
    version: Label
    environment: Name | None = None
    git: GitBody | None = None
    build_job_id: Name | None = None
    test_job_id: Name | None = None
    deploy_job_id: Name | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    deployment_id: Name | None = None

    def value(self) -> DeploymentSpec:
        """Return it as a value of the library."""
        given = self.fields()
        del given["deployment_id"]
        given["git"] = None if self.git is None else self.git.value()
        return DeploymentSpec(**given)


class DeploymentsQuery(PageQuery):
    """The filters of deployments."""

    service_name: Name | None = None
    status: str | None = None
    since: Instant | None = None
    until: Instant | None = None


class BeginStagingBody(Asked):
    """The start of staging."""

    staging_job_id: Name | None = None


class EndStagingBody(Asked):
    """The result of staging."""

    succeeded: bool
    staging_job_id: Name | None = None
    error_message: str | None = None


class BeginProductionBody(Asked):
    """The start of production."""

    production_job_id: Name | None = None


class EndProductionBody(Asked):
    """The result of production."""

    succeeded: bool
    error_message: str | None = None


class RollBackBody(Asked):
    """The rollback of a deployment; the target is the deployment or version that replaces it."""

    reason: str
    target: Label | None = None
