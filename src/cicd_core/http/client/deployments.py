"""Deployments, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.http.client.moments import moment
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import asked_to_wire, from_wire
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    checked,
)
from cicd_core.persistence.listing import Page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.http.client.connection import Connection


class RemoteDeployments:
    """Deployments of a server; the same methods as ``DeploymentService``.

    Every method except ``create``, ``get`` and ``list`` raises ``NotFound`` if there is no such
    deployment, ``IllegalTransition`` if its status does not allow the step, and
    ``InvalidInput`` if an argument is wrong. Repeating a step is a no-op.
    """

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def create(
        self, spec: DeploymentSpec, *, deployment_id: str | None = None, actor: str = "caller"
    ) -> Deployment:
        """Create a PENDING deployment.

        If the answer is lost, the call is repeated only with a ``deployment_id``.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AlreadyExists: there is a deployment with that id, from another spec.
        """
        body = asked_to_wire(checked(spec))
        if deployment_id is not None:
            body["deployment_id"] = check_name("deployment_id", deployment_id)
        answer = await self._connection.call(
            "POST", path_of("deployments"), body, repeatable=deployment_id is not None
        )
        return from_wire(Deployment, answer)

    async def get(self, deployment_id: str) -> Deployment:
        """Return the deployment.

        Raises:
            NotFound: there is no such deployment.
        """
        return from_wire(Deployment, await self._connection.get(_path(deployment_id)))

    async def list(
        self,
        *,
        service_name: str | None = None,
        status: DeploymentStatus | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Deployment]:
        """Return a page of deployments, the newest first; the filters may be combined.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
            InvalidCursor: it is damaged, or belongs to another query.
        """
        query = {
            "service_name": service_name,
            "status": status,
            "since": moment("since", since),
            "until": moment("until", until),
            "limit": limit,
            "cursor": cursor,
        }
        answer = await self._connection.get(path_of("deployments"), query)
        return from_wire(Page[Deployment], answer)

    async def begin_staging(
        self, deployment_id: str, *, staging_job_id: str | None = None, actor: str = "caller"
    ) -> Deployment:
        """PENDING -> STAGING."""
        body = {"staging_job_id": staging_job_id}
        return await self._command(deployment_id, "staging/begin", body)

    async def record_staging(
        self,
        deployment_id: str,
        *,
        succeeded: bool,
        staging_job_id: str | None = None,
        error_message: str | None = None,
        actor: str = "caller",
    ) -> Deployment:
        """STAGING -> STAGED or FAILED; a PENDING one passes through STAGING."""
        check_kind("succeeded", succeeded, bool)
        body = {
            "succeeded": succeeded,
            "staging_job_id": staging_job_id,
            "error_message": error_message,
        }
        return await self._command(deployment_id, "staging/end", body)

    async def begin_production(
        self, deployment_id: str, *, production_job_id: str | None = None, actor: str = "caller"
    ) -> Deployment:
        """STAGED -> PRODUCTION."""
        body = {"production_job_id": production_job_id}
        return await self._command(deployment_id, "production/begin", body)

    async def record_production(
        self,
        deployment_id: str,
        *,
        succeeded: bool,
        error_message: str | None = None,
        actor: str = "caller",
    ) -> Deployment:
        """PRODUCTION -> LIVE or FAILED."""
        check_kind("succeeded", succeeded, bool)
        body = {"succeeded": succeeded, "error_message": error_message}
        return await self._command(deployment_id, "production/end", body)

    async def fail(
        self, deployment_id: str, *, error_message: str, actor: str = "caller"
    ) -> Deployment:
        """Any status before LIVE -> FAILED."""
        return await self._command(deployment_id, "fail", {"error_message": error_message})

    async def roll_back(
        self, deployment_id: str, *, reason: str, target: str | None = None, actor: str = "caller"
    ) -> Deployment:
        """PRODUCTION, LIVE, or FAILED in production -> ROLLED_BACK."""
        return await self._command(deployment_id, "rollback", {"reason": reason, "target": target})

    async def record_metrics(self, deployment_id: str, metrics: DeploymentMetrics) -> Deployment:
        """Store the newest metrics of a deployment in PRODUCTION or LIVE; late ones are ignored.

        ``recorded_at`` decides; a time in the future counts as now.
        """
        check_kind("metrics", metrics, DeploymentMetrics)
        return await self._command(deployment_id, "metrics", asked_to_wire(metrics))

    async def _command(
        self, deployment_id: str, command: str, body: Mapping[str, Any]
    ) -> Deployment:
        path = _path(deployment_id, command)
        return from_wire(
            Deployment, await self._connection.call("POST", path, body, repeatable=True)
        )


def _path(deployment_id: str, command: str | None = None) -> str:
    name = check_name("deployment_id", deployment_id)
    return path_of("deployments", name=name, command=command)
