"""An agent's health: a pure function of its metrics and of the age of its last heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.agent import AgentStatus, HealthPolicy
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.model.agent import Agent, AgentMetrics, LoadThreshold

#: The policy that holds unless an operator sets another one.
DEFAULT_HEALTH: Final = HealthPolicy()

_LOADS: Final = (
    ("cpu", "cpu_percent"),
    ("memory", "memory_percent"),
    ("disk", "disk_percent"),
)
#: From the best to the worst.
_ORDER: Final = (AgentStatus.HEALTHY, AgentStatus.DEGRADED, AgentStatus.UNHEALTHY)


@frozen
class Health:
    """One of healthy, degraded, unhealthy and offline, and why, for people."""

    status: AgentStatus
    reason: str


def health_of(
    metrics: AgentMetrics | None,
    heartbeat_age: float,
    policy: HealthPolicy = DEFAULT_HEALTH,
) -> Health:
    """Return the health of an agent.

    Args:
        metrics: of its machine; a figure that was not measured counts as healthy.
        heartbeat_age: seconds since its last heartbeat.
        policy: the thresholds. A load counts if it reaches its threshold, and silence if it lasts
            longer than the time to live of a heartbeat.
    """
    if heartbeat_age > policy.heartbeat_ttl:
        silence = f"no heartbeat for more than {policy.heartbeat_ttl:g} s"
        return Health(AgentStatus.OFFLINE, silence)
    for status, threshold in (
        (AgentStatus.UNHEALTHY, policy.unhealthy),
        (AgentStatus.DEGRADED, policy.degraded),
    ):
        reasons = () if metrics is None else _loads_over(metrics, threshold, status)
        if reasons:
            return Health(status, ", ".join(reasons))
    return Health(AgentStatus.HEALTHY, "all loads are below their thresholds")


def with_stuck_slots(health: Health, agent: Agent) -> Health:
    """Return the health with stuck slots included: one makes it degraded, all make it unhealthy."""
    if not agent.stuck_slots:
        return health
    all_stuck = agent.stuck_slots >= agent.slots
    status = AgentStatus.UNHEALTHY if all_stuck else AgentStatus.DEGRADED
    if worse(status, health.status) is not status:
        return health
    first = agent.stuck[0]
    reason = (
        f"{agent.stuck_slots} of {agent.slots} slots are stuck: job {first.job_id!r} was stopped "
        f"({first.reason}) at {first.since:%Y-%m-%dT%H:%M:%SZ} but still runs"
    )
    return Health(status, reason)


def worse(first: AgentStatus, second: AgentStatus) -> AgentStatus:
    """Return the worse of two statuses out of healthy, degraded and unhealthy."""
    return max(first, second, key=_ORDER.index)


def _loads_over(
    metrics: AgentMetrics, threshold: LoadThreshold, status: AgentStatus
) -> tuple[str, ...]:
    found: list[str] = []
    for name, attribute in _LOADS:
        load, limit = getattr(metrics, attribute), getattr(threshold, attribute)
        if load is not None and load >= limit:
            found.append(f"{name} at {load:g} % ({status.value} from {limit:g} %)")
    return tuple(found)
