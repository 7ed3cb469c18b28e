"""Handlers of every kind, and what their answers mean."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import pytest

from cicd_core.agent import Agent, JobFailed, JobRun
from cicd_core.errors import AlreadyExists, InvalidInput
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from cicd_core.agent import Handler
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def outcome_of(source: FakeSource, handler: Handler) -> Outcome:
    job = source.add(payload={"name": "Ada"})
    await run_until_idle(agent_of(source, handler))
    return source.outcomes[job]


@pytest.mark.parametrize(
    ("answer", "verdict", "exit_code"),
    [
        (None, Verdict.SUCCESS, None),
        (0, Verdict.SUCCESS, 0),
        (3, Verdict.FAILED, 3),
        (-9, Verdict.FAILED, -9),
        (Outcome.exited(7), Verdict.FAILED, 7),
        (Outcome.failed("no"), Verdict.FAILED, None),
    ],
)
@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_answer_means_an_outcome(
    source: FakeSource, answer: Any, verdict: Verdict, exit_code: int | None, in_thread: bool
) -> None:
    async def in_the_loop(run: JobRun) -> Any:
        return answer

    def threaded(run: JobRun) -> Any:
        return answer

    outcome = await outcome_of(source, threaded if in_thread else in_the_loop)
    assert (outcome.verdict, outcome.exit_code) == (verdict, exit_code)


@pytest.mark.parametrize("answer", [True, {"ok": 1}, "done", 10**12])
async def test_an_answer_that_means_nothing_is_an_error(source: FakeSource, answer: Any) -> None:
    async def answers(run: JobRun) -> Any:
        return answer

    outcome = await outcome_of(source, answers)
    assert outcome.verdict is Verdict.ERROR
    assert "the handler for 'work'" in str(outcome.error_message)


def raised(error: BaseException) -> Handler:
    async def handler(run: JobRun) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "verdict", "exit_code", "message"),
    [
        (ValueError("no such branch"), Verdict.ERROR, None, "ValueError: no such branch"),
        (JobFailed("3 tests failed"), Verdict.FAILED, None, "3 tests failed"),
        (JobFailed("lint", exit_code=2), Verdict.FAILED, 2, "lint"),
        (SystemExit(4), Verdict.ERROR, None, "SystemExit: 4"),
        (ExceptionGroup("g", [OSError("gone")]), Verdict.ERROR, None, "OSError: gone"),
        (TimeoutError(), Verdict.ERROR, None, "TimeoutError: "),
    ],
)
async def test_what_a_handler_raises_means_an_outcome(
    source: FakeSource, error: BaseException, verdict: Verdict, exit_code: int, message: str
) -> None:
    outcome = await outcome_of(source, raised(error))
    assert (outcome.verdict, outcome.exit_code) == (verdict, exit_code)
    assert outcome.error_message == message


async def test_an_error_in_a_thread_is_told(source: FakeSource) -> None:
    def fail(run: JobRun) -> None:
        raise OSError("disk on fire")

    outcome = await outcome_of(source, fail)
    assert outcome.verdict is Verdict.ERROR
    assert outcome.error_message == "OSError: disk on fire"


async def test_the_traceback_is_in_the_log_of_the_job(source: FakeSource) -> None:
    async def explode(run: JobRun) -> None:
        raise OSError("disk on fire")

    outcome = await outcome_of(source, explode)
    assert "in explode" in str(outcome.logs_summary)
    assert "cicd_core" not in str(outcome.logs_summary)


async def test_an_error_does_not_end_the_agent(source: FakeSource) -> None:
    broken, sound = source.add(payload={"break": True}), source.add()

    async def maybe(run: JobRun) -> None:
        if run.payload:
            raise ValueError("broken")

    await run_until_idle(agent_of(source, maybe))
    assert source.outcomes[broken].verdict is Verdict.ERROR
    assert source.outcomes[sound].verdict is Verdict.SUCCESS


@pytest.mark.asyncio_only
async def test_a_task_of_the_handler_that_was_cancelled_is_an_error(source: FakeSource) -> None:
    async def wait_for_it(run: JobRun) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    broken = source.add()
    sound = source.add("other")
    agent = agent_of(source, wait_for_it)
    agent.add_handler("other", len_of_payload)
    await run_until_idle(agent)
    assert source.outcomes[broken].verdict is Verdict.ERROR
    assert source.outcomes[sound].verdict is Verdict.SUCCESS


def len_of_payload(run: JobRun) -> int:
    return len(run.payload)


class Greeter:
    """A handler that is an object."""

    async def __call__(self, run: JobRun) -> int:
        assert threading.current_thread() is threading.main_thread()
        return len_of_payload(run)


async def with_option(code: int, run: JobRun) -> int:
    assert threading.current_thread() is threading.main_thread()
    return code


async def add_up(run: JobRun) -> int:
    await anyio.lowlevel.checkpoint()
    return 1


def gives_a_coroutine(run: JobRun) -> Awaitable[int]:
    return add_up(run)


@pytest.mark.parametrize(
    "handler", [Greeter(), functools.partial(with_option, 1), gives_a_coroutine, len_of_payload]
)
async def test_a_handler_may_be_anything_that_can_be_called(
    source: FakeSource, handler: Handler
) -> None:
    outcome = await outcome_of(source, handler)
    assert outcome.exit_code == 1


async def test_a_plain_function_runs_beside_the_event_loop(source: FakeSource) -> None:
    met = anyio.Event()
    source.add(payload={"thread": False})
    source.add("threaded")

    async def in_the_loop(run: JobRun) -> None:
        await met.wait()

    def threaded(run: JobRun) -> None:
        assert threading.current_thread() is not threading.main_thread()
        anyio.from_thread.run_sync(met.set)

    agent = agent_of(source, in_the_loop, slots=2)
    agent.add_handler("threaded", threaded)
    await run_until_idle(agent)
    assert {each.verdict for each in source.outcomes.values()} == {Verdict.SUCCESS}


async def test_every_slot_has_a_thread(source: FakeSource) -> None:
    slots = 60  # more than the threads that anyio gives by default
    barrier = threading.Barrier(slots)

    def meet(run: JobRun) -> None:
        barrier.wait(timeout=PATIENCE)

    for _ in range(slots):
        source.add()
    await run_until_idle(agent_of(source, meet, slots=slots))
    assert {each.verdict for each in source.outcomes.values()} == {Verdict.SUCCESS}


async def test_a_handler_gets_its_job_and_its_token(source: FakeSource) -> None:
    seen: list[JobRun] = []

    async def keep(run: JobRun) -> None:
        seen.append(run)

    await outcome_of(source, keep)
    (run,) = seen
    assert run.job.job_id == "job-1"
    assert run.payload == {"name": "Ada"}
    assert run.fence == run.token.fence == 1
    assert run.token.claim_id == source.called("claim")[0]["request_id"]
    assert not run.cancelled
    assert 0 < run.seconds_left <= 600


async def test_the_decorator_gives_the_function_back(source: FakeSource) -> None:
    agent = Agent(source)

    @agent.handler("build")
    async def build(run: JobRun) -> None:
        """Stays what it was."""

    assert build.__name__ == "build"


async def test_a_type_has_one_handler(source: FakeSource) -> None:
    agent = agent_of(source, len_of_payload)
    with pytest.raises(AlreadyExists, match="'work' exists already; a job type has one handler"):
        agent.add_handler("work", len_of_payload)


@pytest.mark.parametrize(("job_type", "handler"), [("two words", len_of_payload), ("x", "no")])
async def test_a_handler_or_a_type_that_is_wrong_is_refused(
    source: FakeSource, job_type: str, handler: Any
) -> None:
    with pytest.raises(InvalidInput):
        Agent(source).add_handler(job_type, handler)


async def test_an_exit_code_of_zero_is_no_failure() -> None:
    with pytest.raises(InvalidInput, match="exit_code"):
        JobFailed("but it went well", exit_code=0)


async def test_a_handler_that_leaves_the_program_leaves_only_its_job(source: FakeSource) -> None:
    def leave(run: JobRun) -> None:
        sys.exit("enough")

    outcome = await outcome_of(source, leave)
    assert outcome.error_message == "SystemExit: enough"
