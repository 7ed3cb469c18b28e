"""Every change says when it was made, by whom and why: in the value, its history and its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from cicd_core.errors import IllegalTransition, LeaseLost
from cicd_core.lifecycle import agents, pools, sessions
from cicd_core.model.agent import AgentMetrics, AgentStatus, HealthPolicy
from cicd_core.model.deployment import DeploymentStatus
from cicd_core.model.pool import PoolSpec
from cicd_core.model.session import SessionSpec, hash_token
from tests.unit.lifecycle import agent_matrix, deployment_matrix, job_matrix

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)

#: How each command on an agent is told; a heartbeat is told by the agent itself.
OF_AGENTS = {
    "heartbeat, fine": ("agent.status_changed", "a-1", "all loads are below their thresholds"),
    "heartbeat, busy": ("agent.status_changed", "a-1", "cpu at 90 % (degraded from 85 %)"),
    "heartbeat, full": ("agent.status_changed", "a-1", "disk at 99 % (unhealthy from 95 %)"),
    "set healthy": ("agent.status_changed", "ann", "set by ann: a noisy fan"),
    "set degraded": ("agent.status_changed", "ann", "set by ann: a noisy fan"),
    "set unhealthy": ("agent.status_changed", "ann", "set by ann: a noisy fan"),
    "set offline": ("agent.status_changed", "ann", "set by ann: a noisy fan"),
    "drain": ("agent.draining", "ann", "maintenance"),
    "deregister": ("agent.terminated", "ann", "deregistered"),
    "mark offline": ("agent.offline", "maintenance", "no heartbeat for more than 30 s"),
}
#: How each command on a deployment is told: the reasons, step by step.
OF_DEPLOYMENTS = {
    ("begin_staging", DeploymentStatus.STAGING): ["staging began"],
    ("record_staging", DeploymentStatus.STAGED): ["staging succeeded"],
    ("record_staging", DeploymentStatus.FAILED): ["no staging today"],
    ("begin_production", DeploymentStatus.PRODUCTION): ["production began"],
    ("record_production", DeploymentStatus.LIVE): ["production succeeded"],
    ("record_production", DeploymentStatus.FAILED): ["no production today"],
    ("fail", DeploymentStatus.FAILED): ["called off"],
    ("roll_back", DeploymentStatus.ROLLED_BACK): ["errors went up"],
}


def is_legal(name: str, given: str) -> bool:
    try:
        job_matrix.COMMANDS[given].give(job_matrix.STANDING[name])
    except (IllegalTransition, LeaseLost):
        return False
    return True


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name in job_matrix.STANDING
        for given in job_matrix.COMMANDS
        if is_legal(name, given)
    ],
)
def test_what_changes_a_job_is_told_at_the_moment_of_the_command(name: str, given: str) -> None:
    before = job_matrix.STANDING[name]
    decision = job_matrix.COMMANDS[given].give(before)
    new = decision.value.history[len(before.history) :]
    assert {step.at for step in new} <= {job_matrix.LATER}
    assert {event.at for event in decision.events} <= {job_matrix.LATER}
    told = [event.data for event in decision.events if {"to", "reason"} <= event.data.keys()]
    assert [(each["from"], each["to"], each["actor"], each["reason"]) for each in told] == [
        (str(step.source), str(step.target), step.actor, step.reason) for step in new
    ]


@pytest.mark.parametrize(("status", "given"), agent_matrix.LEGAL)
def test_what_changes_an_agent_is_told_with_its_moment_its_author_and_its_reason(
    status: AgentStatus, given: str
) -> None:
    _command, give = agent_matrix.COMMANDS[given]
    before = agent_matrix.STANDING[status]
    decision = give(before)
    if not decision.changed:
        assert decision.events == ()
        return
    (event,) = decision.events
    assert event.at == agent_matrix.LATER
    if given == "register":
        return
    name, actor, reason = OF_AGENTS[given]
    after = decision.value
    left = (given, status) == ("mark offline", AgentStatus.TERMINATING)
    assert event.type == ("agent.terminated" if left else name)
    assert event.data == {
        "from": status.value,
        "to": after.status.value,
        "actor": actor,
        "reason": reason,
        "pool": "linux",
    }
    assert (after.status_reason, after.status_changed_at) == (reason, agent_matrix.LATER)


def test_an_agent_that_drains_itself_and_leaves_says_why() -> None:
    drained = agents.drain(agent_matrix.HEALTHY, now=LATER, actor="a-1", reason="SIGTERM")
    assert (drained.events[0].data["actor"], drained.events[0].data["reason"]) == ("a-1", "SIGTERM")
    gone = agents.deregister(drained.value, now=LATER, actor="a-1", reason="idle for an hour")
    assert (gone.value.status_reason, gone.events[0].data["reason"]) == (
        "idle for an hour",
        "idle for an hour",
    )


@pytest.mark.parametrize("status", [AgentStatus.HEALTHY, AgentStatus.TERMINATING])
def test_how_long_an_agent_was_silent_is_what_the_policy_says(status: AgentStatus) -> None:
    patient = HealthPolicy(heartbeat_ttl=90.0)
    full = evolve(agent_matrix.STANDING[status], metrics=AgentMetrics(disk_percent=99))
    decision = agents.mark_offline(full, now=LATER, actor="maintenance", policy=patient)
    assert decision.value.status_reason == "no heartbeat for more than 90 s"


@pytest.mark.parametrize(("standing", "command", "target"), deployment_matrix.LEGAL)
def test_what_changes_a_deployment_is_told_with_its_moment_its_author_and_its_reason(
    standing: str, command: str, target: DeploymentStatus | None
) -> None:
    before = deployment_matrix.STANDING[standing]
    decision = deployment_matrix.COMMANDS[command, target](before)
    assert {event.at for event in decision.events} == {deployment_matrix.LATER}
    if target is None:
        return
    reasons = OF_DEPLOYMENTS[command, target]
    if (command, standing) == ("record_staging", "pending"):
        reasons = ["staging began", *reasons]
    expected = [(deployment_matrix.LATER, "ann", reason) for reason in reasons]
    new = decision.value.history[len(before.history) :]
    assert [(step.at, step.actor, step.reason) for step in new] == expected
    told = [event.data for event in decision.events]
    assert [(each["actor"], each["reason"]) for each in told] == [
        (step.actor, step.reason) for step in new
    ]


def test_a_new_deployment_says_when_it_was_made_and_by_whom() -> None:
    (step,) = deployment_matrix.pending().history
    assert (step.at, step.actor, step.reason) == (deployment_matrix.NOON, "ci", "created")


def test_what_changes_a_pool_is_told_at_the_moment_of_the_command() -> None:
    first = pools.put(None, spec=PoolSpec(pool_name="linux"), now=NOON, actor="ann")
    second = pools.put(
        first.value, spec=PoolSpec(pool_name="linux", slots_per_agent=9), now=LATER, actor="bob"
    )
    assert [event.at for event in (*first.events, *second.events)] == [NOON, LATER]


def test_what_becomes_of_a_session_is_told_at_the_moment_of_the_command() -> None:
    spec = SessionSpec(user_id="ann", ttl_seconds=3600, idle_seconds=600)
    begun = sessions.create(spec, session_id=hash_token("x"), now=NOON)
    out = sessions.log_out(begun.value, now=LATER, actor="ann")
    over = sessions.expire(begun.value, now=LATER, idle_expires_at=NOON)
    moments = [event.at for decision in (begun, out, over) for event in decision.events]
    assert moments == [NOON, LATER, LATER]
