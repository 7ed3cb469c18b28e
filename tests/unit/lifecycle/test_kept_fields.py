"""Every field of a spec is kept, and what one command sets no other forgets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve, fields

from cicd_core.errors import IllegalTransition
from cicd_core.lifecycle import agents, deployment_steps, deployments, job_steps
from cicd_core.model.agent import AgentSpec, HealthPolicy, checked
from cicd_core.model.checks import MAX_MESSAGE
from cicd_core.model.deployment import DeploymentSpec
from cicd_core.model.deployment import checked as checked_deployment
from cicd_core.model.git import GitContext
from tests.unit.lifecycle.agent_matrix import FIRST, HEALTHY, LATER, NOON, REGISTERING, S, beat
from tests.unit.lifecycle.deployment_matrix import (
    failed_in,
    live,
    pending,
    production,
    staged,
    staging,
)


def test_an_agent_keeps_every_field_of_its_spec() -> None:
    spec = checked(
        AgentSpec(
            agent_id="a-9",
            pool_name="arm",
            labels=("gpu", "linux"),
            job_types=("build", "test"),
            slots=3,
            hostname="node-9.example",
            version="1.2.3",
            metadata={"rack": "7"},
        )
    )
    decision = agents.register(None, spec=spec, incarnation=FIRST, now=NOON)
    for each in fields(AgentSpec):
        assert getattr(decision.value, each.name) == getattr(spec, each.name), each.name
    (event,) = decision.events
    assert event.at == NOON


def test_a_deployment_keeps_every_field_of_its_spec() -> None:
    spec = checked_deployment(
        DeploymentSpec(
            service_name="shop/cart",
            version="1.4.2",
            environment="eu-west",
            git=GitContext(repo="/srv/shop.git"),
            build_job_id="job-b",
            test_job_id="job-t",
            deploy_job_id="job-d",
            metadata={"team": "shop"},
        )
    )
    value = deployments.create(spec, deployment_id="d-9", now=NOON, actor="ci").value
    for each in fields(DeploymentSpec):
        assert getattr(value, each.name) == getattr(spec, each.name), each.name
    assert (value.deployment_id, value.created_at, value.created_by) == ("d-9", NOON, "ci")


def test_a_heartbeat_that_changes_the_health_is_kept_too() -> None:
    value = beat(REGISTERING).value
    assert (value.status, value.heartbeat_at) == (S.HEALTHY, LATER)


def test_the_first_heartbeat_that_changes_nothing_is_kept_in_the_value() -> None:
    value = beat(evolve(HEALTHY, heartbeat_at=NOON)).value
    assert value.heartbeat_at == LATER


@pytest.mark.parametrize("running", [0, 1024])
def test_an_agent_may_run_nothing_or_all_that_any_agent_may(running: int) -> None:
    assert beat(HEALTHY, running=running).value.running == running


def test_a_heartbeat_is_never_silence_however_short_the_time_to_live() -> None:
    strict = HealthPolicy(heartbeat_ttl=0.5)
    assert beat(HEALTHY, policy=strict).value.status is S.HEALTHY


def test_of_a_long_reason_as_much_is_kept_as_of_an_error() -> None:
    long = "x" * 2 * MAX_MESSAGE + "the cause"
    rolled_back = deployments.roll_back(live(), now=NOON, actor="ann", reason=long).value
    unstaged = deployments.record_staging(
        staging(), succeeded=False, now=NOON, actor="ci", error_message=long
    ).value
    for kept in (rolled_back.rollback_reason, unstaged.error_message):
        assert kept is not None
        assert len(kept.encode()) == MAX_MESSAGE
        assert kept.endswith("the cause")


def test_512_bytes_of_a_reason_stand_in_the_history() -> None:
    assert (job_steps.WHY_KEPT, deployment_steps.WHY_KEPT) == (512, 512)


def test_a_failure_somewhere_else_with_the_same_words_is_no_repetition() -> None:
    in_production = failed_in(production)
    with pytest.raises(IllegalTransition):
        deployments.record_staging(
            in_production, succeeded=False, now=NOON, actor="ci", error_message="broke"
        )
    rolled_back = deployments.roll_back(in_production, now=NOON, actor="ci", reason="broke").value
    with pytest.raises(IllegalTransition):
        deployments.record_production(
            rolled_back, succeeded=False, now=NOON, actor="ci", error_message="broke"
        )


def test_a_stage_without_a_job_tells_of_none() -> None:
    decisions = [
        deployments.begin_staging(pending(), now=NOON, actor="ci"),
        deployments.record_staging(pending(), succeeded=True, now=NOON, actor="ci"),
        deployments.begin_production(staged(), now=NOON, actor="ci"),
    ]
    told = [event.data for decision in decisions for event in decision.events]
    assert all("job_id" not in data for data in told)


def test_a_step_without_a_reason_has_none() -> None:
    moved = deployment_steps.step(
        live(), live().status, now=NOON + timedelta(seconds=1), actor="ci", reason=""
    )
    assert moved.value.history[-1].reason == ""
