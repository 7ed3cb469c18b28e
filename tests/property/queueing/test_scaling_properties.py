"""The size of a pool stays in its bounds and follows the work."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from fractions import Fraction

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.model.agent import AgentStatus
from cicd_core.model.pool import Pool
from cicd_core.queueing.scaling import (
    Fleet,
    Load,
    PoolHealth,
    ScalingTerm,
    pool_health,
    scaling_signal,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COUNTS = st.integers(min_value=0, max_value=50)
CAPACITY = (AgentStatus.REGISTERING, AgentStatus.HEALTHY, AgentStatus.DEGRADED)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    least, most = sorted((draw(COUNTS), draw(COUNTS)))
    return Pool(
        pool_name="p",
        created_at=NOW,
        updated_at=NOW,
        min_agents=least,
        max_agents=most,
        target_agents=draw(st.none() | st.integers(min_value=least, max_value=most)),
        warm_agents=draw(st.integers(min_value=0, max_value=most)),
        slots_per_agent=draw(st.integers(min_value=1, max_value=8)),
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    statuses: list[AgentStatus] = [each for each in AgentStatus if each != AgentStatus.TERMINATED]
    by_status: dict[AgentStatus, int] = draw(
        st.dictionaries(st.sampled_from(statuses), st.integers(min_value=1, max_value=20))
    )
    capacity = sum(by_status.get(status, 0) for status in CAPACITY)
    slots = draw(st.integers(min_value=capacity, max_value=8 * capacity))
    return Fleet(by_status=by_status, slots=slots)


LOADS = st.builds(Load, ready=COUNTS, leased=COUNTS, delayed=COUNTS)


@given(pools(), fleets(), LOADS)
def test_the_size_is_always_within_the_bounds(pool: Pool, fleet: Fleet, load: Load) -> None:
    result = scaling_signal(pool, fleet, load, as_of=NOW)
    assert pool.min_agents <= result.desired <= pool.max_agents
    assert result.desired == result.current + result.change


@given(pools(), fleets(), LOADS, COUNTS, COUNTS)
def test_more_work_never_calls_for_fewer_agents(
    pool: Pool, fleet: Fleet, load: Load, more_ready: int, more_leased: int
) -> None:
    more = Load(ready=load.ready + more_ready, leased=load.leased + more_leased)
    less_size = scaling_signal(pool, fleet, load, as_of=NOW).desired
    assert less_size <= scaling_signal(pool, fleet, more, as_of=NOW).desired


@given(pools(), fleets(), LOADS)
def test_within_the_bounds_the_size_is_the_stated_formula(
    pool: Pool, fleet: Fleet, load: Load
) -> None:
    free = evolve(pool, min_agents=0, max_agents=10**6, target_agents=None)
    result = scaling_signal(free, fleet, load, as_of=NOW)
    slots = Fraction(fleet.slots, fleet.capacity) if fleet.capacity else free.slots_per_agent
    assert result.desired == math.ceil((load.ready + load.leased) / slots) + free.warm_agents


@given(pools(), fleets(), LOADS)
def test_the_term_is_the_one_that_decided(pool: Pool, fleet: Fleet, load: Load) -> None:
    result = scaling_signal(pool, fleet, load, as_of=NOW)
    match result.term:
        case ScalingTerm.MAXIMUM:
            assert result.desired == pool.max_agents
        case ScalingTerm.MINIMUM:
            assert result.desired == pool.min_agents
        case ScalingTerm.TARGET:
            assert result.desired == pool.target_agents
        case ScalingTerm.WARM:
            assert result.desired == pool.warm_agents
        case ScalingTerm.DEMAND:
            assert result.desired > pool.warm_agents
            assert load.ready + load.leased > 0


@given(pools(), fleets(), LOADS, st.sampled_from(AgentStatus), st.integers(1, 50))
def test_agents_that_take_no_work_change_neither_number(
    pool: Pool, fleet: Fleet, load: Load, status: AgentStatus, number: int
) -> None:
    if status in CAPACITY:
        return
    more = evolve(fleet, by_status={**fleet.by_status, status: number})
    one, other = (scaling_signal(pool, each, load, as_of=NOW) for each in (fleet, more))
    assert (one.desired, one.current) == (other.desired, other.current)


@given(pools(), fleets())
def test_only_a_pool_with_enough_healthy_agents_is_healthy(pool: Pool, fleet: Fleet) -> None:
    condition = pool_health(pool, fleet)
    healthy = fleet.by_status.get(AgentStatus.HEALTHY, 0)
    assert (condition.health is PoolHealth.EMPTY) == (fleet.total == 0)
    if condition.health is PoolHealth.HEALTHY:
        assert healthy == fleet.serving >= max(1, pool.min_agents)
    if condition.health is PoolHealth.UNHEALTHY:
        assert fleet.capacity == 0
    assert condition.reason
