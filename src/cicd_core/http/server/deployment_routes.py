"""Deployments with all fields: ``/api/deployments``."""

from __future__ import annotations

from typing import Final

from cicd_core.http.server.idempotency import deployment_id_of
from cicd_core.http.server.replies import created, ok, page
from cicd_core.http.server.routing import Call, Reply, RouteTable
from cicd_core.http.wire import deployment_requests as asked
from cicd_core.http.wire.dashboard_requests import FailureBody, FiguresBody
from cicd_core.http.wire.requests import Nothing
from cicd_core.model.deployment import Deployment
from cicd_core.model.principal import Scope
from cicd_core.persistence.listing import Page
from cicd_core.public_json import to_json

TABLE: Final = RouteTable("/api/deployments")
_READ, _WRITE = Scope.DEPLOYMENTS_READ, Scope.DEPLOYMENTS_WRITE


@TABLE.add("POST", "", asked.DeploymentBody, _WRITE, status=201, gives=Deployment, takes_key=True)
async def create(call: Call, body: asked.DeploymentBody) -> Reply:
    """Create a pending deployment; the same id with the same body returns the existing one."""
    deployment_id = deployment_id_of(call, body.deployment_id)
    made = await call.plane.deployments.create(
        body.value(), deployment_id=deployment_id, actor=call.actor
    )
    return created(call, "/api/deployments", made.deployment_id, to_json(made))


@TABLE.add("GET", "", asked.DeploymentsQuery, _READ, gives=Page[Deployment])
async def list_deployments(call: Call, query: asked.DeploymentsQuery) -> Reply:
    """Return a page of deployments, the newest first."""
    return page(call, await call.plane.deployments.list(**query.fields()))


@TABLE.add("GET", "/{deployment_id}", Nothing, _READ, gives=Deployment)
async def get(call: Call, _: Nothing) -> Reply:
    """Return a deployment."""
    return ok(await call.plane.deployments.get(_id(call)))


@TABLE.add(
    "POST", "/{deployment_id}/staging/begin", asked.BeginStagingBody, _WRITE, gives=Deployment
)
async def begin_staging(call: Call, body: asked.BeginStagingBody) -> Reply:
    """PENDING -> STAGING."""
    deployments = call.plane.deployments
    return ok(await deployments.begin_staging(_id(call), **body.fields(), actor=call.actor))


@TABLE.add("POST", "/{deployment_id}/staging/end", asked.EndStagingBody, _WRITE, gives=Deployment)
async def record_staging(call: Call, body: asked.EndStagingBody) -> Reply:
    """STAGING -> STAGED or FAILED; a pending one passes through STAGING."""
    deployments = call.plane.deployments
    return ok(await deployments.record_staging(_id(call), **body.fields(), actor=call.actor))


@TABLE.add(
    "POST", "/{deployment_id}/production/begin", asked.BeginProductionBody, _WRITE, gives=Deployment
)
async def begin_production(call: Call, body: asked.BeginProductionBody) -> Reply:
    """STAGED -> PRODUCTION."""
    deployments = call.plane.deployments
    return ok(await deployments.begin_production(_id(call), **body.fields(), actor=call.actor))


@TABLE.add(
    "POST", "/{deployment_id}/production/end", asked.EndProductionBody, _WRITE, gives=Deployment
)
async def record_production(call: Call, body: asked.EndProductionBody) -> Reply:
    """PRODUCTION -> LIVE or FAILED."""
    deployments = call.plane.deployments
    return ok(await deployments.record_production(_id(call), **body.fields(), actor=call.actor))


@TABLE.add("POST", "/{deployment_id}/fail", FailureBody, _WRITE, gives=Deployment)
async def fail(call: Call, body: FailureBody) -> Reply:
    """Any status before LIVE -> FAILED."""
    deployments = call.plane.deployments
    return ok(await deployments.fail(_id(call), **body.fields(), actor=call.actor))


@TABLE.add("POST", "/{deployment_id}/rollback", asked.RollBackBody, _WRITE, gives=Deployment)
async def roll_back(call: Call, body: asked.RollBackBody) -> Reply:
    """PRODUCTION, LIVE, or FAILED in production -> ROLLED_BACK."""
    deployments = call.plane.deployments
    return ok(await deployments.roll_back(_id(call), **body.fields(), actor=call.actor))


@TABLE.add("POST", "/{deployment_id}/metrics", FiguresBody, _WRITE, gives=Deployment)
async def record_metrics(call: Call, body: FiguresBody) -> Reply:
    """Store the newest metrics of a deployment that has traffic."""
    return ok(await call.plane.deployments.record_metrics(_id(call), body.value()))


def _id(call: Call) -> str:
    return call.name("deployment_id")
