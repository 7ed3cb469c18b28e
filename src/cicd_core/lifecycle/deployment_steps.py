"""What every decision about a deployment is made of: one step, with its event and its counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from cicd_core.lifecycle.decision import Decision
from cicd_core.lifecycle.deployment_counts import counted
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.model.checks import shorten
from cicd_core.model.deployment import Deployment, DeploymentStatus, DeploymentTransition
from cicd_core.model.event import EventDraft

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: How many transitions a deployment carries along: the log has them all.
HISTORY_KEPT: Final = 100
#: How much of a reason, in characters, stands in each of them and in the event.
WHY_KEPT: Final = 512


@frozen
class _Arrival:
    """How the arrival in a status is told, when it was, and under which name it is counted."""

    event: str
    time: str
    counter: str | None = None


_ARRIVALS: Final[Mapping[DeploymentStatus, _Arrival]] = {
    DeploymentStatus.PENDING: _Arrival("deployment.created", "created_at", "created"),
    DeploymentStatus.STAGING: _Arrival("deployment.staging_started", "staging_started_at"),
    DeploymentStatus.STAGED: _Arrival("deployment.staged", "staged_at"),
    DeploymentStatus.PRODUCTION: _Arrival("deployment.production_started", "production_started_at"),
    DeploymentStatus.LIVE: _Arrival("deployment.live", "live_at", "live"),
    DeploymentStatus.FAILED: _Arrival("deployment.failed", "failed_at", "failed"),
    DeploymentStatus.ROLLED_BACK: _Arrival(
        "deployment.rolled_back", "rolled_back_at", "rolled_back"
    ),
}


def arrive(
    deployment: Deployment,
    source: DeploymentStatus | None,
    *,
    now: datetime,
    by: str,
    why: str,
    data: Mapping[str, str] | None = None,
) -> Decision[Deployment]:
    """Return the decision for a value that has just come to its status from ``source``.

    Its time, its history, the event and the counter follow from the status.
    """
    status, arrival = deployment.status, _ARRIVALS[deployment.status]
    short = shorten(why, WHY_KEPT) or ""
    transition = DeploymentTransition(source=source, target=status, at=now, by=by, why=short)
    history = (*deployment.history, transition)[-HISTORY_KEPT:]
    changes: dict[str, Any] = {arrival.time: now, "history": history}
    told = {"to": status.value, "by": by, "why": short, **identity(deployment), **(data or {})}
    if source is not None:
        told["from"] = source.value
    return Decision(
        evolve(deployment, **changes),
        (EventDraft(arrival.event, now, told),),
        () if arrival.counter is None else (counted(now, arrival.counter),),
    )


def step(
    deployment: Deployment,
    target: DeploymentStatus,
    *,
    now: datetime,
    by: str,
    why: str,
    data: Mapping[str, str] | None = None,
    **changes: Any,
) -> Decision[Deployment]:
    """Return the decision to move to ``target`` and to change some fields."""
    moved = evolve(deployment, status=target, **changes)
    return arrive(moved, deployment.status, now=now, by=by, why=why, data=data)


def after(first: Decision[Deployment], then: Decision[Deployment]) -> Decision[Deployment]:
    """Return both as one decision; ``then`` was decided on the value of ``first``."""
    return Decision(
        then.value, (*first.events, *then.events), (*first.increments, *then.increments)
    )


def identity(deployment: Deployment) -> dict[str, str]:
    """Return what every event of a deployment says of it."""
    told = {"service_name": deployment.service_name, "version": deployment.version}
    if deployment.environment is not None:
        told["environment"] = deployment.environment
    return told


def require(deployment: Deployment, command: str, *, why: str = "") -> None:
    """Check that the table has an edge for ``command``.

    Raises:
        IllegalTransition: it has none; the error says which commands are legal.
    """
    DEPLOYMENT_TABLE.require(deployment.deployment_id, deployment.status, command, why=why)
