"""What a deployment may be made of, and what it derives."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    checked,
    checked_metrics,
)
from cicd_core.model.git import GitContext

S = DeploymentStatus
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = DeploymentSpec(service_name="shop/cart", version="1.4.2")


def test_a_spec_that_is_right_comes_back_with_its_metadata_sorted() -> None:
    spec = DeploymentSpec(
        service_name="shop/cart",
        version="1.4.2+b7",
        environment="eu-west",
        git=GitContext(repo="https://example.org/shop.git", ref="main"),
        build_job_id="job-1",
        test_job_id="job-2",
        deploy_job_id="job-3",
        metadata={"b": "2", "a": "1"},
    )
    kept = checked(spec)
    assert kept == spec
    assert list(kept.metadata) == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service_name", "shop cart"),
        ("version", ""),
        ("environment", "eu west"),
        ("build_job_id", ""),
        ("test_job_id", "a b"),
        ("deploy_job_id", "a b"),
        ("metadata", ["a"]),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **{field: value}))
    assert refused.value.field == field


def test_a_wrong_git_context_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, git=GitContext(repo="nul\0")))
    assert refused.value.field == "git.repo"


@pytest.mark.parametrize(
    "metrics",
    [
        DeploymentMetrics(error_rate=0),
        DeploymentMetrics(error_rate=1.0),
        DeploymentMetrics(latency_ms=0.25, requests_per_second=1e6),
    ],
)
def test_figures_in_their_ranges_are_taken(metrics: DeploymentMetrics) -> None:
    assert checked_metrics(metrics) == metrics


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("error_rate", -0.01),
        ("error_rate", 1.01),
        ("error_rate", math.nan),
        ("latency_ms", -1),
        ("latency_ms", math.inf),
        ("requests_per_second", -1),
        ("requests_per_second", "many"),
    ],
)
def test_a_figure_out_of_its_range_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_metrics(DeploymentMetrics(**{field: value}))
    assert refused.value.field == f"metrics.{field}"


def test_metrics_without_a_figure_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one of error_rate, latency_ms"):
        checked_metrics(DeploymentMetrics(recorded_at=NOON))


def test_the_moment_of_a_measurement_is_kept_in_utc_and_needs_a_time_zone() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    kept = checked_metrics(DeploymentMetrics(error_rate=0, recorded_at=east))
    assert kept.recorded_at == NOON
    assert kept.recorded_at.tzinfo is UTC
    with pytest.raises(InvalidInput) as refused:
        checked_metrics(DeploymentMetrics(error_rate=0, recorded_at=NOON.replace(tzinfo=None)))
    assert refused.value.field == "metrics.recorded_at"


@pytest.mark.parametrize(
    ("status", "production_started_at", "final"),
    [
        (S.PENDING, None, False),
        (S.STAGING, None, False),
        (S.STAGED, None, False),
        (S.PRODUCTION, NOON, False),
        (S.LIVE, NOON, False),
        (S.FAILED, None, True),
        (S.FAILED, NOON, False),
        (S.ROLLED_BACK, NOON, True),
    ],
)
def test_only_a_failure_before_production_and_a_rollback_are_final(
    status: DeploymentStatus, production_started_at: datetime | None, final: bool
) -> None:
    deployment = Deployment(
        deployment_id="d",
        service_name="s",
        version="1",
        status=status,
        created_at=NOON,
        created_by="ci",
        production_started_at=production_started_at,
    )
    assert deployment.is_final is final
    assert deployment.entered_production is (production_started_at is not None)


def test_metadata_and_git_context_are_within_256_kib_together() -> None:
    spec = DeploymentSpec(
        service_name="shop",
        version="1",
        metadata={f"{number:04d}": "\x1b" * 1000 for number in range(40)},
        git=GitContext(repo="/srv/shop.git"),
    )
    assert checked(spec).metadata == spec.metadata
    with pytest.raises(TooLarge) as refused:
        checked(evolve(spec, git=GitContext(repo="/srv/shop.git", commit_message="\x1b" * 8000)))
    assert refused.value.field == "metadata"
