"""The part that all decisions about a deployment share: one step, its event and its counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.lifecycle.decision import Decision
from cicd_core.lifecycle.deployment_counts import counted
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.model.checks import shorten
from cicd_core.model.deployment import Deployment, DeploymentStatus, DeploymentTransition
from cicd_core.model.event import EventDraft
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: How many transitions a deployment keeps: the log has all of them.
HISTORY_KEPT: Final = 100
#: How much of a reason, in bytes of JSON, each of them and the event keep.
WHY_KEPT: Final = 512


@frozen
class _Arrival:
    """The event of the arrival in a status, the field of its time, and the name of its counter."""

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
    actor: str,
    reason: str,
    data: Mapping[str, str] | None = None,
) -> Decision[Deployment]:
    """Return the decision for a value that has just reached its status from ``source``.

    The status decides which time is set, which event is written and which counter grows.
    """
    status, arrival = deployment.status, _ARRIVALS[deployment.status]
    short = shorten(reason, WHY_KEPT) or ""
    transition = DeploymentTransition(
        source=source, target=status, at=now, actor=actor, reason=short
    )
    history = (*deployment.history, transition)[-HISTORY_KEPT:]
    changes: dict[str, Any] = {arrival.time: now, "history": history}
    details = {
        "to": status.value,
        "actor": actor,
        "reason": short,
        **identity(deployment),
        **(data or {}),
    }
    if source is not None:
        details["from"] = source.value
    return Decision(
        evolve(deployment, **changes),
        (EventDraft(arrival.event, now, details),),
        () if arrival.counter is None else (counted(now, arrival.counter),),
    )


def step(
    deployment: Deployment,
    target: DeploymentStatus,
    *,
    now: datetime,
    actor: str,
    reason: str,
    data: Mapping[str, str] | None = None,
    **changes: Any,
) -> Decision[Deployment]:
    """Return the decision to move to ``target`` and to change some fields."""
    moved = evolve(deployment, status=target, **changes)
    return arrive(moved, deployment.status, now=now, actor=actor, reason=reason, data=data)


def after(first: Decision[Deployment], then: Decision[Deployment]) -> Decision[Deployment]:
    """Return both decisions as one; ``then`` was made on the value of ``first``."""
    return Decision(
        then.value, (*first.events, *then.events), (*first.increments, *then.increments)
    )


def identity(deployment: Deployment) -> dict[str, str]:
    """Return the fields that identify the deployment in each of its events."""
    details = {"service_name": deployment.service_name, "version": deployment.version}
    if deployment.environment is not None:
        details["environment"] = deployment.environment
    return details


def require(deployment: Deployment, command: str, *, reason: str = "") -> None:
    """Check that the table has an edge for ``command``.

    Raises:
        IllegalTransition: it has none; the error says which commands are legal.
    """
    DEPLOYMENT_TABLE.require(deployment.deployment_id, deployment.status, command, reason=reason)
