"""An agent's health: its metrics, the age of its heartbeat, the thresholds."""

from __future__ import annotations

import pytest

from cicd_core.lifecycle.health import health_of, worse
from cicd_core.model.agent import AgentMetrics, AgentStatus, HealthPolicy, LoadThreshold

S = AgentStatus


@pytest.mark.parametrize("metrics", [None, AgentMetrics(), AgentMetrics(cpu_percent=84.9)])
def test_without_a_load_over_a_threshold_it_is_healthy(metrics: AgentMetrics | None) -> None:
    assert health_of(metrics, 0.0).status is S.HEALTHY


@pytest.mark.parametrize(
    ("metrics", "status", "reason"),
    [
        (AgentMetrics(cpu_percent=85), S.DEGRADED, "cpu at 85 % (degraded from 85 %)"),
        (AgentMetrics(memory_percent=85), S.DEGRADED, "memory at 85 % (degraded from 85 %)"),
        (AgentMetrics(disk_percent=85), S.DEGRADED, "disk at 85 % (degraded from 85 %)"),
        (AgentMetrics(cpu_percent=96.9), S.DEGRADED, "cpu at 96.9 % (degraded from 85 %)"),
        (AgentMetrics(cpu_percent=97), S.UNHEALTHY, "cpu at 97 % (unhealthy from 97 %)"),
        (AgentMetrics(memory_percent=97), S.UNHEALTHY, "memory at 97 % (unhealthy from 97 %)"),
        (AgentMetrics(disk_percent=95), S.UNHEALTHY, "disk at 95 % (unhealthy from 95 %)"),
    ],
)
def test_a_load_counts_from_its_threshold_on(
    metrics: AgentMetrics, status: AgentStatus, reason: str
) -> None:
    health = health_of(metrics, 0.0)
    assert (health.status, health.reason) == (status, reason)


def test_the_worst_load_decides_and_every_one_as_bad_is_named() -> None:
    health = health_of(AgentMetrics(cpu_percent=99, memory_percent=90, disk_percent=100), 0.0)
    assert health.status is S.UNHEALTHY
    assert health.reason == "cpu at 99 % (unhealthy from 97 %), disk at 100 % (unhealthy from 95 %)"


def test_silence_for_longer_than_the_time_to_live_is_offline_whatever_the_load_was() -> None:
    assert health_of(None, 30.0).status is S.HEALTHY
    health = health_of(AgentMetrics(cpu_percent=99), 30.001)
    assert (health.status, health.reason) == (S.OFFLINE, "no heartbeat for more than 30 s")


def test_the_thresholds_are_those_of_the_policy() -> None:
    policy = HealthPolicy(
        degraded=LoadThreshold(cpu_percent=10, memory_percent=20, disk_percent=30),
        unhealthy=LoadThreshold(cpu_percent=101, memory_percent=101, disk_percent=101),
        heartbeat_ttl=5,
    )
    assert health_of(AgentMetrics(memory_percent=19.9), 0.0, policy).status is S.HEALTHY
    assert health_of(AgentMetrics(cpu_percent=100), 0.0, policy).status is S.DEGRADED
    assert health_of(None, 5.1, policy).reason == "no heartbeat for more than 5 s"


@pytest.mark.parametrize(
    ("first", "second", "worst"),
    [
        (S.HEALTHY, S.HEALTHY, S.HEALTHY),
        (S.HEALTHY, S.DEGRADED, S.DEGRADED),
        (S.UNHEALTHY, S.DEGRADED, S.UNHEALTHY),
    ],
)
def test_the_worse_of_two(first: AgentStatus, second: AgentStatus, worst: AgentStatus) -> None:
    assert worse(first, second) is worst
    assert worse(second, first) is worst
