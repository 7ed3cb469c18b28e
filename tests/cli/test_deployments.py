"""Deployments: taken to production, and back, by the words that people use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.person import Person


def status_of(person: Person, deployment_id: str) -> str:
    found: dict[str, Any] = person.asks("deployments", "show", deployment_id)
    return str(found["status"])


@pytest.fixture
def deployment(person: Person) -> str:
    """The id of a pending deployment."""
    found: dict[str, Any] = person.asks("deployments", "create", "web", "1.2.3", "--id", "d1")
    return str(found["deployment_id"])


def test_every_option_arrives_in_the_deployment(person: Person) -> None:
    made = person.asks(
        *("deployments", "create", "web", "1.2.3", "--env", "eu", "--meta", "team=core"),
        *("--repo", "https://example.org/app.git", "--sha", "ab" * 20, "--build-job", "j1"),
        *("--test-job", "j2", "--deploy-job", "j3"),
    )
    expected = {
        "service_name": "web",
        "version": "1.2.3",
        "status": "pending",
        "environment": "eu",
        "metadata": {"team": "core"},
        "build_job_id": "j1",
        "test_job_id": "j2",
        "deploy_job_id": "j3",
        "created_by": "ada",
    }
    assert expected.items() <= made.items()
    assert made["git"]["commit_sha"] == "ab" * 20


def test_the_way_to_production_and_back(person: Person, deployment: str) -> None:
    for words, status in (
        (["stage", deployment, "--job", "j1"], "staging"),
        (["staged", deployment], "staged"),
        (["production", deployment, "--job", "j2"], "production"),
        (["live", deployment], "live"),
        (["rollback", deployment, "--reason", "slow", "--to", "1.2.2"], "rolled_back"),
    ):
        told = person.types("deployments", *words).out
        assert told == f"{deployment} {status}: web 1.2.3\n"
    found = person.asks("deployments", "show", deployment)
    assert (found["staging_job_id"], found["production_job_id"]) == ("j1", "j2")
    assert (found["rollback_target"], found["rollback_reason"]) == ("1.2.2", "slow")
    assert [each["target"] for each in found["history"]] == [
        *("pending", "staging", "staged", "production", "live", "rolled_back")
    ]


def test_a_stage_may_fail(person: Person, deployment: str) -> None:
    person.types("deployments", "stage", deployment)
    person.types("deployments", "staged", deployment, "--failed", "--error", "no disk")
    found = person.asks("deployments", "show", deployment)
    assert (found["status"], found["failed_stage"]) == ("failed", "staging")
    assert found["error_message"] == "no disk"


def test_production_may_fail(person: Person, deployment: str) -> None:
    for step in ("staged", "production"):
        person.types("deployments", step, deployment)
    person.types("deployments", "live", deployment, "--failed")
    assert status_of(person, deployment) == "failed"


def test_a_deployment_may_fail_before_it_begins(person: Person, deployment: str) -> None:
    person.types("deployments", "fail", deployment, "--error", "no review")
    assert status_of(person, deployment) == "failed"


def test_a_success_with_an_error_is_refused(person: Person, deployment: str) -> None:
    refused = person.types("deployments", "staged", deployment, "--error", "odd", "--json")
    assert (refused.code, refused.error["field"]) == (2, "error_message")


def test_figures_are_kept_once_there_is_traffic(person: Person, deployment: str) -> None:
    figures = ("--error-rate", "0.01", "--latency-ms", "120", "--rps", "33.5")
    assert person.types("deployments", "metrics", deployment, *figures).code == 4
    for step in ("staged", "production"):
        person.types("deployments", step, deployment)
    seen = person.asks("deployments", "metrics", deployment, *figures)["metrics"]
    assert (seen["error_rate"], seen["latency_ms"], seen["requests_per_second"]) == (
        0.01,
        120,
        33.5,
    )
    told = person.types("deployments", "show", deployment).out
    assert "1.00%" in told
    assert "33.5/s" in told


def test_figures_that_cannot_be_are_refused(person: Person, deployment: str) -> None:
    for figures in ([], ["--error-rate", "2"], ["--latency-ms", "nan"]):
        assert person.types("deployments", "metrics", deployment, *figures).code == 2


def test_the_same_id_again_is_refused(person: Person, deployment: str) -> None:
    refused = person.types("deployments", "create", "web", "2", "--id", deployment, "--json")
    assert (refused.code, refused.error["error"]) == (4, "AlreadyExists")


def test_deployments_are_listed_by_service_and_status(person: Person, deployment: str) -> None:
    person.types("deployments", "create", "api", "1")
    person.types("deployments", "fail", deployment, "--error", "no review")

    def services(*words: str) -> list[str]:
        return [each["service_name"] for each in person.asks("deployments", *words)["items"]]

    assert services() == services("list") == ["api", "web"]
    assert services("--service", "web") == ["web"]
    assert services("--status", "FAILED") == ["web"]
    assert services("--status", "rolled-back") == []
    assert services("--until", "1h") == []
    assert deployment in person.types("deployments").out
    assert person.types("deployments", "--status", "odd").code == 2


def test_metrics_without_a_value_are_refused_without_python(person: Person) -> None:
    person.types("deployments", "create", "web", "1", "--id", "d1")
    refused = person.types("deployments", "metrics", "d1")
    assert refused.err.startswith("error: metrics: give at least one of error_rate, ")
