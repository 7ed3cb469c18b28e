"""The commands of an agent: register, heartbeat, set status, drain, deregister, mark offline."""

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
#: The commands that an agent gives itself: it must learn that it is gone and may register again.
_OF_ITSELF: Final = frozenset({"heartbeat", "drain"})


def register(
    agent: Agent | None, *, spec: AgentSpec, incarnation: str, now: datetime
) -> Decision[Agent]:
    """Any status, or none -> REGISTERING, as a new incarnation.

    The moment of the first registration stays, and so does the health that an operator set. The
    same incarnation with the same spec changes nothing.

    Args:
        agent: the known one; None if no agent ever registered under that id.
        spec: its description; must be checked (:func:`cicd_core.model.agent.checked`).
        incarnation: 128 random bits as hexadecimal digits, new at each start of the agent's
            process.
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
    """REGISTERING, OFFLINE or any health -> the health that it reports; a drain goes on.

    An agent with a stuck slot is degraded; one whose slots are all stuck is unhealthy.

    ``changed`` is False unless the health or the stuck slots change. The value then holds the
    newest metrics, but they are not worth a commit: the renewed lease shows that the agent lives.

    Args:
        agent: to be changed.
        incarnation: of the process that sends the heartbeat.
        now: on the store's clock.
        metrics: of its machine; None: not measured this time, the last ones hold.
        running: slots in use; None: the agent does not report it.
        fault: why its machine cannot run any job; it is UNHEALTHY as long as heartbeats carry one.
        stuck: the slots among them whose handlers were stopped but still run.
        policy: the thresholds.

    Raises:
        AgentReplaced: another incarnation has taken its place: stop.
        AgentDeregistered: it is TERMINATED: register again, or stop.
        InvalidInput: a metric is not 0 to 100, or ``running`` is not 0 to 1,024.
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
    """Return the stuck jobs to keep; a job that was stuck already keeps its time."""
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
    """Set the status as an operator: HEALTHY, DEGRADED, UNHEALTHY or OFFLINE.

    DEGRADED and UNHEALTHY hold until an operator sets HEALTHY or OFFLINE: heartbeats make them
    worse, never better. After HEALTHY, the metrics of the next heartbeat alone decide. OFFLINE
    lasts until the next heartbeat.

    Raises:
        IllegalTransition: it is draining or gone, or ``status`` is reached by another command.
        InvalidInput: ``status`` is no status, there is no reason, or ``actor`` is empty.
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
    """Any status -> TERMINATING: the agent finishes its jobs and claims no new ones.

    A second drain changes nothing: the reason of the first one stays.

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
    """Any status -> TERMINATED: the agent is gone for good, and the leases of its jobs run out.

    Args:
        agent: to be changed.
        now: on the store's clock.
        actor: who asked.
        reason: why, for people.
        incarnation: of the process that leaves; None for an operator.

    Raises:
        AgentReplaced: another incarnation has taken its place, and this command must not end it.
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
    """Its heartbeats stopped: -> OFFLINE, or TERMINATED if it was draining.

    The store decides whether they stopped: commit this under the guard that the record's lease has
    expired, so that a heartbeat in between wins. An agent that is gone already stays unchanged.
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
    """Whether that incarnation has already registered with this spec."""
    return agent.incarnation == incarnation and all(
        getattr(agent, field.name) == getattr(spec, field.name) for field in fields(AgentSpec)
    )


def _judged(agent: Agent, policy: HealthPolicy) -> Health:
    """Return the health of an agent at a heartbeat, with the status that an operator set."""
    health = with_stuck_slots(health_of(agent.metrics, 0.0, policy), agent)
    forced = agent.forced_status
    if forced is None or worse(forced, health.status) is health.status:
        return health
    return Health(forced, f"an operator set it to {forced.value}")


def _faulty(fault: str) -> Health:
    text = str(storable("fault", fault))
    return Health(_S.UNHEALTHY, str(shorten(f"it cannot run jobs: {text}", MAX_REASON)))


def _require(agent: Agent, command: str, incarnation: str | None) -> None:
    """Check the edge, and that ``incarnation`` (None: not the agent itself) is the current one."""
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
