"""What an agent may be, its metrics, and the policy that judges them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.agent import (
    MAX_SLOTS,
    Agent,
    AgentMetrics,
    AgentSpec,
    AgentStatus,
    HealthPolicy,
    LoadThreshold,
    checked,
    checked_metrics,
    checked_policy,
)
from cicd_core.queueing.lanes import MAX_LANES

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = AgentSpec(agent_id="a-1")


def test_a_spec_comes_back_with_its_names_sorted_and_once() -> None:
    kept = checked(
        evolve(
            SPEC,
            labels=("linux", "gpu", "linux"),
            job_types=("test", "build"),
            slots=MAX_SLOTS,
            hostname="host 1",
            version="0.1.0",
            metadata={"b": "2", "a": "1"},
        )
    )
    assert kept.labels == ("gpu", "linux")
    assert kept.job_types == ("build", "test")
    assert list(kept.metadata) == ["a", "b"]
    assert (kept.slots, kept.hostname, kept.version) == (MAX_SLOTS, "host 1", "0.1.0")


def test_an_agent_takes_any_type_of_job_unless_it_says_otherwise() -> None:
    assert checked(SPEC).job_types is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agent_id", "a 1"),
        ("pool_name", ""),
        ("job_types", ()),
        ("slots", 0),
        ("slots", MAX_SLOTS + 1),
        ("slots", True),
        ("hostname", ""),
        ("version", ""),
        ("metadata", None),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **{field: value}))
    assert refused.value.field == field


def test_a_wrong_name_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, labels=("gpu", "no label")))
    assert refused.value.field == "labels[1]"


@pytest.mark.parametrize(
    "metrics",
    [AgentMetrics(), AgentMetrics(cpu_percent=0, memory_percent=100.0, disk_percent=50)],
)
def test_metrics_are_percent_or_left_out(metrics: AgentMetrics) -> None:
    assert checked_metrics(metrics) is metrics


@pytest.mark.parametrize("field", ["cpu_percent", "memory_percent", "disk_percent"])
@pytest.mark.parametrize("value", [-1, 100.1, math.nan, "high"])
def test_a_metric_that_is_no_percentage_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_metrics(AgentMetrics(**{field: value}))
    assert refused.value.field == f"metrics.{field}"


def test_the_policy_has_the_thresholds_that_the_design_states() -> None:
    policy = checked_policy(HealthPolicy())
    assert policy.degraded == LoadThreshold(cpu_percent=85, memory_percent=85, disk_percent=85)
    assert policy.unhealthy == LoadThreshold(cpu_percent=97, memory_percent=97, disk_percent=95)
    assert policy.heartbeat_ttl == 30.0


@pytest.mark.parametrize(
    ("field", "policy"),
    [
        ("heartbeat_ttl", HealthPolicy(heartbeat_ttl=0)),
        ("heartbeat_ttl", HealthPolicy(heartbeat_ttl=math.inf)),
        (
            "unhealthy.disk_percent",
            HealthPolicy(unhealthy=evolve(HealthPolicy().unhealthy, disk_percent=-1)),
        ),
        (
            "degraded.cpu_percent",
            HealthPolicy(degraded=evolve(HealthPolicy().degraded, cpu_percent=98)),
        ),
        (
            "degraded.memory_percent",
            HealthPolicy(degraded=evolve(HealthPolicy().degraded, memory_percent=math.nan)),
        ),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused_by_its_field(
    field: str, policy: HealthPolicy
) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_policy(policy)
    assert refused.value.field == field


def agent(status: AgentStatus, forced: AgentStatus | None = None) -> Agent:
    return Agent(
        agent_id="a",
        pool_name="p",
        status=status,
        incarnation="1" * 32,
        created_at=NOON,
        registered_at=NOON,
        forced_status=forced,
    )


def test_only_healthy_and_degraded_agents_take_work() -> None:
    assert {status for status in AgentStatus if agent(status).takes_work} == {
        AgentStatus.HEALTHY,
        AgentStatus.DEGRADED,
    }


def test_a_status_was_set_by_an_operator_while_it_is_forced() -> None:
    assert not agent(AgentStatus.DEGRADED).set_by_operator
    assert agent(AgentStatus.UNHEALTHY, AgentStatus.DEGRADED).set_by_operator


def test_an_agent_may_have_as_many_job_types_as_a_pool_has_lanes() -> None:
    types = tuple(f"type-{number:03}" for number in range(MAX_LANES))
    assert checked(evolve(SPEC, job_types=types)).job_types == types
    with pytest.raises(TooLarge, match="257 names is over the limit of 256 names") as refused:
        checked(evolve(SPEC, job_types=(*types, "one-more")))
    assert refused.value.field == "job_types"
