"""Cancel and timeout: the scope fires, and what is reported says what happened."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import anyio.from_thread
import pytest

from cicd_core.agent import JobFailed, JobRun, StopReason
from cicd_core.model.job import Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle
from tests.runtime.fake_source import FakeSource

if TYPE_CHECKING:
    from cicd_core.agent import Handler
    from cicd_core.model.outcome import Outcome

pytestmark = pytest.mark.anyio


@pytest.fixture
def source(quick_source: FakeSource) -> FakeSource:
    return quick_source


def look(run: JobRun) -> None:
    """What a handler in a thread does between two steps of its work."""
    while not run.cancelled:
        threading.Event().wait(0.01)


async def outcome_when_cancelled(source: FakeSource, handler: Handler) -> Outcome:
    job = source.add()
    source.cancel(job, "superseded")
    await run_until_idle(agent_of(source, handler))
    return source.outcomes[job]


async def test_a_cancelled_job_says_so(source: FakeSource) -> None:
    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    outcome = await outcome_when_cancelled(source, wait)
    assert outcome.verdict is Verdict.CANCELLED
    assert outcome.error_message == "superseded"


async def test_the_handler_learns_why_it_is_stopped(source: FakeSource) -> None:
    seen: list[object] = []

    async def wait(run: JobRun) -> None:
        seen.append((run.cancelled, run.cancel_reason, run.stop_reason))
        try:
            await anyio.sleep_forever()
        finally:
            seen.append((run.cancelled, run.cancel_reason, run.stop_reason))

    await outcome_when_cancelled(source, wait)
    assert seen == [(False, None, None), (True, "superseded", StopReason.CANCEL)]


async def test_a_thread_that_looks_whether_it_is_cancelled_stops(source: FakeSource) -> None:
    outcome = await outcome_when_cancelled(source, look)
    assert outcome.verdict is Verdict.CANCELLED


async def test_a_thread_may_ask_anyio_whether_it_is_cancelled(source: FakeSource) -> None:
    def ask(run: JobRun) -> None:
        while True:
            anyio.from_thread.check_cancelled()
            threading.Event().wait(0.01)

    outcome = await outcome_when_cancelled(source, ask)
    assert outcome.verdict is Verdict.CANCELLED


async def test_what_a_thread_raises_when_it_stops_is_no_error(source: FakeSource) -> None:
    def stop(run: JobRun) -> None:
        look(run)
        raise KeyError("half done")

    outcome = await outcome_when_cancelled(source, stop)
    assert outcome.verdict is Verdict.CANCELLED


async def test_the_verdict_of_a_thread_that_ignores_the_cancel_is_reported(
    source: FakeSource,
) -> None:
    def ignore(run: JobRun) -> None:
        fired = threading.Event()
        while run.stop_reason is None:  # no look at `cancelled`: it does not mean to stop
            fired.wait(0.01)

    outcome = await outcome_when_cancelled(source, ignore)
    assert outcome.verdict is Verdict.SUCCESS


async def test_an_exit_code_stands_even_after_a_cancel(source: FakeSource) -> None:
    def finish(run: JobRun) -> int:
        look(run)
        return 4

    outcome = await outcome_when_cancelled(source, finish)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.FAILED, 4)


async def test_a_failure_that_a_handler_raises_stands_even_after_a_cancel(
    source: FakeSource,
) -> None:
    async def fail(run: JobRun) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise JobFailed("the tests had failed already")

    outcome = await outcome_when_cancelled(source, fail)
    assert outcome.verdict is Verdict.FAILED


async def test_an_async_handler_that_breaks_when_it_is_cancelled_was_cancelled(
    source: FakeSource,
) -> None:
    async def break_down(run: JobRun) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise KeyError("half done")

    outcome = await outcome_when_cancelled(source, break_down)
    assert outcome.verdict is Verdict.CANCELLED


async def test_an_async_handler_that_swallows_the_cancel_was_cancelled(
    source: FakeSource,
) -> None:
    async def swallow(run: JobRun) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return

    outcome = await outcome_when_cancelled(source, swallow)
    assert outcome.verdict is Verdict.CANCELLED


async def test_progress_brings_back_the_news_of_a_cancel() -> None:
    source = FakeSource(lease_seconds=3000.0)  # no renewal will

    async def tell(run: JobRun) -> None:
        await run.progress(10)
        await anyio.sleep_forever()

    outcome = await outcome_when_cancelled(source, tell)
    assert outcome.verdict is Verdict.CANCELLED


async def test_a_job_that_takes_too_long_times_out(source: FakeSource) -> None:
    async def wait(run: JobRun) -> None:
        assert run.seconds_left <= 0.05
        await anyio.sleep_forever()

    job = source.add(timeout_seconds=0.05)
    await run_until_idle(agent_of(source, wait))
    assert source.outcomes[job].verdict is Verdict.TIMEOUT
    assert source.outcomes[job].error_message == "ran longer than its 0.05 s"


async def test_a_thread_that_takes_too_long_times_out(source: FakeSource) -> None:
    job = source.add(timeout_seconds=0.05)
    await run_until_idle(agent_of(source, look))
    assert source.outcomes[job].verdict is Verdict.TIMEOUT


async def test_time_passes_for_threads_while_a_handler_blocks_the_event_loop(
    source: FakeSource,
) -> None:
    began, stopped = anyio.Event(), threading.Event()

    def in_a_thread(run: JobRun) -> None:
        anyio.from_thread.run_sync(began.set)
        look(run)
        stopped.set()

    async def block(run: JobRun) -> None:
        await began.wait()
        assert stopped.wait(timeout=PATIENCE)

    agent = agent_of(source, block, slots=2)
    agent.add_handler("thread", in_a_thread)
    late = source.add("thread", timeout_seconds=0.2)
    blocking = source.add()
    await run_until_idle(agent)
    assert source.outcomes[late].verdict is Verdict.TIMEOUT
    assert source.outcomes[blocking].verdict is Verdict.SUCCESS


async def test_the_deadline_is_told_on_the_clock_of_the_store(source: FakeSource) -> None:
    told: list[float] = []

    async def tell(run: JobRun) -> None:
        assert run.job.started_at is not None
        told.append((run.deadline - run.job.started_at).total_seconds())

    source.add(timeout_seconds=90.0)
    await run_until_idle(agent_of(source, tell))
    assert told == [90.0]


async def test_a_handler_that_cancels_its_own_scope_gets_an_error(source: FakeSource) -> None:
    async def cancel(run: JobRun) -> None:
        run.scope.cancel()
        await anyio.sleep_forever()

    job = source.add()
    await run_until_idle(agent_of(source, cancel))
    assert source.outcomes[job].verdict is Verdict.ERROR
