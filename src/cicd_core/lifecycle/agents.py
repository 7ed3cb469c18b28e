"""What happens to an agent: it registers, beats, is judged, drains, leaves, or falls silent."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from cicd_core.errors import AgentDeregistered, AgentReplaced
from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.lifecycle.health import (
    DEFAULT_HEALTH,
    Health,
    health_of,
    with_stuck_slots,
    worse,
)
from cicd_core.model.agent import (
    MAX_SLOTS,
    MAX_STUCK,
    Agent,
    AgentSpec,
    AgentStatus,
    StuckJob,
    checked_metrics,
    checked_stuck,
)
from cicd_core.model.checks import (
    MAX_REASON,
    check_integer,
    check_label,
    check_reason,
    shorten,
    storable,
)
from cicd_core.model.choices import check_choice
from cicd_core.model.event import EventDraft
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cicd_core.model.agent import AgentMetrics, HealthPolicy, StuckReport

_S = AgentStatus
#: What an agent does itself, which must know that it has gone and may come back.
_OF_ITSELF: Final = frozenset({"heartbeat", "drain"})


def register(
    agent: Agent | None, *, spec: AgentSpec, incarnation: str, now: datetime
) -> Decision[Agent]:
    """Any status, or none -> REGISTERING, as a new incarnation.

    The moment of the first registration stays, and so does what an operator said of its health.
    The same incarnation with the same spec changes nothing.

    Args:
        agent: as it is known; None when nobody ever registered under that id.
        spec: what it is; must be checked (:func:`cicd_core.model.agent.checked`).
        incarnation: 128 random bits as hexadecimal digits, one a start of the agent's process.
        now: on the store's clock.
    """
    if agent is not None and _is_registered(agent, spec, incarnation):
        return unchanged(agent)
    registered = Agent(
        agent_id=spec.agent_id,
        pool_name=spec.pool_name,
        status=_S.REGISTERING,
        incarnation=incarnation,
        created_at=now if agent is None else agent.created_at,
        registered_at=now,
        labels=spec.labels,
        job_types=spec.job_types,
        slots=spec.slots,
        hostname=spec.hostname,
        version=spec.version,
        metadata=spec.metadata,
        forced_status=None if agent is None else agent.forced_status,
    )
    details: dict[str, Any] = {"to": registered.status.value, "pool": spec.pool_name}
    if agent is not None:
        details["from"] = agent.status.value
    return Decision(registered, (EventDraft("agent.registered", now, details),))


def heartbeat(
    agent: Agent,
    *,
    incarnation: str,
    now: datetime,
    metrics: AgentMetrics | None = None,
    running: int | None = None,
    fault: str | None = None,
    stuck: Sequence[StuckReport] = (),
    policy: HealthPolicy = DEFAULT_HEALTH,
) -> Decision[Agent]:
    """REGISTERING, OFFLINE or any health -> the health that it tells; drains go on.

    An agent with a stuck slot is degraded, one whose slots are all stuck is unhealthy.

    ``changed`` is False unless the health or what is stuck changes: the value then holds the newest
    metrics, but they are not worth a commit, since the renewed lease says that the agent lives.

    Args:
        agent: to be changed.
        incarnation: of the process that beats.
        now: on the store's clock.
        metrics: of its machine; None: not measured this time, the last ones hold.
        running: slots in use; None: the agent does not say.
        fault: why its machine can't run any job; UNHEALTHY as long as heartbeats say so.
        stuck: the slots among them whose handlers were stopped and go on.
        policy: the thresholds.

    Raises:
        AgentReplaced: another incarnation has taken its place: stop.
        AgentDeregistered: it is TERMINATED: register again, or stop.
        InvalidInput: a metric is not 0 to 100, or ``running`` not 0 to 1,024.
    """
    _require(agent, "heartbeat", incarnation)
    reports = checked_stuck(stuck)
    beaten = evolve(
        agent,
        heartbeat_at=now,
        metrics=agent.metrics if metrics is None else checked_metrics(metrics),
        running=None
        if running is None
        else check_integer("running", running, least=0, most=MAX_SLOTS),
        stuck=_stuck(agent, reports, now),
        stuck_slots=len(reports),
    )
    health = _judged(beaten, policy) if not fault else _faulty(fault)
    same = (agent.stuck, agent.stuck_slots) == (beaten.stuck, beaten.stuck_slots)
    if same and agent.status in {_S.TERMINATING, health.status}:
        return Decision(beaten, changed=False)
    target = agent.status if agent.status is _S.TERMINATING else health.status
    return _moved(
        beaten, target, now, event="status_changed", actor=agent.agent_id, reason=health.reason
    )


def _stuck(agent: Agent, reports: Sequence[StuckReport], now: datetime) -> tuple[StuckJob, ...]:
    """Return what is kept of the reports; a job that was known keeps its moment."""
    known = {job.job_id: job.since for job in agent.stuck}
    jobs = [
        StuckJob(
            job_id=report.job_id,
            since=known.get(report.job_id, now - timedelta(seconds=report.seconds)),
            reason=report.reason,
        )
        for report in reports
    ]
    return tuple(sorted(jobs, key=lambda job: (job.since, job.job_id))[:MAX_STUCK])


def set_status(
    agent: Agent, *, status: AgentStatus, now: datetime, actor: str, reason: str
) -> Decision[Agent]:
    """An operator's word: HEALTHY, DEGRADED, UNHEALTHY or OFFLINE.

    DEGRADED and UNHEALTHY hold until the operator takes them back: heartbeats make them worse,
    never better. HEALTHY takes them back, and the next heartbeat is judged by its metrics alone.
    OFFLINE takes them back too, and lasts until the next heartbeat.

    Raises:
        IllegalTransition: it is draining or gone, or ``status`` is reached by another command.
        InvalidInput: ``status`` is none, there is no reason, or ``actor`` is empty.
    """
    check_label("actor", actor)
    reason = f"set by {actor}: {check_reason('reason', reason)}"
    status = check_choice("status", status, AgentStatus)
    targets = AGENT_TABLE.require(agent.agent_id, agent.status, "set_status")
    if status not in targets:
        choices = ", ".join(sorted(targets))
        raise AGENT_TABLE.refusal(
            agent.agent_id,
            agent.status,
            "set_status",
            reason=f"{status.value} is not one of {choices}",
        )
    forced = status if status in {_S.DEGRADED, _S.UNHEALTHY} else None
    if (agent.status, agent.forced_status) == (status, forced):
        return unchanged(agent)
    return _moved(
        agent, status, now, event="status_changed", actor=actor, reason=reason, forced_status=forced
    )


def drain(
    agent: Agent, *, now: datetime, actor: str, reason: str, incarnation: str | None = None
) -> Decision[Agent]:
    """It finishes what it runs and takes nothing new: any status -> TERMINATING.

    A second drain changes nothing: the first one's reason stands.

    Args:
        agent: to be changed.
        now: on the store's clock.
        actor: who asked.
        reason: why, for people.
        incarnation: of the process that drains itself; None for an operator.

    Raises:
        AgentReplaced: another incarnation has taken its place.
        AgentDeregistered: it is TERMINATED.
        InvalidInput: there is no reason, or ``actor`` is empty.
    """
    check_label("actor", actor)
    reason = check_reason("reason", reason)
    _require(agent, "drain", incarnation)
    if agent.status is _S.TERMINATING:
        return unchanged(agent)
    return _moved(
        agent,
        _S.TERMINATING,
        now,
        event="draining",
        actor=actor,
        reason=reason,
        drain_reason=reason,
    )


def deregister(
    agent: Agent,
    *,
    now: datetime,
    actor: str,
    reason: str = "deregistered",
    incarnation: str | None = None,
) -> Decision[Agent]:
    """It is gone for good: any status -> TERMINATED. What it still runs is lost by its leases.

    Args:
        agent: to be changed.
        now: on the store's clock.
        actor: who asked.
        reason: why, for people.
        incarnation: of the process that leaves; None for an operator.

    Raises:
        AgentReplaced: another incarnation has taken its place, which must not be ended so.
        InvalidInput: there is no reason, or ``actor`` is empty.
    """
    check_label("actor", actor)
    reason = check_reason("reason", reason)
    _require(agent, "deregister", incarnation)
    if agent.status is _S.TERMINATED:
        return unchanged(agent)
    return _moved(agent, _S.TERMINATED, now, event="terminated", actor=actor, reason=reason)


def mark_offline(
    agent: Agent, *, now: datetime, actor: str, policy: HealthPolicy = DEFAULT_HEALTH
) -> Decision[Agent]:
    """Its heartbeats stopped: -> OFFLINE, or TERMINATED where it was draining.

    Whether they did is the store's to say: commit this under the guard that the record's lease has
    expired, so that a heartbeat that came in between wins. What is gone already stays as it is.
    """
    check_label("actor", actor)
    _require(agent, "mark_offline", None)
    if agent.status in {_S.OFFLINE, _S.TERMINATED}:
        return unchanged(agent)
    reason = health_of(agent.metrics, math.inf, policy).reason
    if agent.status is _S.TERMINATING:
        return _moved(agent, _S.TERMINATED, now, event="terminated", actor=actor, reason=reason)
    return _moved(agent, _S.OFFLINE, now, event="offline", actor=actor, reason=reason)


def _is_registered(agent: Agent, spec: AgentSpec, incarnation: str) -> bool:
    """Whether that incarnation has registered so already, whatever happened to it since."""
    return agent.incarnation == incarnation and all(
        getattr(agent, field.name) == getattr(spec, field.name) for field in fields(AgentSpec)
    )


def _judged(agent: Agent, policy: HealthPolicy) -> Health:
    """Return the health of an agent that has just beaten, an operator's word included."""
    health = with_stuck_slots(health_of(agent.metrics, 0.0, policy), agent)
    forced = agent.forced_status
    if forced is None or worse(forced, health.status) is health.status:
        return health
    return Health(forced, f"an operator set it to {forced.value}")


def _faulty(fault: str) -> Health:
    said = str(storable("fault", fault))
    return Health(_S.UNHEALTHY, str(shorten(f"it cannot run jobs: {said}", MAX_REASON)))


def _require(agent: Agent, command: str, incarnation: str | None) -> None:
    """Check the edge, and that ``incarnation`` (None: not the agent itself) is the present one."""
    if incarnation is not None and incarnation != agent.incarnation:
        raise AgentReplaced(agent.agent_id, incarnation)
    if agent.status is _S.TERMINATED and command in _OF_ITSELF:
        raise AgentDeregistered(agent.agent_id, agent.status.value, agent.status_reason)
    AGENT_TABLE.require(agent.agent_id, agent.status, command)


def _moved(
    agent: Agent,
    target: AgentStatus,
    now: datetime,
    *,
    event: str,
    actor: str,
    reason: str,
    **changes: Any,
) -> Decision[Agent]:
    details = {"from": agent.status.value, "to": target.value, "actor": actor, "reason": reason}
    details["pool"] = agent.pool_name
    return Decision(
        evolve(agent, status=target, status_reason=reason, status_changed_at=now, **changes),
        (EventDraft(f"agent.{event}", now, details),),
    )
