"""The bodies and query strings of ``/api/deployments``."""

from __future__ import annotations

from msgspec import field

from cicd_core.http.wire.requests import Asked, GitBody, Instant, Label, Name, PageQuery
from cicd_core.model.deployment import DeploymentSpec


class DeploymentBody(Asked):
    """A deployment to be made; the fields of ``DeploymentSpec``, and an id of the caller's own."""

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
        """Return it as the library has it."""
        given = self.fields()
        del given["deployment_id"]
        given["git"] = None if self.git is None else self.git.value()
        return DeploymentSpec(**given)


class DeploymentsQuery(PageQuery):
    """Which deployments."""

    service_name: Name | None = None
    status: str | None = None
    since: Instant | None = None
    until: Instant | None = None


class BeginStagingBody(Asked):
    """Staging that begins."""

    staging_job_id: Name | None = None


class EndStagingBody(Asked):
    """How staging ended."""

    succeeded: bool
    staging_job_id: Name | None = None
    error_message: str | None = None


class BeginProductionBody(Asked):
    """Production that begins."""

    production_job_id: Name | None = None


class EndProductionBody(Asked):
    """How production ended."""

    succeeded: bool
    error_message: str | None = None


class RollBackBody(Asked):
    """A deployment that is taken back; the target is the deployment, or the version, instead."""

    reason: str
    target: Label | None = None
