"""Enums by their texts, and lists where tuples stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import (
    AgentSpec,
    Delivery,
    GitContext,
    InvalidInput,
    JobSpec,
    JobStatus,
    ObjectFilter,
    Outcome,
    Priority,
    RetryPolicy,
    Submodules,
    Verdict,
)
from cicd_core.model.choices import check_choice, text_of
from cicd_core.model.git import check_git
from cicd_core.model.spec import checked

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("kind", [Priority, Delivery, Verdict, JobStatus, ObjectFilter])
def test_every_member_is_taken_by_itself_by_its_text_and_by_its_name(kind: Any) -> None:
    for member in kind:
        for given in (member, text_of(member), member.name):
            assert check_choice("field", given, kind) is member


def test_a_member_of_another_enum_with_the_same_text_is_taken() -> None:
    assert check_choice("status", Verdict.FAILED, JobStatus) is JobStatus.FAILED


@pytest.mark.parametrize("value", ["urgent", "High", "", 1, True, None, [], Delivery.AT_MOST_ONCE])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="give one of critical, high, normal, low") as refused:
        check_choice("priority", value, Priority)
    assert refused.value.field == "priority"


def test_a_member_that_is_not_legal_here_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'success' was refused: give one of failed, error"):
        check_choice("verdict", Verdict.SUCCESS, Verdict, (Verdict.FAILED, Verdict.ERROR))


def test_a_refusal_shows_no_enum_as_python_writes_it() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_choice("priority", Delivery.AT_MOST_ONCE, Priority)
    assert str(refused.value) == (
        "priority: 'at_most_once' was refused: give one of critical, high, normal, low"
    )


def test_a_spec_takes_texts_and_lists() -> None:
    given = JobSpec(
        job_type="build",
        priority="high",
        delivery="at_most_once",
        labels=["linux", "gpu"],
        tags={"nightly"},
        retry=RetryPolicy(retry_on=["failed", Verdict.ERROR]),
        git=GitContext(
            repo="https://example.org/a.git",
            filter="blob:none",
            submodules="shallow",
            sparse_paths=["web"],
        ),
    )
    assert given == JobSpec(
        job_type="build",
        priority=Priority.HIGH,
        delivery=Delivery.AT_MOST_ONCE,
        labels=("linux", "gpu"),
        tags=("nightly",),
        retry=RetryPolicy(retry_on=(Verdict.FAILED, Verdict.ERROR)),
        git=GitContext(
            repo="https://example.org/a.git",
            filter=ObjectFilter.BLOBS,
            submodules=Submodules.SHALLOW,
            sparse_paths=("web",),
        ),
    )
    assert checked(given).labels == ("gpu", "linux")


def test_a_generator_of_labels_is_read_once() -> None:
    spec = JobSpec(job_type="build", labels=(name for name in ("b", "a")))
    assert checked(spec).labels == checked(spec).labels == ("a", "b")


def test_an_agent_and_an_outcome_take_them_too() -> None:
    assert AgentSpec(agent_id="a", labels=["x"], job_types=["b"]).job_types == ("b",)
    assert AgentSpec(agent_id="a", labels=["x"]).labels == ("x",)
    assert Outcome(verdict="failed", exit_code=2) == Outcome.exited(2)


@pytest.mark.parametrize(
    ("field", "check"),
    [
        ("labels", lambda: checked(JobSpec(job_type="b", labels="linux"))),
        ("labels", lambda: checked(JobSpec(job_type="b", labels=5))),  # type: ignore[arg-type]  # the mistake
        ("retry.retry_on", lambda: checked(JobSpec(job_type="b", retry=policy("failed")))),
        ("retry.retry_on", lambda: checked(JobSpec(job_type="b", retry=policy(["success"])))),
        ("retry.retry_on", lambda: checked(JobSpec(job_type="b", retry=policy([5])))),
        ("git.filter", lambda: check_git(GitContext(repo="https://a/b", filter="blobs"))),
        ("verdict", lambda: Outcome(verdict="good")),
    ],
)
def test_what_is_no_choice_and_no_list_is_refused_by_its_field(
    field: str, check: Callable[[], object]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check()
    assert refused.value.field == field


def policy(verdicts: Any) -> RetryPolicy:
    return RetryPolicy(retry_on=verdicts)
