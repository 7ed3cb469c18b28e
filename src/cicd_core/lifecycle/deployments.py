"""The commands of a deployment: stage it, take it to production, fail, roll back, record metrics.

The same command with the same arguments, while its effect lasts, changes nothing: a caller who
does not know the outcome of a call may simply repeat it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.errors import InvalidInput
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.lifecycle.deployment_steps import after, arrive, identity, require, step
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.model.checks import (
    MAX_MESSAGE,
    check_label,
    check_name,
    check_optional_label,
    check_optional_name,
    check_reason,
    kept_text,
    storable,
)
from cicd_core.model.deployment import Deployment, DeploymentStatus, checked_metrics
from cicd_core.model.event import EventDraft
from cicd_core.values import evolve

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.deployment import DeploymentMetrics, DeploymentSpec

_S = DeploymentStatus


def create(
    spec: DeploymentSpec, *, deployment_id: str, now: datetime, actor: str
) -> Decision[Deployment]:
    """Return a new PENDING deployment.

    ``spec`` must be checked (:func:`cicd_core.model.deployment.checked`).

    Raises:
        InvalidInput: ``deployment_id`` is not a valid name, or ``actor`` is empty.
    """
    deployment = Deployment(
        deployment_id=check_name("deployment_id", deployment_id),
        service_name=spec.service_name,
        version=spec.version,
        status=_S.PENDING,
        created_at=now,
        created_by=check_label("actor", actor),
        environment=spec.environment,
        git=spec.git,
        metadata=spec.metadata,
        build_job_id=spec.build_job_id,
        test_job_id=spec.test_job_id,
        deploy_job_id=spec.deploy_job_id,
    )
    return arrive(deployment, None, now=now, actor=actor, reason="created")


def begin_staging(
    deployment: Deployment, *, now: datetime, actor: str, staging_job_id: str | None = None
) -> Decision[Deployment]:
    """PENDING -> STAGING.

    Raises:
        IllegalTransition: it is not PENDING.
        InvalidInput: an argument is wrong; the error names it.
    """
    check_label("actor", actor)
    check_optional_name("staging_job_id", staging_job_id)
    if deployment.status is _S.STAGING and deployment.staging_job_id == staging_job_id:
        return unchanged(deployment)
    require(deployment, "begin_staging")
    return _enter_staging(deployment, now, actor, staging_job_id)


def record_staging(
    deployment: Deployment,
    *,
    succeeded: bool,
    now: datetime,
    actor: str,
    staging_job_id: str | None = None,
    error_message: str | None = None,
) -> Decision[Deployment]:
    """STAGING -> STAGED or FAILED; a PENDING one passes through STAGING, with an event of its own.

    Args:
        deployment: to be changed.
        succeeded: whether it runs in staging now.
        now: on the store's clock.
        actor: the person or the job that reports.
        staging_job_id: the job that staged it; None keeps the known one.
        error_message: why it failed; its last 4,096 bytes are kept. No text is refused: an empty
            one, or None, becomes "staging failed".

    Raises:
        IllegalTransition: it is neither PENDING nor STAGING.
        InvalidInput: an argument is wrong, or a success comes with an error message.
    """
    check_label("actor", actor)
    check_optional_name("staging_job_id", staging_job_id)
    error = _checked_result(error_message, "staging", succeeded=succeeded)
    same_job = staging_job_id in {None, deployment.staging_job_id}
    if same_job and _recorded(deployment, _S.STAGING, _S.STAGED, error):
        return unchanged(deployment)
    require(deployment, "record_staging")
    if deployment.status is _S.PENDING:
        entered = _enter_staging(deployment, now, actor, staging_job_id)
        return after(entered, _end_stage(entered.value, _S.STAGED, now, actor, error))
    known = evolve(deployment, staging_job_id=staging_job_id or deployment.staging_job_id)
    return _end_stage(known, _S.STAGED, now, actor, error)


def begin_production(
    deployment: Deployment, *, now: datetime, actor: str, production_job_id: str | None = None
) -> Decision[Deployment]:
    """STAGED -> PRODUCTION.

    Raises:
        IllegalTransition: it is not STAGED.
        InvalidInput: an argument is wrong; the error names it.
    """
    check_label("actor", actor)
    check_optional_name("production_job_id", production_job_id)
    if deployment.status is _S.PRODUCTION and deployment.production_job_id == production_job_id:
        return unchanged(deployment)
    require(deployment, "begin_production", reason="production needs a staged deployment")
    return step(
        deployment,
        _S.PRODUCTION,
        now=now,
        actor=actor,
        reason="production began",
        data=_job(production_job_id),
        production_job_id=production_job_id,
    )


def record_production(
    deployment: Deployment,
    *,
    succeeded: bool,
    now: datetime,
    actor: str,
    error_message: str | None = None,
) -> Decision[Deployment]:
    """PRODUCTION -> LIVE or FAILED.

    Raises:
        IllegalTransition: it is not in PRODUCTION.
        InvalidInput: an argument is wrong, or a success comes with an error message.
    """
    check_label("actor", actor)
    error = _checked_result(error_message, "production", succeeded=succeeded)
    if _recorded(deployment, _S.PRODUCTION, _S.LIVE, error):
        return unchanged(deployment)
    require(deployment, "record_production")
    return _end_stage(deployment, _S.LIVE, now, actor, error)


def fail(
    deployment: Deployment, *, now: datetime, actor: str, error_message: str
) -> Decision[Deployment]:
    """Any status before LIVE -> FAILED; ``failed_stage`` keeps the status in which it failed.

    An empty error message becomes "failed".

    Raises:
        IllegalTransition: it is LIVE (roll it back instead), or has ended.
        InvalidInput: an argument is wrong; the error names it.
    """
    check_label("actor", actor)
    error = kept_text("error_message", error_message, most=MAX_MESSAGE, empty="failed")
    if deployment.status is _S.FAILED and deployment.error_message == error:
        return unchanged(deployment)
    live = deployment.status is _S.LIVE
    require(deployment, "fail", reason="roll back a live deployment instead" if live else "")
    return _fail(deployment, now, actor, error)


def roll_back(
    deployment: Deployment, *, now: datetime, actor: str, reason: str, target: str | None = None
) -> Decision[Deployment]:
    """PRODUCTION, LIVE, or FAILED in production -> ROLLED_BACK.

    Args:
        deployment: to be changed.
        now: on the store's clock.
        actor: who asked.
        reason: why, for people; its last 4,096 bytes are kept.
        target: the id of the deployment, or the version, that takes its place.

    Raises:
        IllegalTransition: it never entered production, or is rolled back already.
        InvalidInput: there is no reason, or the target is the deployment itself.
    """
    check_label("actor", actor)
    reason = check_reason("reason", reason, most=MAX_MESSAGE)
    check_optional_label("target", target)
    if target == deployment.deployment_id:
        raise InvalidInput("target", target, "give another deployment than the one rolled back")
    before = (deployment.rollback_reason, deployment.rollback_target)
    if deployment.status is _S.ROLLED_BACK and before == (reason, target):
        return unchanged(deployment)
    if not deployment.entered_production:
        raise DEPLOYMENT_TABLE.refusal(
            deployment.deployment_id,
            deployment.status,
            "roll_back",
            reason="it was never in production",
        )
    require(deployment, "roll_back")
    return step(
        deployment,
        _S.ROLLED_BACK,
        now=now,
        actor=actor,
        reason=reason,
        data={} if target is None else {"target": target},
        rollback_reason=reason,
        rollback_target=target,
    )


def record_metrics(
    deployment: Deployment, *, metrics: DeploymentMetrics, now: datetime
) -> Decision[Deployment]:
    """Keep the newest figures of a deployment in PRODUCTION or LIVE; they replace the last ones.

    The same figures again are a repetition, and change nothing, unless a later ``recorded_at``
    shows that they were measured again. Figures that were measured before the known ones change
    nothing either. A ``recorded_at`` after ``now`` counts as now: figures from a clock that is
    ahead must not win over all later ones.

    Raises:
        IllegalTransition: it has no traffic, since it is not in PRODUCTION or LIVE.
        InvalidInput: no figure is given, or one is out of its range.
    """
    given = checked_metrics(metrics)
    require(deployment, "record_metrics", reason="only production and live have traffic")
    known = deployment.metrics
    if known is not None and given in {known, evolve(known, recorded_at=None)}:
        return unchanged(deployment)
    measured_at = min(given.recorded_at or now, now)
    if known is not None and measured_at < min(known.recorded_at or now, now):
        return unchanged(deployment)
    measured = evolve(given, recorded_at=measured_at)
    figures = {
        "error_rate": measured.error_rate,
        "latency_ms": measured.latency_ms,
        "requests_per_second": measured.requests_per_second,
    }
    details = {name: value for name, value in figures.items() if value is not None}
    return Decision(
        evolve(deployment, metrics=measured),
        (EventDraft("deployment.metrics", now, identity(deployment) | details),),
    )


def _job(job_id: str | None) -> dict[str, str]:
    return {} if job_id is None else {"job_id": job_id}


def _enter_staging(
    deployment: Deployment, now: datetime, actor: str, job_id: str | None
) -> Decision[Deployment]:
    return step(
        deployment,
        _S.STAGING,
        now=now,
        actor=actor,
        reason="staging began",
        data=_job(job_id),
        staging_job_id=job_id,
    )


def _end_stage(
    deployment: Deployment, success: DeploymentStatus, now: datetime, actor: str, error: str | None
) -> Decision[Deployment]:
    if error is not None:
        return _fail(deployment, now, actor, error)
    return step(deployment, success, now=now, actor=actor, reason=f"{deployment.status} succeeded")


def _fail(deployment: Deployment, now: datetime, actor: str, error: str) -> Decision[Deployment]:
    stage = deployment.status
    return step(
        deployment,
        _S.FAILED,
        now=now,
        actor=actor,
        reason=error,
        data={"stage": stage.value},
        failed_stage=stage,
        error_message=error,
    )


def _recorded(
    deployment: Deployment, stage: DeploymentStatus, success: DeploymentStatus, error: str | None
) -> bool:
    """Whether the deployment has this result of ``stage`` already."""
    if error is None:
        return deployment.status is success
    failed_there = deployment.status is _S.FAILED and deployment.failed_stage is stage
    return failed_there and deployment.error_message == error


def _checked_result(error_message: str | None, stage: str, *, succeeded: bool) -> str | None:
    """Return the error of a stage that failed, None for one that succeeded."""
    if not succeeded:
        empty = f"{stage} failed"
        return kept_text("error_message", error_message, most=MAX_MESSAGE, empty=empty)
    if (storable("error_message", error_message) or "").strip():
        raise InvalidInput("error_message", error_message, "a success has no error message")
    return None
