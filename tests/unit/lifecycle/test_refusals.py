"""What a refusal says, word for word: a person reads it, and must know what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import IllegalTransition, InvalidInput, LeaseLost
from cicd_core.lifecycle import deployments, jobs, leases, tracked_runs
from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.deployment import DeploymentMetrics
from cicd_core.model.instants import to_micros
from cicd_core.model.job import Job, Progress
from tests.unit.lifecycle import agent_matrix, deployment_matrix, job_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

A, D, J = agent_matrix, deployment_matrix, job_matrix
NOON = J.NOON
FENCE = to_micros(J.CLAIMED_AT)

COMMANDS = {
    edge.command for table in (AGENT_TABLE, DEPLOYMENT_TABLE, JOB_TABLE) for edge in table.edges
}
#: A command, and why it is refused; "" where the state says it all.
REFUSALS: dict[str, tuple[Callable[[], object], str]] = {
    "an agent is set to what another command reaches": (
        lambda: A.set_to(A.HEALTHY, A.S.TERMINATED),
        "terminated is not one of degraded, healthy, offline, unhealthy",
    ),
    "a deployment is staged twice": (
        lambda: deployments.begin_staging(D.live(), now=NOON, actor="ci"),
        "",
    ),
    "production without staging": (
        lambda: deployments.begin_production(D.staging(), now=NOON, actor="ci"),
        "production needs a staged deployment",
    ),
    "a failure of what is live": (
        lambda: deployments.fail(D.live(), now=NOON, actor="ci", error_message="too late"),
        "roll back a live deployment instead",
    ),
    "a failure of what is over": (
        lambda: deployments.fail(D.rolled_back(), now=NOON, actor="ci", error_message="too late"),
        "",
    ),
    "a rollback of what was never in production": (
        lambda: deployments.roll_back(D.staged(), now=NOON, actor="ci", reason="no"),
        "it was never in production",
    ),
    "metrics of what has no traffic": (
        lambda: deployments.record_metrics(
            D.staged(), metrics=DeploymentMetrics(error_rate=0.5), now=NOON
        ),
        "only production and live have traffic",
    ),
    "a job is enqueued twice": (lambda: jobs.submit(J.claimed(), now=NOON, actor="ann"), ""),
    "a verdict before the start": (
        lambda: leases.complete(J.claimed(), J.token_of(J.claimed()), J.SUCCESS, now=NOON),
        "it needs an acknowledged start",
    ),
    "a cancel that nobody requested": (
        lambda: J.end(J.running(), J.CANCELLED),
        "no cancel was requested; release it instead",
    ),
    "a lease that was never given": (
        lambda: leases.expire_lease(J.tracked(), now=NOON),
        "it has no lease",
    ),
    "a record of what an agent runs": (
        lambda: tracked_runs.record_execution(J.running(), J.SUCCESS, now=NOON, actor="jenkins"),
        "an agent holds it and reports its progress",
    ),
    "a timeout of what never started": (
        lambda: tracked_runs.record_execution(J.created(), J.TIMEOUT, now=NOON, actor="jenkins"),
        "timeout cannot be recorded before a start",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_command_says_which_it_was_where_and_why(case: str) -> None:
    give, reason = REFUSALS[case]
    with pytest.raises(IllegalTransition) as refused:
        give()
    error = refused.value
    assert error.command in COMMANDS
    because = f" ({reason})" if reason else ""
    beginning = (
        f"{error.kind} {error.key!r} is {error.state}: {error.command!r} is not legal in that state"
    )
    assert str(error).startswith(f"{beginning}{because}; legal from {error.state}: ")
    assert error.key in {"a-1", "d-1", "j-1"}
    assert error.command not in error.legal


UNKNOWN: Any = "nonsense"
NUMBER: Any = 5
WRONG: dict[str, tuple[Callable[[], object], object, str]] = {
    "no status": (
        lambda: A.set_to(A.HEALTHY, UNKNOWN),
        "nonsense",
        "give one of registering, healthy, degraded, unhealthy, offline, terminating, terminated",
    ),
    "no priority": (
        lambda: jobs.reprioritise(J.queued(), UNKNOWN, now=NOON, actor="bob"),
        "nonsense",
        "give one of critical, high, normal, low",
    ),
    "a rollback to itself": (
        lambda: deployments.roll_back(
            D.live(), now=NOON, actor="ann", reason="broke", target="d-1"
        ),
        "d-1",
        "give another deployment than the one rolled back",
    ),
    "a success with an error": (
        lambda: deployments.record_staging(
            D.staging(), succeeded=True, now=NOON, actor="ci", error_message="but"
        ),
        "but",
        "a success has no error message",
    ),
    "an end before the start": (
        lambda: tracked_runs.record_execution(
            J.created(),
            J.SUCCESS,
            now=NOON,
            actor="jenkins",
            started_at=J.LATER,
            completed_at=NOON,
        ),
        NOON,
        f"give a moment after started_at, {J.LATER.isoformat()}",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_shown_with_what_to_give_instead(case: str) -> None:
    give, value, reason = WRONG[case]
    with pytest.raises(InvalidInput) as refused:
        give()
    assert (refused.value.value, refused.value.reason) == (value, reason)


LOST: dict[str, tuple[Callable[[], Job], str]] = {
    "another holds it": (J.running, f"agent 'a-1' holds the job now, with fence {FENCE}"),
    "nobody holds it": (J.tracked, "it is a tracked run, which no agent holds"),
    "it waits": (J.queued, "the job is queued now"),
    "it has ended": (lambda: J.end(J.running(), J.SUCCESS), "the job is success now"),
}


@pytest.mark.parametrize("case", LOST)
def test_whoever_holds_nothing_is_told_what_became_of_the_job(case: str) -> None:
    make, reason = LOST[case]
    with pytest.raises(LeaseLost) as refused:
        leases.release(make(), J.STRANGER, now=NOON, reason="drained")
    assert refused.value.reason == reason


def test_what_work_says_of_itself_must_be_a_text() -> None:
    job, number = J.running(), Progress(at=NOON, message=NUMBER)
    with pytest.raises(InvalidInput) as refused:
        leases.report_progress(job, J.token_of(job), number, now=NOON)
    assert refused.value.field == "message"
