"""What heartbeats, operators and silence make of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.errors import AgentReplaced, IllegalTransition, InvalidInput
from cicd_core.lifecycle import agents
from cicd_core.model.agent import Agent, AgentMetrics, AgentStatus, HealthPolicy
from tests.unit.lifecycle.agent_matrix import (
    BUSY,
    COMMANDS,
    FINE,
    FIRST,
    FULL,
    HEALTHY,
    LATER,
    NOON,
    REGISTERING,
    SECOND,
    SPEC,
    STANDING,
    S,
    beat,
    drain,
    mark_offline,
    register,
    set_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision


def test_a_new_agent_registers_and_is_what_its_spec_says() -> None:
    decision = agents.register(None, spec=SPEC, incarnation=FIRST, now=NOON)
    agent = decision.value
    assert (agent.agent_id, agent.pool_name, agent.labels, agent.slots) == (
        "a-1",
        "linux",
        ("gpu",),
        4,
    )
    assert (agent.status, agent.incarnation) == (S.REGISTERING, FIRST)
    assert (agent.created_at, agent.registered_at) == (NOON, NOON)
    (event,) = decision.events
    assert (event.type, event.data) == ("agent.registered", {"to": "registering", "pool": "linux"})


@pytest.mark.parametrize("status", S)
def test_a_new_incarnation_starts_anew_but_keeps_the_moment_of_the_first_registration(
    status: AgentStatus,
) -> None:
    decision = register(STANDING[status])
    assert decision.value == evolve(REGISTERING, incarnation=SECOND, registered_at=LATER)
    assert decision.value.created_at == NOON
    assert decision.events[0].data["from"] == status.value


def test_an_agent_may_register_with_another_spec() -> None:
    moved = evolve(SPEC, pool_name="arm", slots=1)
    decision = agents.register(HEALTHY, spec=moved, incarnation=FIRST, now=LATER)
    assert decision.changed
    assert (decision.value.pool_name, decision.value.slots) == ("arm", 1)


@pytest.mark.parametrize("status", S)
def test_the_same_registration_again_changes_nothing_whatever_happened_since(
    status: AgentStatus,
) -> None:
    decision = register(STANDING[status], FIRST)
    assert not decision.changed
    assert decision.value is STANDING[status]


def test_no_event_tells_the_incarnation_since_it_owns_the_lease() -> None:
    decisions = [give(REGISTERING) for _command, give in COMMANDS.values()]
    told = repr([event.data for decision in decisions for event in decision.events])
    assert FIRST not in told
    assert SECOND not in told


@pytest.mark.parametrize(
    ("metrics", "status", "reason"),
    [
        (FINE, S.HEALTHY, "all loads are below their thresholds"),
        (BUSY, S.DEGRADED, "cpu at 90 % (degraded from 85 %)"),
        (FULL, S.UNHEALTHY, "disk at 99 % (unhealthy from 95 %)"),
    ],
)
def test_a_heartbeat_that_changes_the_health_tells_why(
    metrics: AgentMetrics, status: AgentStatus, reason: str
) -> None:
    decision = beat(REGISTERING, metrics)
    assert (decision.value.status, decision.value.status_reason) == (status, reason)
    (event,) = decision.events
    assert event.type == "agent.status_changed"
    assert event.data == {
        "from": "registering",
        "to": status.value,
        "actor": "a-1",
        "reason": reason,
        "pool": "linux",
    }


def test_a_heartbeat_that_changes_no_health_is_not_worth_a_commit() -> None:
    loads = AgentMetrics(cpu_percent=50)
    decision = beat(HEALTHY, loads, running=3)
    assert not decision.changed
    assert decision.events == ()
    assert (decision.value.metrics, decision.value.running) == (loads, 3)
    assert decision.value.heartbeat_at == LATER


def test_a_heartbeat_without_metrics_is_judged_by_the_last_ones() -> None:
    degraded = STANDING[S.DEGRADED]
    decision = beat(degraded, None)
    assert not decision.changed
    assert decision.value.metrics == BUSY


def test_a_heartbeat_brings_an_offline_agent_back() -> None:
    decision = beat(STANDING[S.OFFLINE])
    assert (decision.changed, decision.value.status) == (True, S.HEALTHY)


def test_a_heartbeat_does_not_end_a_drain() -> None:
    decision = beat(STANDING[S.TERMINATING], running=2)
    assert not decision.changed
    assert (decision.value.status, decision.value.running) == (S.TERMINATING, 2)


def test_the_thresholds_are_those_of_the_policy() -> None:
    strict = HealthPolicy(degraded=evolve(HealthPolicy().degraded, cpu_percent=5))
    assert beat(HEALTHY, FINE, policy=strict).value.status is S.DEGRADED


@pytest.mark.parametrize("command", ["heartbeat", "drain", "deregister"])
def test_a_process_that_was_replaced_is_told_to_stop(command: str) -> None:
    replaced = {
        "heartbeat": lambda: agents.heartbeat(HEALTHY, incarnation=SECOND, now=LATER),
        "drain": lambda: agents.drain(
            HEALTHY, now=LATER, actor="a-1", reason="SIGTERM", incarnation=SECOND
        ),
        "deregister": lambda: agents.deregister(
            HEALTHY, now=LATER, actor="a-1", incarnation=SECOND
        ),
    }
    with pytest.raises(AgentReplaced, match="stop this one") as refused:
        replaced[command]()
    assert (refused.value.agent_id, refused.value.incarnation) == ("a-1", SECOND)


def test_work_is_given_to_whoever_is_well_enough_and_stays() -> None:
    may = {status for status in S if evolve(HEALTHY, status=status).may_claim}
    assert may == {S.REGISTERING, S.HEALTHY, S.DEGRADED, S.OFFLINE}
    counts = {status for status in S if evolve(HEALTHY, status=status).takes_work}
    assert counts == {S.HEALTHY, S.DEGRADED}


def test_a_process_may_drain_and_deregister_itself() -> None:
    drained = agents.drain(HEALTHY, now=LATER, actor="a-1", reason="SIGTERM", incarnation=FIRST)
    assert drained.value.drain_reason == "SIGTERM"
    gone = agents.deregister(drained.value, now=LATER, actor="a-1", incarnation=FIRST)
    assert gone.value.status is S.TERMINATED


def test_an_operator_says_how_an_agent_is() -> None:
    decision = set_to(HEALTHY, S.DEGRADED)
    agent = decision.value
    assert (agent.status, agent.set_by_operator) == (S.DEGRADED, True)
    assert agent.status_reason == "set by ann: a noisy fan"
    assert decision.events[0].data["actor"] == "ann"


def test_heartbeats_make_it_worse_than_the_operator_said_and_never_better() -> None:
    forced = set_to(HEALTHY, S.DEGRADED).value
    fine = beat(forced)
    assert (fine.changed, fine.value.status) == (False, S.DEGRADED)
    full = beat(forced, FULL).value
    assert full.status is S.UNHEALTHY
    relieved = beat(full).value
    assert relieved.status is S.DEGRADED
    assert relieved.status_reason == "an operator set it to degraded"


def test_the_operator_may_say_what_the_metrics_say_already_and_it_stays() -> None:
    decision = set_to(STANDING[S.DEGRADED], S.DEGRADED)
    assert decision.changed
    assert beat(decision.value).value.status is S.DEGRADED


def test_what_an_operator_forced_outlives_silence_and_a_restart() -> None:
    forced = set_to(HEALTHY, S.UNHEALTHY).value
    assert beat(mark_offline(forced).value).value.status is S.UNHEALTHY
    again = register(forced).value
    assert again.set_by_operator
    beaten = agents.heartbeat(again, incarnation=SECOND, now=LATER, metrics=FINE).value
    assert beaten.status is S.UNHEALTHY


@pytest.mark.parametrize("word", [S.HEALTHY, S.OFFLINE])
def test_the_operator_takes_it_back(word: AgentStatus) -> None:
    freed = set_to(set_to(HEALTHY, S.UNHEALTHY).value, word).value
    assert (freed.status, freed.set_by_operator) == (word, False)
    assert beat(freed).value.status is S.HEALTHY
    assert beat(freed, BUSY).value.status is S.DEGRADED


@pytest.mark.parametrize("status", [S.REGISTERING, S.TERMINATING, S.TERMINATED])
def test_a_status_that_another_command_reaches_cannot_be_set(status: AgentStatus) -> None:
    with pytest.raises(
        IllegalTransition, match=f"{status} is not one of degraded, healthy"
    ) as refused:
        set_to(HEALTHY, status)
    assert {"drain", "deregister"} <= set(refused.value.legal)


def test_an_unknown_status_is_refused() -> None:
    unknown: Any = "asleep"
    with pytest.raises(InvalidInput) as refused:
        set_to(HEALTHY, unknown)
    assert refused.value.field == "status"


def test_the_first_drain_and_its_reason_stand() -> None:
    first = drain(HEALTHY)
    assert first.events[0].type == "agent.draining"
    second = agents.drain(first.value, now=LATER, actor="a-1", reason="SIGTERM")
    assert not second.changed
    assert second.value.drain_reason == "maintenance"


def test_a_silent_agent_is_offline_and_the_event_says_for_how_long_nobody_heard_it() -> None:
    decision = mark_offline(HEALTHY)
    (event,) = decision.events
    assert (event.type, event.data["reason"]) == (
        "agent.offline",
        "no heartbeat for more than 30 s",
    )
    assert decision.value.status_reason == "no heartbeat for more than 30 s"


def test_an_agent_that_falls_silent_while_it_drains_has_left() -> None:
    decision = mark_offline(STANDING[S.TERMINATING])
    assert decision.value.status is S.TERMINATED
    assert decision.events[0].type == "agent.terminated"


@pytest.mark.parametrize(
    ("field", "give"),
    [
        ("metrics.cpu_percent", lambda: beat(HEALTHY, AgentMetrics(cpu_percent=101))),
        ("running", lambda: beat(HEALTHY, FINE, running=-1)),
        (
            "actor",
            lambda: agents.set_status(HEALTHY, status=S.OFFLINE, now=NOON, actor="", reason="x"),
        ),
        (
            "reason",
            lambda: agents.set_status(HEALTHY, status=S.OFFLINE, now=NOON, actor="ann", reason=""),
        ),
        ("actor", lambda: agents.drain(HEALTHY, now=NOON, actor="", reason="x")),
        ("reason", lambda: agents.drain(HEALTHY, now=NOON, actor="ann", reason="")),
        ("actor", lambda: agents.deregister(HEALTHY, now=NOON, actor="")),
        ("reason", lambda: agents.deregister(HEALTHY, now=NOON, actor="ann", reason="")),
        ("actor", lambda: agents.mark_offline(HEALTHY, now=NOON, actor="")),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(
    field: str, give: Callable[[], Decision[Agent]]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        give()
    assert refused.value.field == field
