"""An outcome reaches the other side, or the other side has taken care of the job."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import IllegalTransition, InvalidInput
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.fake_source import FakeSource

if TYPE_CHECKING:
    from cicd_core.agent import JobRun

pytestmark = pytest.mark.anyio

#: Long enough that a handler begins within it on a busy machine: else its job is given back.
LEASE_SECONDS = 1.0


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


async def test_a_report_is_repeated_until_it_is_heard(source: FakeSource) -> None:
    job = source.add()
    source.trouble("complete", times=2)
    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert len(source.called("complete")) == 3


async def test_a_report_whose_answer_is_lost_is_repeated(source: FakeSource) -> None:
    job = source.add()
    source.trouble("complete", after=True)
    await run_until_idle(agent_of(source, succeed))
    first, second = source.called("complete")
    assert first == second
    assert source.outcomes[job] == first["outcome"]


async def test_line_of_a_result_carries_its_reason(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(run: JobRun) -> Outcome:
        return Outcome.failed("the disk\nis full")

    source.add()
    with caplog.at_level(logging.INFO, "cicd_core.agent"):
        await run_until_idle(agent_of(source, fail))
        source.add()
        await run_until_idle(agent_of(source, succeed))
    results = [line for line in caplog.messages if line.startswith("job ")]
    assert any(line.endswith("): failed: the disk is full") for line in results)
    assert any(line.endswith("): success") for line in results)


async def test_the_lease_lives_while_the_report_is_repeated(quick_source: FakeSource) -> None:
    source = quick_source
    job = source.add()
    source.trouble("complete", times=None)

    def mend(count: int) -> None:
        if count >= 4:
            source.mend("complete")

    source.on_call("renew", mend)
    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


@pytest.mark.thorough
async def test_a_report_is_repeated_for_longer_than_a_lease() -> None:
    source = FakeSource(lease_seconds=LEASE_SECONDS)
    job = source.add()
    source.trouble("complete", times=None)
    source.trouble("renew", times=None)

    def mend(count: int) -> None:
        if count >= 6:  # so many tries last longer than the lease: 1.55 s at least
            source.mend("complete")

    source.on_call("complete", mend)

    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_a_report_is_given_up_when_the_agent_must_go_and_can_t_renew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(lease_seconds=LEASE_SECONDS)
    source.add()
    source.trouble("complete", times=None)
    source.trouble("renew", times=None)
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        async with running(agent_of(source, succeed, grace_seconds=0.0)):
            await source.until(lambda: source.called("complete"))
    assert source.outcomes == {}
    assert "the result could not be reported" in caplog.text


async def test_a_report_is_offered_once_when_the_other_side_says_that_the_lease_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(lease_seconds=LEASE_SECONDS)
    source.trouble("complete", times=None)

    def lose(run: JobRun) -> int:
        source.take_away(run.job.job_id)
        while not run.cancelled:
            threading.Event().wait(0.01)
        return 0

    source.add()
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        await run_until_idle(agent_of(source, lose))
    assert len(source.called("complete")) == 1
    assert "the result could not be reported" in caplog.text


async def test_a_report_that_comes_too_late_is_dropped(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    async def lose(run: JobRun) -> None:
        source.take_away(run.job.job_id)

    source.add()
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        await run_until_idle(agent_of(source, lose))
    assert len(source.called("complete")) == 1
    assert "it has another owner" in caplog.text


async def test_an_outcome_that_is_refused_is_reported_as_an_error(source: FakeSource) -> None:
    async def confirm(run: JobRun) -> Outcome:
        return Outcome.cancelled("nobody asked")

    job = source.add()
    source.trouble("complete", IllegalTransition("job", job, "confirm_cancel", "running", ["fail"]))
    await run_until_idle(agent_of(source, confirm))
    assert source.outcomes[job].verdict is Verdict.ERROR
    assert "its outcome was refused" in str(source.outcomes[job].error_message)


async def test_a_job_whose_every_report_is_refused_is_left_to_its_lease(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    refused, sound = source.add(), source.add()
    source.trouble("complete", InvalidInput("logs_url", "x", "too long"), times=2)
    with caplog.at_level(logging.ERROR, "cicd_core.agent"):
        await run_until_idle(agent_of(source, succeed))
    assert set(source.outcomes) == {sound}
    assert f"job {refused}" in caplog.text
    assert "its lease will expire" in caplog.text


async def test_a_release_that_is_refused_is_logged(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    began = anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    source.add()
    source.trouble("release", InvalidInput("reason", "", "say why"))
    async with running(agent_of(source, wait, grace_seconds=0.0)):
        await began.wait()
    assert source.releases == {}
    assert "the report was refused" in caplog.text


async def test_a_verdict_is_reported_even_if_the_agent_is_cancelled(source: FakeSource) -> None:
    source.trouble("complete", hangs=True)
    job = source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent_of(source, succeed).run)
        await source.until(lambda: source.called("complete"))
        tasks.cancel_scope.cancel()
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.releases == {}


async def test_an_outcome_says_what_the_handler_said_of_its_log(source: FakeSource) -> None:
    own = Outcome.exited(3, logs_url="https://logs.example/7", logs_summary="3 of 9 failed")

    async def tell(run: JobRun) -> Outcome:
        run.log("something else")
        return own

    job = source.add()
    async with running(agent_of(source, tell)):
        await source.until(lambda: source.outcomes)
    assert source.outcomes[job] == own
