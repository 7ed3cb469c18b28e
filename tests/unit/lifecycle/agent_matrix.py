"""An agent in each status, and each command: what the tests of its state machine share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cicd_core.lifecycle import agents
from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, AgentStatus, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

S = AgentStatus
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
FIRST, SECOND = "1" * 32, "2" * 32
SPEC = checked(AgentSpec(agent_id="a-1", pool_name="linux", labels=("gpu",), slots=4))

FINE = AgentMetrics(cpu_percent=10, memory_percent=20, disk_percent=30)
BUSY = AgentMetrics(cpu_percent=90)
FULL = AgentMetrics(disk_percent=99)

STAYING = (S.REGISTERING, S.HEALTHY, S.DEGRADED, S.UNHEALTHY, S.OFFLINE)
HEALTH = {S.HEALTHY, S.DEGRADED, S.UNHEALTHY}

#: The state machine as the design draws it; the table in the library must say the same.
MACHINE: dict[AgentStatus, dict[str, set[AgentStatus]]] = {
    **{
        status: {
            "register": {S.REGISTERING},
            "heartbeat": HEALTH,
            "set_status": HEALTH | {S.OFFLINE},
            "drain": {S.TERMINATING},
            "deregister": {S.TERMINATED},
            "mark_offline": {S.OFFLINE},
        }
        for status in STAYING
    },
    S.TERMINATING: {
        "register": {S.REGISTERING},
        "heartbeat": {S.TERMINATING},
        "drain": {S.TERMINATING},
        "deregister": {S.TERMINATED},
        "mark_offline": {S.TERMINATED},
    },
    S.TERMINATED: {
        "register": {S.REGISTERING},
        "deregister": {S.TERMINATED},
        "mark_offline": {S.TERMINATED},
    },
}


def beat(agent: Agent, metrics: AgentMetrics | None = FINE, **more: Any) -> Decision[Agent]:
    return agents.heartbeat(agent, incarnation=FIRST, now=LATER, metrics=metrics, **more)


def set_to(agent: Agent, status: AgentStatus) -> Decision[Agent]:
    return agents.set_status(agent, status=status, now=LATER, actor="ann", reason="a noisy fan")


def drain(agent: Agent) -> Decision[Agent]:
    return agents.drain(agent, now=LATER, actor="ann", reason="maintenance")


def deregister(agent: Agent) -> Decision[Agent]:
    return agents.deregister(agent, now=LATER, actor="ann")


def mark_offline(agent: Agent) -> Decision[Agent]:
    return agents.mark_offline(agent, now=LATER, actor="maintenance")


def register(agent: Agent | None, incarnation: str = SECOND) -> Decision[Agent]:
    return agents.register(agent, spec=SPEC, incarnation=incarnation, now=LATER)


#: Each command, in each way that leads somewhere else.
COMMANDS: dict[str, tuple[str, Callable[[Agent], Decision[Agent]]]] = {
    "register": ("register", register),
    "heartbeat, fine": ("heartbeat", beat),
    "heartbeat, busy": ("heartbeat", lambda agent: beat(agent, BUSY)),
    "heartbeat, full": ("heartbeat", lambda agent: beat(agent, FULL)),
    "set healthy": ("set_status", lambda agent: set_to(agent, S.HEALTHY)),
    "set degraded": ("set_status", lambda agent: set_to(agent, S.DEGRADED)),
    "set unhealthy": ("set_status", lambda agent: set_to(agent, S.UNHEALTHY)),
    "set offline": ("set_status", lambda agent: set_to(agent, S.OFFLINE)),
    "drain": ("drain", drain),
    "deregister": ("deregister", deregister),
    "mark offline": ("mark_offline", mark_offline),
}
#: Every status with every command that is legal there.
LEGAL = [
    (status, given)
    for status, legal in MACHINE.items()
    for given, (command, _give) in COMMANDS.items()
    if command in legal
]

REGISTERING = agents.register(None, spec=SPEC, incarnation=FIRST, now=NOON).value
STANDING: dict[AgentStatus, Agent] = {
    S.REGISTERING: REGISTERING,
    S.HEALTHY: beat(REGISTERING).value,
    S.DEGRADED: beat(REGISTERING, BUSY).value,
    S.UNHEALTHY: beat(REGISTERING, FULL).value,
    S.OFFLINE: mark_offline(REGISTERING).value,
    S.TERMINATING: drain(REGISTERING).value,
    S.TERMINATED: deregister(REGISTERING).value,
}
HEALTHY = STANDING[S.HEALTHY]
