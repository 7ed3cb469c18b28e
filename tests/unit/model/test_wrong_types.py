"""A field of a wrong type is refused by its name, in every value that callers make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve, fields

from cicd_core import (
    AgentMetrics,
    AgentSpec,
    CicdError,
    DeploymentMetrics,
    DeploymentSpec,
    GitContext,
    InvalidInput,
    JobSpec,
    Outcome,
    PoolSpec,
    RetryPolicy,
    Settings,
)
from cicd_core.model import agent, deployment, pool, spec
from tests.wrong_values import WRONG

if TYPE_CHECKING:
    from collections.abc import Callable


def as_it_is(value: Any) -> Any:
    """Return the value: it is checked where it is made."""
    return value


def kind_of(value: Any) -> Any:
    return value.__class__


def git(value: Any) -> Any:
    return spec.checked(JobSpec(job_type="build", git=value))


def retry(value: Any) -> Any:
    return spec.checked(JobSpec(job_type="build", retry=value))


#: What checks a value, and one that is right.
VALUES: list[tuple[Callable[[Any], Any], Any]] = [
    (spec.checked, JobSpec(job_type="build")),
    (git, GitContext(repo="/srv/shop.git")),
    (retry, RetryPolicy()),
    (deployment.checked, DeploymentSpec(service_name="shop", version="1")),
    (deployment.checked_metrics, DeploymentMetrics(error_rate=0.5, latency_ms=1.0)),
    (agent.checked, AgentSpec(agent_id="a-1")),
    (agent.checked_metrics, AgentMetrics(cpu_percent=1.0)),
    (pool.checked, PoolSpec(pool_name="default")),
    (as_it_is, Outcome.exited(0)),
    (as_it_is, Settings(lease_seconds=1.0, max_lease_seconds=1.0)),
]


@pytest.mark.parametrize(
    ("check", "right", "name"),
    [
        pytest.param(check, right, each.name, id=f"{type(right).__name__}.{each.name}")
        for check, right in VALUES
        for each in fields(kind_of(right))
    ],
)
def test_field_of_a_wrong_type_is_refused_by_its_name(
    check: Callable[[Any], Any], right: Any, name: str
) -> None:
    wrong: list[str] = []
    for value in WRONG:
        try:
            check(evolve(right, **{name: value}))
        except CicdError as refused:
            if isinstance(refused, InvalidInput) and name not in refused.field:
                wrong.append(f"{value!r:.40}: names {refused.field}")
        except Exception as error:  # noqa: BLE001 - each kind is a fault
            wrong.append(f"{value!r:.40}: {type(error).__name__}: {error}")
    assert wrong == []


@pytest.mark.parametrize(
    "check",
    [
        spec.checked,
        deployment.checked,
        deployment.checked_metrics,
        agent.checked,
        agent.checked_metrics,
        pool.checked,
    ],
)
def test_value_that_is_something_else_is_refused(check: Callable[[Any], Any]) -> None:
    for value in WRONG:
        with pytest.raises(InvalidInput):
            check(value)
