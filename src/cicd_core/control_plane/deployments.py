"""Deployments: through staging and production, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.control_plane.listing import Listing, Page, read_page
from cicd_core.errors import AlreadyExists, InvalidInput
from cicd_core.lifecycle import deployments as lifecycle
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.deployment import Deployment, DeploymentStatus, checked
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import BY_DEPLOYMENT_STATUS, BY_SERVICE, DEPLOYMENTS
from cicd_core.store.records import Partition

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.deployment import DeploymentMetrics, DeploymentSpec
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository


class DeploymentService:
    """Deployments. ``by`` is who asks: it stands in the deployment's history.

    Every method but ``create``, ``get`` and ``list`` raises ``NotFound`` where there is no such
    deployment, ``IllegalTransition`` where its status does not allow the step, and
    ``InvalidInput`` where an argument is wrong. The same step again is a no-op.
    """

    def __init__(self, context: Context, repository: Repository[Deployment]) -> None:
        """Take the way to the store, and the deployments' records."""
        self._context = context
        self._repository = repository

    async def create(
        self, spec: DeploymentSpec, *, deployment_id: str | None = None, by: str = "caller"
    ) -> Deployment:
        """Create a PENDING deployment.

        Args:
            spec: what is deployed.
            deployment_id: a name of yours, which makes a repetition recognisable; ours when left
                out.
            by: who asks.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AlreadyExists: there is a deployment with that id.
        """
        wanted = checked(spec)
        time = await self._context.store.now()
        key = self._context.ids.sortable(time.micros) if deployment_id is None else deployment_id
        now = from_micros(time.calendar)
        decision = lifecycle.create(wanted, deployment_id=key, now=now, by=by)
        made = await self._repository.create(decision, time=time)
        if made is None:
            raise AlreadyExists("deployment", key)
        return made.value

    async def get(self, deployment_id: str) -> Deployment:
        """Return the deployment.

        Raises:
            NotFound: there is no such deployment.
        """
        return (await self._repository.get(_checked_id(deployment_id))).value

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
            InvalidCursor: it is damaged, or of another query.
        """
        wanted = None if status is None else _checked_status(status)
        listing = Listing(
            partitions=_partitions(service_name, wanted),
            load=self._repository.load,
            keep=lambda each: wanted is None or each.status is wanted,
            since=since,
            until=until,
            filters=(str(wanted), str(service_name)),
        )
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def begin_staging(
        self, deployment_id: str, *, staging_job_id: str | None = None, by: str = "caller"
    ) -> Deployment:
        """PENDING -> STAGING."""
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.begin_staging(
                each, now=now, by=by, staging_job_id=staging_job_id
            ),
        )

    async def record_staging(
        self,
        deployment_id: str,
        *,
        succeeded: bool,
        staging_job_id: str | None = None,
        error_message: str | None = None,
        by: str = "caller",
    ) -> Deployment:
        """STAGING -> STAGED or FAILED; a PENDING one passes through STAGING.

        A failure is recorded whatever its ``error_message`` holds, also where it is empty.
        """
        check_kind("succeeded", succeeded, bool)
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.record_staging(
                each,
                succeeded=succeeded,
                now=now,
                by=by,
                staging_job_id=staging_job_id,
                error_message=error_message,
            ),
        )

    async def begin_production(
        self, deployment_id: str, *, production_job_id: str | None = None, by: str = "caller"
    ) -> Deployment:
        """STAGED -> PRODUCTION."""
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.begin_production(
                each, now=now, by=by, production_job_id=production_job_id
            ),
        )

    async def record_production(
        self,
        deployment_id: str,
        *,
        succeeded: bool,
        error_message: str | None = None,
        by: str = "caller",
    ) -> Deployment:
        """PRODUCTION -> LIVE or FAILED, recorded whatever its ``error_message`` holds."""
        check_kind("succeeded", succeeded, bool)
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.record_production(
                each, succeeded=succeeded, now=now, by=by, error_message=error_message
            ),
        )

    async def fail(
        self, deployment_id: str, *, error_message: str, by: str = "caller"
    ) -> Deployment:
        """Any status before LIVE -> FAILED."""
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.fail(each, now=now, by=by, error_message=error_message),
        )

    async def roll_back(
        self, deployment_id: str, *, reason: str, target: str | None = None, by: str = "caller"
    ) -> Deployment:
        """PRODUCTION, LIVE, or FAILED in production -> ROLLED_BACK."""
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.roll_back(
                each, now=now, by=by, reason=reason, target=target
            ),
        )

    async def record_metrics(self, deployment_id: str, metrics: DeploymentMetrics) -> Deployment:
        """Keep the newest figures of a deployment in PRODUCTION or LIVE; late ones change nothing.

        Newest by their ``recorded_at``: one that is still to come counts as now.
        """
        return await self._change(
            deployment_id,
            lambda each, now: lifecycle.record_metrics(each, metrics=metrics, now=now),
        )

    async def _change(
        self,
        deployment_id: str,
        decide: Callable[[Deployment, datetime], Decision[Deployment]],
    ) -> Deployment:
        return (await self._repository.change(_checked_id(deployment_id), decide)).value


def _checked_id(deployment_id: str) -> str:
    return check_name("deployment_id", deployment_id)


def _checked_status(status: DeploymentStatus | str) -> DeploymentStatus:
    try:
        return DeploymentStatus(status)
    except ValueError:
        choices = ", ".join(DeploymentStatus)
        raise InvalidInput("status", status, f"give one of {choices}") from None


def _partitions(service_name: str | None, status: DeploymentStatus | None) -> tuple[Partition, ...]:
    if service_name is not None:
        name = check_name("service_name", service_name)
        return (Partition(DEPLOYMENTS.name, BY_SERVICE, name),)
    wanted = DeploymentStatus if status is None else (status,)
    return tuple(Partition(DEPLOYMENTS.name, BY_DEPLOYMENT_STATUS, each.value) for each in wanted)
