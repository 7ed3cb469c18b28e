"""The six chains of the dashboard: tracked runs and deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from cicd_core.chains import running
from cicd_core.chains.answers import deployment_response, job_response
from cicd_core.chains.deployment_links import (
    CreateDeploymentLink,
    ListDeploymentsByServiceLink,
    ListDeploymentsLink,
    RecordProductionDeploymentLink,
    RecordRollbackLink,
    RecordStagingDeploymentLink,
    SerializeDeploymentLink,
    ValidateDeploymentCreationLink,
)
from cicd_core.chains.job_links import (
    CreateJobLink,
    ListJobsLink,
    RecordJobExecutionLink,
    RetrieveJobLink,
    SerializeJobLink,
    ValidateJobCreationLink,
)
from cicd_core.chains.links import ERROR, PlaneLink
from cicd_core.chains.requests import (
    DeploymentsWanted,
    EndOfJob,
    JobsWanted,
    NewDeployment,
    NewJob,
)
from cicd_core.chains.service_chain import ServiceChain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.chains.links import Plane
    from cicd_core.chains.running import Context, Link


class JobCreationChain(ServiceChain[NewJob]):
    """Create a pending job: its 13 fields."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Validate, create, serialize."""
        return (ValidateJobCreationLink(), CreateJobLink(control_plane), SerializeJobLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the job's fields."""
        return dict(ctx.get("job_response"))


class JobExecutionChain(ServiceChain[EndOfJob]):
    """Record the end of a run: the job's 13 fields."""

    needs = ("job_id", "exit_code")

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Retrieve, record, serialize."""
        return (
            RetrieveJobLink(control_plane),
            RecordJobExecutionLink(control_plane),
            SerializeJobLink(),
        )

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the job's fields."""
        return dict(ctx.get("job_response"))


class ListJobsChain(ServiceChain[JobsWanted]):
    """Read the newest jobs: ``jobs``, ``total``."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """List."""
        return (ListJobsLink(control_plane),)

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the jobs' fields."""
        jobs = [job_response(job) for job in ctx.get("jobs")]
        return {"jobs": jobs, "total": len(jobs)}


class DeploymentCreationChain(ServiceChain[NewDeployment]):
    """Create a pending deployment: its 14 fields."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Validate, create, serialize."""
        return (
            ValidateDeploymentCreationLink(),
            CreateDeploymentLink(control_plane),
            SerializeDeploymentLink(),
        )

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the deployment's fields."""
        return dict(ctx.get("deployment_response"))


class ListDeploymentsChain(ServiceChain[DeploymentsWanted]):
    """Read the newest deployments, of a service if given: ``deployments``, ``total``."""

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """List those of a service, or all."""
        return (_ListChosenLink(control_plane),)

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the deployments' fields."""
        deployments = [deployment_response(each) for each in ctx.get("found")]
        return {"deployments": deployments, "total": len(deployments)}


class _ListChosenLink(PlaneLink):
    """One of two lists, chosen by the request: not every engine evaluates conditions."""

    once = "found"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        of_service = ctx.get("service_name") is not None
        link = ListDeploymentsByServiceLink if of_service else ListDeploymentsLink
        (found,) = (await link(self.plane).work(ctx)).values()
        return {"found": found}


class _StageChain(ServiceChain["Mapping[str, object]"]):
    """Record one step of a deployment: its 14 fields."""

    needs: ClassVar[tuple[str, ...]] = ("deployment_id",)
    step: ClassVar[
        type[RecordStagingDeploymentLink | RecordProductionDeploymentLink | RecordRollbackLink]
    ]

    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Record, serialize."""
        return (self.step(control_plane), SerializeDeploymentLink())

    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the deployment's fields."""
        return dict(ctx.get("deployment_response"))


class _StagingChain(_StageChain):
    step = RecordStagingDeploymentLink


class _ProductionChain(_StageChain):
    step = RecordProductionDeploymentLink


class _RollbackChain(_StageChain):
    needs = ("deployment_id", "reason")
    step = RecordRollbackLink


_STEPS: Final = {
    "staging": _StagingChain,
    "production": _ProductionChain,
    "rollback": _RollbackChain,
}


class DeploymentLifecycleChain:
    """Record one of three steps of a deployment: its 14 fields."""

    def __init__(self, control_plane: Plane, engine: Any = running) -> None:
        """Combine the three chains; the engine is that of ``ServiceChain``."""
        self.chains = {name: chain(control_plane, engine) for name, chain in _STEPS.items()}

    async def run(
        self, deployment_id: str, operation: str, data: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Record a step, and return the deployment, or ``{"error": text}``.

        Args:
            deployment_id: the deployment.
            operation: ``staging``, ``production`` or ``rollback``.
            data: ``job_id``, ``succeeded`` and ``error_message`` of a stage; ``reason`` and
                ``rolled_back_to_version`` of a rollback.
        """
        chain = self.chains.get(operation) if isinstance(operation, str) else None
        if chain is None:
            return {ERROR: f"Unknown operation {operation!r}; give one of {', '.join(_STEPS)}"}
        return await chain.run({**(data or {}), "deployment_id": deployment_id})
