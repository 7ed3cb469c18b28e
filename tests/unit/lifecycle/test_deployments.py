"""What each command on a deployment keeps, tells and counts, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from cicd_core.errors import IllegalTransition, InvalidInput
from cicd_core.lifecycle import deployments
from cicd_core.lifecycle.deployment_steps import HISTORY_KEPT, WHY_KEPT, step
from cicd_core.model.checks import MAX_MESSAGE, json_bytes
from cicd_core.model.deployment import Deployment, DeploymentMetrics, DeploymentStatus
from tests.unit.lifecycle.deployment_matrix import (
    LATER,
    NOON,
    SPEC,
    STANDING,
    S,
    failed_in,
    live,
    new,
    pending,
    production,
    rolled_back,
    staged,
    staging,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision


def test_a_new_one_is_pending_and_keeps_what_was_asked_for() -> None:
    decision = new()
    value = decision.value
    assert (value.deployment_id, value.service_name, value.version) == (
        "d-1",
        "shop/cart",
        "1.4.2+b7",
    )
    assert (value.status, value.created_at, value.created_by) == (S.PENDING, NOON, "ci")
    (event,) = decision.events
    assert (event.type, event.at) == ("deployment.created", NOON)
    assert event.data == {
        "to": "pending",
        "actor": "ci",
        "reason": "created",
        "service_name": "shop/cart",
        "version": "1.4.2+b7",
        "environment": "eu-west",
    }


def test_an_id_that_is_no_name_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        deployments.create(SPEC, deployment_id="a b", now=NOON, actor="ci")
    assert refused.value.field == "deployment_id"


def test_an_event_of_a_deployment_without_environment_has_none() -> None:
    (event,) = deployments.create(SPEC, deployment_id="d", now=NOON, actor="ci").events
    assert "environment" not in event.data


def test_each_stage_keeps_when_it_was_and_which_job_did_it() -> None:
    value = staging()
    assert (value.staging_started_at, value.staging_job_id) == (NOON, "job-s")
    value = deployments.record_staging(value, succeeded=True, now=LATER, actor="ci").value
    assert (value.staged_at, value.staging_job_id) == (LATER, "job-s")
    value = deployments.begin_production(
        value, now=LATER, actor="ci", production_job_id="job-p"
    ).value
    assert (value.production_started_at, value.production_job_id) == (LATER, "job-p")
    value = deployments.record_production(value, succeeded=True, now=LATER, actor="ci").value
    assert value.live_at == LATER


def test_the_way_to_production_is_told_event_by_event() -> None:
    decisions = [
        new(),
        deployments.begin_staging(pending(), now=NOON, actor="ci", staging_job_id="job-s"),
        deployments.record_staging(staging(), succeeded=True, now=NOON, actor="ci"),
        deployments.begin_production(staged(), now=NOON, actor="ci", production_job_id="job-p"),
        deployments.record_production(production(), succeeded=True, now=NOON, actor="ci"),
        deployments.roll_back(live(), now=NOON, actor="ann", reason="slow", target="1.4.1"),
    ]
    assert [event.type for decision in decisions for event in decision.events] == [
        "deployment.created",
        "deployment.staging_started",
        "deployment.staged",
        "deployment.production_started",
        "deployment.live",
        "deployment.rolled_back",
    ]
    jobs = [event.data.get("job_id") for decision in decisions for event in decision.events]
    assert jobs == [None, "job-s", None, "job-p", None, None]
    last = decisions[-1].events[0].data
    assert (last["from"], last["to"], last["actor"]) == ("live", "rolled_back", "ann")
    assert (last["reason"], last["target"]) == ("slow", "1.4.1")


def test_creations_and_ends_are_counted_in_their_quarter_of_an_hour() -> None:
    names = [
        [increment.name for increment in decision.increments]
        for decision in (
            new(),
            deployments.begin_staging(pending(), now=NOON, actor="ci"),
            deployments.record_staging(staging(), succeeded=True, now=NOON, actor="ci"),
            deployments.begin_production(staged(), now=NOON, actor="ci"),
            deployments.record_production(production(), succeeded=True, now=NOON, actor="ci"),
            deployments.fail(production(), now=NOON, actor="ci", error_message="no"),
            deployments.roll_back(live(), now=LATER, actor="ci", reason="no"),
        )
    ]
    assert names == [
        ["deployments/20261121|1200|created"],
        [],
        [],
        [],
        ["deployments/20261121|1200|live"],
        ["deployments/20261121|1200|failed"],
        ["deployments/20261121|1230|rolled_back"],
    ]


@pytest.mark.parametrize(
    ("succeeded", "end", "event", "counted"),
    [
        (True, S.STAGED, "deployment.staged", []),
        (False, S.FAILED, "deployment.failed", ["deployments/20261121|1200|failed"]),
    ],
)
def test_recording_staging_of_a_pending_one_passes_through_staging(
    succeeded: bool, end: DeploymentStatus, event: str, counted: list[str]
) -> None:
    decision = deployments.record_staging(
        pending(), succeeded=succeeded, now=NOON, actor="ci", staging_job_id="job-s"
    )
    value = decision.value
    steps = [(each.source, each.target) for each in value.history[1:]]
    assert steps == [(S.PENDING, S.STAGING), (S.STAGING, end)]
    assert [each.type for each in decision.events] == ["deployment.staging_started", event]
    assert [each.data["from"] for each in decision.events] == ["pending", "staging"]
    assert [increment.name for increment in decision.increments] == counted
    assert (value.staging_started_at, value.staging_job_id) == (NOON, "job-s")


def test_the_job_that_reports_staging_may_be_another_than_the_one_that_began_it() -> None:
    value = deployments.record_staging(
        staging(), succeeded=True, now=NOON, actor="ci", staging_job_id="job-2"
    ).value
    assert value.staging_job_id == "job-2"


def test_another_job_is_no_repetition() -> None:
    with pytest.raises(IllegalTransition):
        deployments.begin_staging(staging(), now=NOON, actor="ci", staging_job_id="job-2")
    with pytest.raises(IllegalTransition):
        deployments.record_staging(
            staged(), succeeded=True, now=NOON, actor="ci", staging_job_id="job-2"
        )
    with pytest.raises(IllegalTransition):
        deployments.begin_production(production(), now=NOON, actor="ci", production_job_id="job-2")


def test_another_result_is_no_repetition() -> None:
    with pytest.raises(IllegalTransition):
        deployments.record_staging(staged(), succeeded=False, now=NOON, actor="ci")
    with pytest.raises(IllegalTransition):
        deployments.record_staging(failed_in(staging), succeeded=True, now=NOON, actor="ci")
    with pytest.raises(IllegalTransition):
        deployments.record_production(live(), succeeded=False, now=NOON, actor="ci")
    with pytest.raises(IllegalTransition):
        deployments.fail(failed_in(staging), now=NOON, actor="ci", error_message="another")
    with pytest.raises(IllegalTransition):
        deployments.roll_back(rolled_back(), now=NOON, actor="ci", reason="another")


def test_production_needs_a_staged_deployment_and_the_error_says_so() -> None:
    with pytest.raises(IllegalTransition, match="production needs a staged deployment"):
        deployments.begin_production(staging(), now=NOON, actor="ci")


def test_what_is_live_is_rolled_back_and_does_not_fail() -> None:
    with pytest.raises(IllegalTransition, match="roll back a live deployment instead"):
        deployments.fail(live(), now=NOON, actor="ci", error_message="too late")


@pytest.mark.parametrize(
    ("before", "stage"),
    [(pending, S.PENDING), (staging, S.STAGING), (staged, S.STAGED), (production, S.PRODUCTION)],
)
def test_a_failure_keeps_its_stage_its_time_and_its_error(
    before: Callable[[], Deployment], stage: DeploymentStatus
) -> None:
    decision = deployments.fail(before(), now=LATER, actor="ann", error_message="broke")
    value = decision.value
    assert (value.failed_stage, value.failed_at, value.error_message) == (stage, LATER, "broke")
    assert decision.events[0].data["stage"] == stage.value


def test_a_failure_that_nobody_explains_is_explained_by_its_stage() -> None:
    value = deployments.record_staging(staging(), succeeded=False, now=NOON, actor="ci").value
    assert value.error_message == "staging failed"
    value = deployments.record_production(production(), succeeded=False, now=NOON, actor="ci").value
    assert value.error_message == "production failed"


@pytest.mark.parametrize(
    ("said", "kept"), [("", None), (" \n", None), ("a\0b", "a?b"), ("caf\udce9", "caf?")]
)
def test_a_failure_is_recorded_whatever_its_error_holds(said: str, kept: str | None) -> None:
    in_staging = deployments.record_staging(
        staging(), succeeded=False, now=NOON, actor="ci", error_message=said
    )
    in_production = deployments.record_production(
        production(), succeeded=False, now=NOON, actor="ci", error_message=said
    )
    given_up = deployments.fail(staged(), now=NOON, actor="ci", error_message=said)
    assert in_staging.value.error_message == (kept or "staging failed")
    assert in_production.value.error_message == (kept or "production failed")
    assert given_up.value.error_message == (kept or "failed")
    again = deployments.record_staging(
        in_staging.value, succeeded=False, now=LATER, actor="ci", error_message=said
    )
    assert not again.changed


@pytest.mark.parametrize("said", ["", "\n"])
def test_an_empty_error_is_none_of_a_success(said: str) -> None:
    decision = deployments.record_staging(
        staging(), succeeded=True, now=NOON, actor="ci", error_message=said
    )
    assert decision.value.status is DeploymentStatus.STAGED


@pytest.mark.parametrize("reason", ["a\0b", "caf\udce9"])
def test_a_roll_back_never_fails_for_the_characters_of_its_reason(reason: str) -> None:
    decision = deployments.roll_back(live(), now=NOON, actor="ann", reason=reason)
    assert "?" in str(decision.value.rollback_reason)


def test_of_a_long_error_the_end_is_kept_and_less_of_it_in_the_history_and_the_event() -> None:
    decision = deployments.fail(
        staging(), now=NOON, actor="ci", error_message="x" * 2 * MAX_MESSAGE + "the cause"
    )
    message = decision.value.error_message or ""
    assert json_bytes(message) == MAX_MESSAGE
    reason = decision.value.history[-1].reason
    assert json_bytes(reason) == WHY_KEPT
    assert decision.events[0].data["reason"] == reason
    assert message.endswith("the cause")
    assert reason.endswith("the cause")


def test_what_never_entered_production_is_not_rolled_back() -> None:
    for value in (pending(), staged(), failed_in(staging)):
        with pytest.raises(IllegalTransition, match="never in production"):
            deployments.roll_back(value, now=NOON, actor="ci", reason="no")


def test_a_rollback_keeps_its_reason_and_its_target() -> None:
    value = deployments.roll_back(
        failed_in(production), now=LATER, actor="ann", reason="broke", target="1.4.1"
    ).value
    assert (value.rollback_reason, value.rollback_target) == ("broke", "1.4.1")
    assert (value.rolled_back_at, value.history[-1].actor) == (LATER, "ann")


def test_a_rollback_needs_no_target() -> None:
    decision = deployments.roll_back(live(), now=NOON, actor="ann", reason="broke")
    assert decision.value.rollback_target is None
    assert "target" not in decision.events[0].data


def test_a_deployment_is_not_rolled_back_to_itself() -> None:
    with pytest.raises(InvalidInput) as refused:
        deployments.roll_back(live(), now=NOON, actor="ann", reason="broke", target="d-1")
    assert refused.value.field == "target"


@pytest.mark.parametrize("standing", ["production", "live"])
def test_metrics_are_kept_and_told_but_are_no_step_of_the_history(standing: str) -> None:
    before = STANDING[standing]
    given = DeploymentMetrics(error_rate=0.0, latency_ms=12, requests_per_second=900.5)
    decision = deployments.record_metrics(before, metrics=given, now=LATER)
    assert decision.value.metrics == evolve(given, recorded_at=LATER)
    assert decision.value.history == before.history
    (event,) = decision.events
    assert event.type == "deployment.metrics"
    assert (event.data["error_rate"], event.data["latency_ms"]) == (0.0, 12)
    assert event.data["requests_per_second"] == 900.5
    assert decision.increments == ()


def test_new_metrics_replace_the_last_ones() -> None:
    first = deployments.record_metrics(
        live(), metrics=DeploymentMetrics(error_rate=0.5), now=NOON
    ).value
    second = deployments.record_metrics(first, metrics=DeploymentMetrics(latency_ms=3), now=LATER)
    assert second.value.metrics == DeploymentMetrics(latency_ms=3, recorded_at=LATER)
    assert "error_rate" not in second.events[0].data


def test_late_metrics_do_not_replace_newer_ones() -> None:
    newer = DeploymentMetrics(error_rate=0.01, recorded_at=LATER)
    first = deployments.record_metrics(live(), metrics=newer, now=LATER).value
    late = DeploymentMetrics(error_rate=0.9, recorded_at=NOON)
    decision = deployments.record_metrics(first, metrics=late, now=LATER)
    assert (decision.changed, decision.value.metrics) == (False, newer)


def test_metrics_from_a_clock_that_is_ahead_count_as_measured_now() -> None:
    ahead = DeploymentMetrics(error_rate=0.9, recorded_at=LATER + timedelta(days=3650))
    first = deployments.record_metrics(live(), metrics=ahead, now=NOON).value
    assert first.metrics == evolve(ahead, recorded_at=NOON)
    next_one = DeploymentMetrics(error_rate=0.1, recorded_at=LATER)
    second = deployments.record_metrics(first, metrics=next_one, now=LATER).value
    assert second.metrics == next_one


def test_metrics_replace_the_last_ones_after_the_calendar_was_set_back() -> None:
    known = DeploymentMetrics(error_rate=0.9)
    first = deployments.record_metrics(live(), metrics=known, now=LATER).value
    second = deployments.record_metrics(first, metrics=DeploymentMetrics(error_rate=0.1), now=NOON)
    assert second.value.metrics == DeploymentMetrics(error_rate=0.1, recorded_at=NOON)


def test_the_same_figures_measured_anew_are_no_repetition() -> None:
    given = DeploymentMetrics(error_rate=0.5, recorded_at=NOON)
    first = deployments.record_metrics(live(), metrics=given, now=LATER).value
    assert first.metrics == given
    assert not deployments.record_metrics(first, metrics=given, now=LATER).changed
    fresh = deployments.record_metrics(first, metrics=evolve(given, recorded_at=LATER), now=LATER)
    assert fresh.value.metrics == evolve(given, recorded_at=LATER)


@pytest.mark.parametrize(
    ("field", "give"),
    [
        ("actor", lambda: deployments.create(SPEC, deployment_id="d", now=NOON, actor="")),
        ("actor", lambda: deployments.begin_staging(pending(), now=NOON, actor="")),
        (
            "actor",
            lambda: deployments.record_staging(staging(), succeeded=True, now=NOON, actor=""),
        ),
        ("actor", lambda: deployments.begin_production(staged(), now=NOON, actor="")),
        (
            "actor",
            lambda: deployments.record_production(production(), succeeded=True, now=NOON, actor=""),
        ),
        ("actor", lambda: deployments.fail(staging(), now=NOON, actor="", error_message="x")),
        ("actor", lambda: deployments.roll_back(live(), now=NOON, actor="", reason="x")),
        (
            "staging_job_id",
            lambda: deployments.begin_staging(
                pending(), now=NOON, actor="ci", staging_job_id="a b"
            ),
        ),
        (
            "staging_job_id",
            lambda: deployments.record_staging(
                pending(), succeeded=True, now=NOON, actor="ci", staging_job_id="a b"
            ),
        ),
        (
            "production_job_id",
            lambda: deployments.begin_production(
                staged(), now=NOON, actor="ci", production_job_id="a b"
            ),
        ),
        (
            "error_message",
            lambda: deployments.record_staging(
                staging(), succeeded=True, now=NOON, actor="ci", error_message="but"
            ),
        ),
        ("reason", lambda: deployments.roll_back(live(), now=NOON, actor="ci", reason="")),
        (
            "target",
            lambda: deployments.roll_back(live(), now=NOON, actor="ci", reason="x", target=""),
        ),
        (
            "metrics.error_rate",
            lambda: deployments.record_metrics(
                live(), metrics=DeploymentMetrics(error_rate=1.5), now=NOON
            ),
        ),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(
    field: str, give: Callable[[], Decision[Deployment]]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        give()
    assert refused.value.field == field


def test_only_the_newest_transitions_are_carried_along() -> None:
    value = live()
    for number in range(HISTORY_KEPT):
        value = step(value, S.LIVE, now=NOON, actor="ci", reason=f"turn {number}").value
    assert len(value.history) == HISTORY_KEPT
    assert [each.reason for each in value.history[:: HISTORY_KEPT - 1]] == ["turn 0", "turn 99"]
