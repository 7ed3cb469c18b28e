"""The audit of executions finds each kind of contradiction between lines and records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, evolve

from cicd_core import ControlPlane, JobSpec, Outcome, Settings
from cicd_core.model.job import Delivery, JobState, RetryPolicy, Verdict
from tests.http.lab.execution_audit import (
    Execution,
    audit_executions,
    check_enqueues,
    check_execution,
)
from tests.http.lab.witness import Line

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core.model.job import Job

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

POLICY = RetryPolicy(retry_on=("failed", "error"), backoff_base=0.0, max_attempts=3)
FAILED = Outcome(verdict=Verdict.FAILED, exit_code=3)


@pytest.fixture
async def plane() -> AsyncGenerator[ControlPlane]:
    async with ControlPlane.open("memory://", settings=Settings(sweep_seconds=0.05)) as opened:
        yield opened


@define
class Story:
    """A job that failed once and then succeeded, and the lines that it wrote."""

    plane: ControlPlane
    job: Job
    lines: list[Line]

    async def seen(self) -> Execution:
        events = (await self.plane.events.read(limit=1000)).events
        return Execution(
            self.job, [each for each in events if each.subject[0] == "jobs"], self.lines
        )


async def told(plane: ControlPlane, *outcomes: Outcome | None) -> Story:
    """Run a job with these outcomes; None: the agent gives it back unused."""
    job = await plane.queue.enqueue(JobSpec(job_type="shell", retry=POLICY, idempotency_key="k"))
    lines: list[Line] = []
    for attempt, outcome in enumerate(outcomes, 1):
        (claimed,) = await plane.queue.claim(agent_id="a", start=True, wait=60)
        fence = claimed.token.fence
        if outcome is None:
            job = await plane.queue.release(claimed, reason="no room", began=False)
        else:
            lines += [
                line(job, attempt, fence, what, code)
                for what, code in (("begin", None), ("step", None), ("end", outcome.exit_code))
            ]
            job = await plane.queue.complete(claimed, outcome)
    numbered = [evolve(each, number=number) for number, each in enumerate(lines, 1)]
    return Story(plane, job, numbered)


def line(job: Job, attempt: int, fence: int, what: str, code: int | None = None) -> Line:
    return Line(
        what=what,
        job_id=job.job_id,
        attempt=attempt,
        fence=fence,
        pid=1,
        seconds=1.0,
        code=code,
        number=0,
    )


async def found(seen: Execution) -> set[str]:
    return {contradiction.kind for contradiction in check_execution(seen)}


async def test_what_fits_together_is_no_contradiction(plane: ControlPlane) -> None:
    story = await told(plane, FAILED, Outcome.exited(0))
    audited = await audit_executions(plane, {"k": {story.job.job_id}}, story.lines)
    assert audited.contradictions == []
    assert (audited.attempts, [*audited.jobs]) == (2, [story.job.job_id])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(lambda lines: lines[:-1], "result", id="no end of the success"),
        pytest.param(lambda lines: [*lines[:2], *lines[3:]], "result", id="no end of the failure"),
        pytest.param(lambda lines: [*lines, lines[-1]], "overlap", id="two ends"),
        pytest.param(lambda lines: [*lines[:3], lines[3], *lines[3:]], "overlap", id="two begins"),
        pytest.param(lambda lines: [*lines[:1], *lines[2:4], lines[1], *lines[4:]], "overlap",
                     id="the first goes on"),
        pytest.param(lambda lines: [*lines[1:]], "overlap", id="no begin"),
        pytest.param(lambda lines: [*lines, evolve(lines[-1], what="step", fence=1)], "attempts",
                     id="a fence of no claim"),
        pytest.param(lambda lines: [*lines, evolve(lines[3], attempt=3)], "attempts",
                     id="an attempt without a claim"),
        pytest.param(lambda lines: [*lines[:-1], evolve(lines[-1], code=3)], "result",
                     id="another code"),
    ],
)  # fmt: skip
async def test_lines_that_contradict_the_record_are_found(
    plane: ControlPlane, change: Callable[[list[Line]], Sequence[Line]], kind: str
) -> None:
    story = await told(plane, FAILED, Outcome.exited(0))
    seen = await story.seen()
    assert check_execution(seen) == []
    seen.lines = change(story.lines)
    contradictions = check_execution(seen)
    assert kind in {each.kind for each in contradictions}
    assert {each.job_id for each in contradictions} == {story.job.job_id}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(lambda job: evolve(job, state=JobState.RUNNING), "unfinished", id="running"),
        pytest.param(lambda job: evolve(job, attempts_used=1), "attempts", id="uncounted"),
        pytest.param(lambda job: evolve(job, max_attempts=1), "attempts", id="too many"),
        pytest.param(lambda job: evolve(job, attempt=3), "attempts", id="one skipped"),
        pytest.param(lambda job: evolve(job, history=job.history[:-1]), "history", id="a step"),
        pytest.param(lambda job: evolve(job, attempts=job.attempts[1:]), "history", id="a claim"),
        pytest.param(lambda job: evolve(job, delivery=Delivery.AT_MOST_ONCE), "overlap",
                     id="at most once"),
    ],
)  # fmt: skip
async def test_a_record_that_contradicts_its_events_or_lines_is_found(
    plane: ControlPlane, change: Callable[[Job], Job], kind: str
) -> None:
    story = await told(plane, FAILED, Outcome.exited(0))
    story.job = change(story.job)
    assert kind in await found(await story.seen())


async def test_events_that_are_missing_are_found(plane: ControlPlane) -> None:
    story = await told(plane, FAILED, Outcome.exited(0))
    seen = await story.seen()
    claims = [event for event in seen.events if event.type == "job.claimed"]
    without = [event for event in seen.events if event is not claims[-1]]
    assert {"attempts", "history"} <= await found(Execution(seen.job, without, seen.lines))


async def test_a_release_uses_no_attempt_and_a_run_of_it_is_found(plane: ControlPlane) -> None:
    story = await told(plane, None, Outcome.exited(0))
    seen = await story.seen()
    assert check_execution(seen) == []
    fence = seen.attempts[0].fence
    seen.lines = [line(story.job, 1, fence, "begin"), *story.lines]
    assert await found(seen) == {"attempts"}


async def test_a_job_that_was_acknowledged_and_is_not_there_is_lost(plane: ControlPlane) -> None:
    story = await told(plane, Outcome.exited(0))
    jobs = {story.job.job_id: story.job}
    assert check_enqueues({"k": {story.job.job_id}}, jobs) == []
    assert [each.job_id for each in check_enqueues({"k": {"gone"}}, jobs) if each.job_id] == [
        "gone"
    ]
    assert {each.kind for each in check_enqueues({"other": {story.job.job_id}}, jobs)} == set()


async def test_a_job_that_ran_and_is_not_there_is_found(plane: ControlPlane) -> None:
    story = await told(plane, Outcome.exited(0))
    strange = [evolve(each, job_id="gone") for each in story.lines]
    audited = await audit_executions(plane, {}, [*story.lines, *strange])
    assert [(each.kind, each.job_id) for each in audited.contradictions] == [("attempts", "gone")]
