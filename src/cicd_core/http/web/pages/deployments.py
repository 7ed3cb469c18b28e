"""Deployments by service, the version that each environment has, and one deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.model.amounts import amount
from cicd_core.model.deployment import DeploymentStatus
from cicd_core.model.principal import Scope
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cicd_core.http.web.visit import Visit
    from cicd_core.model.deployment import Deployment

_ROWS: Final = 25
#: Number of the newest live deployments in which the current versions are searched.
_LIVE: Final = 50
_MOST_CURRENT: Final = 24


@frozen
class Step:
    """A stage of a deployment: when it was reached, and its display."""

    name: str
    at: datetime | None
    tone: str


async def deployments(visit: Visit) -> dict[str, Any]:
    """Return a page of deployments, and the current version of each service."""
    service, status = visit.text("service_name"), visit.text("status")
    found = await visit.plane.deployments.list(
        service_name=service, status=status, limit=_ROWS, cursor=visit.text("cursor")
    )
    live = await visit.plane.deployments.list(status=DeploymentStatus.LIVE, limit=_LIVE)
    current = _current(live.items)
    return {
        "found": found,
        "service": service,
        "status": status,
        "statuses": list(DeploymentStatus),
        "current": current[:_MOST_CURRENT],
        "is_all": live.cursor is None,
        "steps": {each.deployment_id: steps_of(each) for each in found.items},
        "more": None if found.cursor is None else visit.same(cursor=found.cursor, notice=None),
        "first": visit.same(cursor=None, notice=None) if visit.text("cursor") else None,
        "said": f"{amount(len(found.items), 'deployment')} on this page",
    }


def _current(live: Iterable[Deployment]) -> list[Deployment]:
    """Return the newest live deployment of each service and environment."""
    newest: dict[tuple[str, str], Deployment] = {}
    for each in live:
        place = (each.service_name, each.environment or "")
        if place not in newest or _live_at(newest[place]) < _live_at(each):
            newest[place] = each
    return [newest[place] for place in sorted(newest)]


def _live_at(deployment: Deployment) -> datetime:
    return deployment.live_at or deployment.created_at


def steps_of(deployment: Deployment) -> list[Step]:
    """Return the stages of a deployment, including future ones."""
    failed, back = deployment.failed_at, deployment.rolled_back_at
    steps = [
        Step("created", deployment.created_at, "wait"),
        Step("staging", deployment.staging_started_at, "run"),
        Step("staged", deployment.staged_at, "take"),
        Step("production", deployment.production_started_at, "run"),
        Step("live", deployment.live_at, "ok"),
    ]
    if failed is not None:
        steps = [step for step in steps if step.at is not None]
        steps.append(Step("failed", failed, "bad"))
    if back is not None:
        steps = [step for step in steps if step.at is not None]
        steps.append(Step("rolled back", back, "back"))
    return steps


async def deployment(visit: Visit) -> dict[str, Any]:
    """Return one deployment."""
    found = await visit.plane.deployments.get(visit.name("deployment_id"))
    allowed = visit.may(Scope.DEPLOYMENTS_WRITE)
    commands = DEPLOYMENT_TABLE.commands(found.status) if allowed else frozenset[str]()
    return {
        "deployment": found,
        "steps": steps_of(found),
        "commands": commands if found.entered_production else commands - {"roll_back"},
        "said": f"{found.service_name} {found.version} is {found.status}",
    }
