"""The nine links about deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.chains.answers import deployment_response
from cicd_core.chains.job_links import git_of
from cicd_core.chains.links import (
    VALIDATION_ERROR,
    PlaneLink,
    ServiceLink,
    actor_of,
    chosen,
    first_empty,
    found_in,
    limit_of,
)
from cicd_core.errors import IllegalTransition
from cicd_core.model.deployment import Deployment, DeploymentSpec, DeploymentStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.chains.running import Context

_REQUIRED: Final = ("service_name", "service_version", "git_commit_sha", "git_author")
#: Default number of deployments in a list.
_LIMIT: Final = 50


class ValidateDeploymentCreationLink(ServiceLink):
    """Check a new deployment: a text in ``validation_error``, or None."""

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Check ``service_name``, ``service_version``, ``git_commit_sha`` and ``git_author``."""
        return {VALIDATION_ERROR: first_empty(ctx, _REQUIRED)}


class CreateDeploymentLink(PlaneLink):
    """Create a pending deployment from the flat fields, in ``deployment``."""

    once = "deployment"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Create it, if valid; ``deployment_id`` is its id, if given."""
        refused = first_empty(ctx, _REQUIRED)
        if refused is not None:
            return {VALIDATION_ERROR: refused}
        git, kept = git_of(ctx)
        spec = DeploymentSpec(
            service_name=ctx.get("service_name"),
            version=ctx.get("service_version"),
            git=git,
            metadata=kept,
            **chosen(ctx, "environment", "build_job_id", "test_job_id"),
        )
        made = await self.plane.deployments.create(
            spec, actor=actor_of(ctx), **chosen(ctx, "deployment_id")
        )
        return {"deployment": made}


class RetrieveDeploymentLink(PlaneLink):
    """Read the deployment that ``deployment_id`` names, into ``deployment``."""

    needs = ("deployment_id",)
    once = "deployment"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read it."""
        return {"deployment": await self.plane.deployments.get(ctx.get("deployment_id"))}


class ListDeploymentsLink(PlaneLink):
    """Read the newest deployments, up to ``limit``, into ``deployments``."""

    once = "deployments"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read one page."""
        page = await self.plane.deployments.list(limit=limit_of(ctx, _LIMIT))
        return {"deployments": list(page.items)}


class ListDeploymentsByServiceLink(PlaneLink):
    """Read the newest deployments of ``service_name``, into ``service_deployments``."""

    needs = ("service_name",)
    once = "service_deployments"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read one page."""
        page = await self.plane.deployments.list(
            service_name=ctx.get("service_name"), limit=limit_of(ctx, _LIMIT)
        )
        return {"service_deployments": list(page.items)}


class RecordStagingDeploymentLink(PlaneLink):
    """Record the end of staging; ``succeeded`` is true by default."""

    needs = ("deployment_id",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Record it; a pending deployment passes through staging."""
        staged = await self.plane.deployments.record_staging(
            ctx.get("deployment_id"),
            succeeded=_succeeded(ctx),
            staging_job_id=ctx.get("job_id"),
            error_message=ctx.get("error_message"),
            actor=actor_of(ctx),
        )
        return {"deployment": staged}


class RecordProductionDeploymentLink(PlaneLink):
    """Record the end of production; ``succeeded`` is true by default."""

    needs = ("deployment_id",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Record it; a staged deployment enters production first, unless the end is rejected."""
        deployments, key = self.plane.deployments, ctx.get("deployment_id")
        try:
            return {"deployment": await self._end(ctx)}
        except IllegalTransition:  # the service checks the arguments before the status
            if (await deployments.get(key)).status is not DeploymentStatus.STAGED:
                raise
        await deployments.begin_production(
            key, production_job_id=ctx.get("job_id"), actor=actor_of(ctx)
        )
        return {"deployment": await self._end(ctx)}

    async def _end(self, ctx: Context) -> Deployment:
        return await self.plane.deployments.record_production(
            ctx.get("deployment_id"),
            succeeded=_succeeded(ctx),
            error_message=ctx.get("error_message"),
            actor=actor_of(ctx),
        )


class RecordRollbackLink(PlaneLink):
    """Roll a deployment back to ``rolled_back_to_version``, for a ``reason``."""

    needs = ("deployment_id", "reason")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Record it; a repetition changes nothing."""
        rolled_back = await self.plane.deployments.roll_back(
            ctx.get("deployment_id"),
            reason=ctx.get("reason"),
            target=ctx.get("rolled_back_to_version"),
            actor=actor_of(ctx),
        )
        return {"deployment": rolled_back}


class SerializeDeploymentLink(ServiceLink):
    """Put the 14 fields of ``deployment`` into ``deployment_response``."""

    needs = ("deployment",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert it to a dictionary."""
        return {"deployment_response": deployment_response(found_in(ctx, "deployment", Deployment))}


def _succeeded(ctx: Context) -> bool:
    said: bool = ctx.get("succeeded", default=True)
    return said
