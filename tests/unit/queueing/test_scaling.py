"""How many agents a pool should have, and how well it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.pool import Pool
from cicd_core.queueing.scaling import (
    Fleet,
    Load,
    PoolHealth,
    ScalingSignal,
    ScalingTerm,
    fleet_of,
    load_of,
    pool_health,
    scaling_signal,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
S = AgentStatus


def pool(**changes: Any) -> Pool:
    facts: dict[str, Any] = {"pool_name": "default", "created_at": NOW, "updated_at": NOW}
    return Pool(**facts | changes)


def agent(status: AgentStatus, slots: int = 2) -> Agent:
    return Agent(
        agent_id=f"{status}-{slots}",
        pool_name="default",
        status=status,
        incarnation="0" * 32,
        created_at=NOW,
        registered_at=NOW,
        slots=slots,
    )


def fleet(*statuses: AgentStatus) -> Fleet:
    return fleet_of(agent(status) for status in statuses)


def signal(of: Pool, agents: Fleet, *, ready: int, leased: int, delayed: int = 0) -> ScalingSignal:
    load = Load(ready=ready, leased=leased, delayed=delayed)
    return scaling_signal(of, agents, load, as_of=NOW)


def test_the_size_is_what_the_work_needs_plus_the_warm_ones() -> None:
    result = signal(pool(warm_agents=1), fleet(S.HEALTHY, S.HEALTHY), ready=12, leased=3)
    assert (result.desired, result.current, result.change) == (9, 2, 7)
    assert result.term is ScalingTerm.DEMAND
    assert result.reason == "12 ready + 3 leased over 2 slots an agent = 8, plus 1 warm"
    assert (result.pool_name, result.as_of, result.slots_per_agent) == ("default", NOW, 2.0)


def test_a_pool_does_not_grow_over_its_maximum() -> None:
    result = signal(pool(max_agents=5, warm_agents=1), fleet(S.HEALTHY), ready=12, leased=3)
    assert (result.desired, result.term) == (5, ScalingTerm.MAXIMUM)
    assert result.reason == (
        "12 ready + 3 leased over 2 slots an agent = 8, plus 1 warm, capped by max_agents 5"
    )


def test_a_pool_does_not_shrink_below_its_minimum() -> None:
    result = signal(pool(min_agents=2), fleet(S.HEALTHY), ready=0, leased=1)
    assert (result.desired, result.term) == (2, ScalingTerm.MINIMUM)
    assert result.reason == "0 ready + 1 leased over 2 slots an agent = 1, raised to min_agents 2"


@pytest.mark.parametrize("bounds", [{"min_agents": 3}, {"max_agents": 3}])
def test_a_bound_that_is_just_met_does_not_decide(bounds: dict[str, int]) -> None:
    result = scaling_signal(pool(**bounds), fleet(S.HEALTHY), Load(ready=6, leased=0), as_of=NOW)
    assert (result.desired, result.term) == (3, ScalingTerm.DEMAND)
    assert result.reason == "6 ready + 0 leased over 2 slots an agent = 3"


def test_without_work_only_the_warm_agents_stay() -> None:
    result = signal(pool(warm_agents=3), fleet(*[S.HEALTHY] * 5), ready=0, leased=0)
    assert (result.desired, result.change, result.term) == (3, -2, ScalingTerm.WARM)


def test_a_target_stands_in_for_what_the_work_calls_for() -> None:
    result = signal(pool(target_agents=4, warm_agents=1), fleet(S.HEALTHY), ready=1, leased=0)
    assert (result.desired, result.term) == (4, ScalingTerm.TARGET)
    assert result.reason == (
        "target_agents is set to 4 "
        "(the work needs 1 ready + 0 leased over 2 slots an agent = 1, plus 1 warm)"
    )


def test_an_empty_pool_reckons_with_the_slots_of_its_setting() -> None:
    result = signal(pool(slots_per_agent=4), fleet(), ready=9, leased=0)
    assert (result.desired, result.current, result.slots_per_agent) == (3, 0, 4)


def test_agents_of_different_sizes_count_with_their_average() -> None:
    agents = fleet_of([agent(S.HEALTHY, 1), agent(S.DEGRADED, 2)])
    result = signal(pool(), agents, ready=3, leased=1)
    assert (result.desired, result.slots_per_agent) == (3, 1.5)
    assert result.reason == "3 ready + 1 leased over 1.5 slots an agent = 3"


def test_a_single_slot_is_said_in_the_singular() -> None:
    assert "over 1 slot an agent" in signal(pool(), fleet(), ready=1, leased=0).reason


@pytest.mark.parametrize("status", [S.UNHEALTHY, S.OFFLINE, S.TERMINATING, S.TERMINATED])
def test_agents_that_take_no_work_are_no_capacity(status: AgentStatus) -> None:
    result = signal(pool(), fleet(S.HEALTHY, status), ready=0, leased=0)
    assert result.current == 1
    assert result.slots_per_agent == 2
    gone = status is S.TERMINATED
    assert ("agents without capacity" in result.reason) is not gone


@pytest.mark.parametrize("status", [S.HEALTHY, S.DEGRADED, S.REGISTERING])
def test_agents_that_take_work_or_are_about_to_are_capacity(status: AgentStatus) -> None:
    result = signal(pool(), fleet(status, S.OFFLINE), ready=0, leased=0, delayed=7)
    assert result.current == 1
    assert result.reason.endswith("; agents without capacity: 1 offline; 7 delayed not counted")


def test_delayed_jobs_call_for_no_agents() -> None:
    result = signal(pool(), fleet(S.HEALTHY), ready=0, leased=0, delayed=100)
    assert result.desired == 0
    assert result.load.delayed == 100


@pytest.mark.parametrize(
    ("minimum", "statuses", "health", "reason"),
    [
        (0, [], PoolHealth.EMPTY, "it has no agents"),
        (0, [S.TERMINATED], PoolHealth.EMPTY, "it has no agents"),
        (
            0,
            [S.OFFLINE, S.UNHEALTHY, S.TERMINATING, S.OFFLINE],
            PoolHealth.UNHEALTHY,
            "none of its agents takes work: 1 unhealthy, 2 offline, 1 terminating",
        ),
        (
            2,
            [S.HEALTHY, S.REGISTERING],
            PoolHealth.DEGRADED,
            "fewer agents take work than min_agents 2: 1 registering, 1 healthy",
        ),
        (
            1,
            [S.HEALTHY, S.OFFLINE],
            PoolHealth.DEGRADED,
            "not all of its agents are healthy: 1 healthy, 1 offline",
        ),
        (
            0,
            [S.REGISTERING],
            PoolHealth.DEGRADED,
            "not all of its agents are healthy: 1 registering",
        ),
        (2, [S.HEALTHY, S.HEALTHY], PoolHealth.HEALTHY, "2 healthy"),
        (1, [S.HEALTHY, S.TERMINATING], PoolHealth.HEALTHY, "1 healthy, 1 terminating"),
    ],
)
def test_a_pool_is_as_well_as_its_agents(
    minimum: int, statuses: list[AgentStatus], health: PoolHealth, reason: str
) -> None:
    condition = pool_health(pool(min_agents=minimum), fleet(*statuses))
    assert (condition.health, condition.reason) == (health, reason)


def test_an_agent_that_is_gone_hides_none_of_those_behind_it() -> None:
    behind = fleet(S.TERMINATED, S.HEALTHY, S.TERMINATED, S.OFFLINE)
    assert (behind.total, behind.capacity, behind.slots) == (2, 1, 2)


def test_agents_that_can_t_be_read_count_by_their_status_and_are_named() -> None:
    unreadable = {S.HEALTHY: ["lost"], S.OFFLINE: ["off"]}
    found = fleet_of([agent(S.HEALTHY)], unreadable=unreadable, slots_per_agent=3)
    assert found.by_status == {S.HEALTHY: 2, S.OFFLINE: 1}
    assert found.slots == 2 + 3
    assert found.unreadable == ("lost", "off")
    condition = pool_health(pool(min_agents=1), found)
    assert condition.health is PoolHealth.DEGRADED
    assert "2 of the agents cannot be read" in condition.reason


def load(
    agents: list[Agent], held: dict[str, int] | None, unreadable: dict[S, list[str]] | None = None
) -> Load:
    return load_of(
        ready=5,
        leased=4,
        delayed=1,
        by_lane={"default|build|gpu": 3, "default|build|": 2},
        held=held,
        agents=agents,
        unreadable=unreadable or {},
        slots=2,
    )


def test_work_that_no_agent_can_run_and_jobs_that_others_hold_are_told_apart() -> None:
    found = load([agent(S.HEALTHY), agent(S.TERMINATING)], {"healthy-2": 1, "terminating-2": 3})
    assert (found.unmatched, found.elsewhere) == (3, 3)


def test_an_agent_that_can_t_be_read_may_run_and_hold_anything() -> None:
    found = load([agent(S.HEALTHY)], {"healthy-2": 1, "lost": 2}, {S.HEALTHY: ["lost"]})
    assert (found.unmatched, found.elsewhere) == (0, 1)


def test_jobs_that_were_not_counted_to_the_end_fill_the_capacity() -> None:
    assert load([agent(S.HEALTHY)], None).elsewhere == 2
