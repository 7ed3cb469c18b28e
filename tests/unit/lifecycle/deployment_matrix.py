"""A deployment in each status, and each command: what the tests of its state machine share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cicd_core.lifecycle import deployments
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    checked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

S = DeploymentStatus
NOON = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)
LATER = NOON + timedelta(minutes=30)
SPEC = DeploymentSpec(service_name="s", version="1")

#: The state machine as the design draws it; the table in the library must say the same.
MACHINE: dict[DeploymentStatus, dict[str, set[DeploymentStatus]]] = {
    S.PENDING: {
        "begin_staging": {S.STAGING},
        "record_staging": {S.STAGED, S.FAILED},
        "fail": {S.FAILED},
    },
    S.STAGING: {"record_staging": {S.STAGED, S.FAILED}, "fail": {S.FAILED}},
    S.STAGED: {"begin_production": {S.PRODUCTION}, "fail": {S.FAILED}},
    S.PRODUCTION: {
        "record_production": {S.LIVE, S.FAILED},
        "record_metrics": {S.PRODUCTION},
        "fail": {S.FAILED},
        "roll_back": {S.ROLLED_BACK},
    },
    S.LIVE: {"record_metrics": {S.LIVE}, "roll_back": {S.ROLLED_BACK}},
    S.FAILED: {"roll_back": {S.ROLLED_BACK}},
    S.ROLLED_BACK: {},
}

#: Each command, once for each status that it may lead to.
COMMANDS: dict[tuple[str, DeploymentStatus | None], Callable[..., Decision[Deployment]]] = {
    ("begin_staging", S.STAGING): lambda value: deployments.begin_staging(
        value, now=LATER, actor="ann", staging_job_id="job-new"
    ),
    ("record_staging", S.STAGED): lambda value: deployments.record_staging(
        value, succeeded=True, now=LATER, actor="ann", staging_job_id="job-new"
    ),
    ("record_staging", S.FAILED): lambda value: deployments.record_staging(
        value, succeeded=False, now=LATER, actor="ann", error_message="no staging today"
    ),
    ("begin_production", S.PRODUCTION): lambda value: deployments.begin_production(
        value, now=LATER, actor="ann", production_job_id="job-new"
    ),
    ("record_production", S.LIVE): lambda value: deployments.record_production(
        value, succeeded=True, now=LATER, actor="ann"
    ),
    ("record_production", S.FAILED): lambda value: deployments.record_production(
        value, succeeded=False, now=LATER, actor="ann", error_message="no production today"
    ),
    ("fail", S.FAILED): lambda value: deployments.fail(
        value, now=LATER, actor="ann", error_message="called off"
    ),
    ("roll_back", S.ROLLED_BACK): lambda value: deployments.roll_back(
        value, now=LATER, actor="ann", reason="errors went up", target="1.4.1"
    ),
    ("record_metrics", None): lambda value: deployments.record_metrics(
        value, metrics=DeploymentMetrics(error_rate=0.25), now=LATER
    ),
}


def new() -> Decision[Deployment]:
    spec = DeploymentSpec(service_name="shop/cart", version="1.4.2+b7", environment="eu-west")
    return deployments.create(checked(spec), deployment_id="d-1", now=NOON, actor="ci")


def pending() -> Deployment:
    return new().value


def staging() -> Deployment:
    return deployments.begin_staging(pending(), now=NOON, actor="ci", staging_job_id="job-s").value


def staged() -> Deployment:
    return deployments.record_staging(staging(), succeeded=True, now=NOON, actor="ci").value


def production() -> Deployment:
    return deployments.begin_production(
        staged(), now=NOON, actor="ci", production_job_id="job-p"
    ).value


def live() -> Deployment:
    return deployments.record_production(production(), succeeded=True, now=NOON, actor="ci").value


def failed_in(before: Callable[[], Deployment]) -> Deployment:
    return deployments.fail(before(), now=NOON, actor="ci", error_message="broke").value


def rolled_back() -> Deployment:
    return deployments.roll_back(live(), now=NOON, actor="ci", reason="broke").value


#: A deployment in each status, and a failed one for each status it can have failed in.
STANDING: dict[str, Deployment] = {
    "pending": pending(),
    "staging": staging(),
    "staged": staged(),
    "production": production(),
    "live": live(),
    "failed while pending": failed_in(pending),
    "failed in staging": failed_in(staging),
    "failed when staged": failed_in(staged),
    "failed in production": failed_in(production),
    "rolled back": rolled_back(),
}

#: A success has no arguments, so that this one is what made the deployment live.
REPETITION = ("live", "record_production", S.LIVE)


def is_legal(value: Deployment, command: str, target: DeploymentStatus | None) -> bool:
    if command == "roll_back" and value.status is S.FAILED:
        return value.failed_stage is S.PRODUCTION
    return (target or value.status) in MACHINE[value.status].get(command, set())


#: Every deployment with every command that is legal there.
LEGAL = [
    (standing, command, target)
    for standing, value in STANDING.items()
    for command, target in COMMANDS
    if is_legal(value, command, target)
]
