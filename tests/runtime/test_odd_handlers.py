"""Whatever a handler raises, returns or does to its task ends its job, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.agent import JobFailed, JobRun
from cicd_core.agent.measuring import Measuring
from cicd_core.model.job import Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from cicd_core.agent import Handler
    from cicd_core.model.agent import AgentMetrics
    from cicd_core.model.outcome import Outcome
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


class Rude(BaseException):
    """As test frameworks raise to skip or to stop."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class MuteByExit(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class NoText(Exception):
    def __str__(self) -> str:
        number: Any = 5  # what careless code returns
        return number  # type: ignore[no-any-return]  # as above


class NoRepr(Exception):
    def __repr__(self) -> str:
        raise Rude


class Recursive(Exception):
    def __str__(self) -> str:
        return str(self)


class OddNotes(Exception):
    def __getattribute__(self, name: str) -> Any:
        if name == "__notes__":
            raise Rude
        return super().__getattribute__(name)


class OddGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise Rude


class HalfFailed(JobFailed):
    def __init__(self) -> None:  # does not call the one above it
        Exception.__init__(self, "half")


class FailedOddly(JobFailed):
    def __init__(self) -> None:
        super().__init__("oddly")
        self.outcome = "no outcome"  # type: ignore[assignment]  # what careless code sets


def circular() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def nested(depth: int) -> BaseException:
    error: BaseException = OSError("deep")
    for _ in range(depth):
        inner: list[BaseException] = [error]
        error = BaseExceptionGroup("g", inner)
    return error


ERRORS = [
    (Rude("stop"), "Rude: stop"),
    (Mute(), "Mute: (no message: its __str__ raised RuntimeError)"),
    (MuteByExit(), "MuteByExit: (no message: its __str__ raised SystemExit)"),
    (NoText(), "NoText: (no message: its __str__ raised TypeError)"),
    (NoRepr("quiet"), "NoRepr: quiet"),
    (Recursive(), "Recursive: (no message: its __str__ raised RecursionError)"),
    (OddNotes("noted"), "OddNotes: noted"),
    (OddGroup("odd", [OSError("in it")]), "OddGroup: odd (1 sub-exception)"),
    (circular(), "ValueError: first"),
    (nested(2000), "OSError: deep"),
    (BaseExceptionGroup("g", [Rude("a"), OSError("b")]), "BaseExceptionGroup: g (2 sub-exc"),
    (KeyboardInterrupt(), "KeyboardInterrupt: "),
    (SystemExit("bye"), "SystemExit: bye"),
    (GeneratorExit(), "GeneratorExit: "),
    (StopAsyncIteration("end"), "StopAsyncIteration: end"),
    (asyncio.CancelledError("own"), "CancelledError: own"),
    (MemoryError(), "MemoryError: "),
    (ValueError("\udcff\0"), "ValueError: ?"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "UnicodeDecodeError: 'utf-8' codec"),
]


def raising(error: BaseException, *, in_thread: bool) -> Handler:
    def threaded(run: JobRun) -> None:
        raise error

    async def in_the_loop(run: JobRun) -> None:
        raise error

    return threaded if in_thread else in_the_loop


async def outcomes_beside(source: FakeSource, handler: Handler) -> tuple[Outcome, Outcome]:
    """Return how its job ends, and how that of a neighbour which began before and ends after it."""
    job, neighbour = source.add(), source.add("other")
    agent = agent_of(source, handler, slots=2)

    @agent.handler("other")
    async def outlast(run: JobRun) -> None:
        await source.until(lambda: job in source.outcomes)

    await run_until_idle(agent)
    assert not source.releases
    return source.outcomes[job], source.outcomes[neighbour]


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize(("error", "message"), ERRORS)
async def test_whatever_is_raised_is_the_end_of_its_job_alone(
    source: FakeSource, error: BaseException, message: str, in_thread: bool
) -> None:
    outcome, neighbour = await outcomes_beside(source, raising(error, in_thread=in_thread))
    assert outcome.verdict is Verdict.ERROR
    assert str(outcome.error_message).startswith(message)
    assert neighbour.verdict is Verdict.SUCCESS


async def test_a_stop_iteration_out_of_a_thread_keeps_its_name(source: FakeSource) -> None:
    handler = raising(StopIteration("end"), in_thread=True)
    outcome, _ = await outcomes_beside(source, handler)
    assert outcome.error_message == "StopIteration: end"


async def test_a_huge_message_ends_its_job(source: FakeSource) -> None:
    outcome, _ = await outcomes_beside(source, raising(ValueError("x" * 10**7), in_thread=False))
    assert outcome.verdict is Verdict.ERROR
    assert str(outcome.error_message).endswith("xxx")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (HalfFailed(), "HalfFailed: half"),
        (FailedOddly(), "FailedOddly: oddly"),
        (ExceptionGroup("g", [JobFailed("3 tests failed")]), "3 tests failed"),
    ],
)
async def test_an_odd_failure_is_a_failure(
    source: FakeSource, error: Exception, message: str
) -> None:
    outcome, _ = await outcomes_beside(source, raising(error, in_thread=False))
    assert (outcome.verdict, outcome.error_message) == (Verdict.FAILED, message)


class Incomparable(int):
    def __eq__(self, other: object) -> bool:
        raise Rude

    __hash__ = int.__hash__

    def __le__(self, other: int) -> bool:
        raise Rude


class Liar:
    """As some proxies are."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            raise Rude
        return super().__getattribute__(name)


class PretendsToBeAnInt:
    __class__ = int  # type: ignore[assignment]  # what some proxies do


class BadAwaitable:
    def __await__(self) -> Generator[Any]:
        yield "not a future"


async def test_a_number_that_cannot_be_compared_is_an_exit_code(source: FakeSource) -> None:
    async def answer(run: JobRun) -> int:
        return Incomparable(3)

    outcome, _ = await outcomes_beside(source, answer)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.FAILED, 3)
    assert type(outcome.exit_code) is int


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("kind", [Liar, PretendsToBeAnInt, BadAwaitable])
async def test_an_answer_that_cannot_be_read_is_an_error(
    source: FakeSource, kind: type, in_thread: bool
) -> None:
    async def in_the_loop(run: JobRun) -> Any:
        return kind()

    def threaded(run: JobRun) -> Any:
        return kind()

    outcome, neighbour = await outcomes_beside(source, threaded if in_thread else in_the_loop)
    assert (outcome.verdict, neighbour.verdict) == (Verdict.ERROR, Verdict.SUCCESS)


async def test_a_scope_that_is_left_open_ends_its_job_alone(source: FakeSource) -> None:
    async def leave_open(run: JobRun) -> None:
        anyio.move_on_after(0).__enter__()

    outcome, neighbour = await outcomes_beside(source, leave_open)
    assert (outcome.verdict, neighbour.verdict) == (Verdict.ERROR, Verdict.SUCCESS)


async def test_a_generator_with_an_open_scope_ends_its_job_alone(source: FakeSource) -> None:
    async def numbers() -> AsyncGenerator[int]:
        with anyio.CancelScope():
            yield 1

    kept: list[AsyncGenerator[int]] = []

    async def look_at_one(run: JobRun) -> None:
        kept.append(numbers())
        await anext(kept[0])

    outcome, neighbour = await outcomes_beside(source, look_at_one)
    assert (outcome.verdict, neighbour.verdict) == (Verdict.ERROR, Verdict.SUCCESS)
    with suppress(RuntimeError):  # of asyncio: the scope is left in another task
        await kept[0].aclose()


@pytest.mark.asyncio_only
@pytest.mark.parametrize("waits", [False, True])
async def test_a_handler_that_cancels_its_own_task_ends_its_job_alone(
    source: FakeSource, waits: bool
) -> None:
    async def cancel_itself(run: JobRun) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await anyio.sleep_forever()

    outcome, neighbour = await outcomes_beside(source, cancel_itself)
    assert outcome.verdict is (Verdict.ERROR if waits else Verdict.SUCCESS)
    assert neighbour.verdict is Verdict.SUCCESS


async def test_an_error_beside_a_cancel_stops_its_job_alone(source: FakeSource) -> None:
    job, neighbour = source.add(), source.add("other")

    async def fail_while_it_stops(run: JobRun) -> None:
        async def fail() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise Rude("while it stops")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            tasks.start_soon(anyio.sleep_forever)
            run.scope.cancel()

    agent = agent_of(source, fail_while_it_stops, slots=2)

    @agent.handler("other")
    async def outlast(run: JobRun) -> None:
        await source.until(lambda: job in source.outcomes)

    await run_until_idle(agent)
    assert source.outcomes[job].verdict is Verdict.ERROR
    assert source.outcomes[neighbour].verdict is Verdict.SUCCESS


async def test_an_agent_that_is_cancelled_gives_back_what_its_handler_holds(
    source: FakeSource,
) -> None:
    began = anyio.Event()
    job = source.add()

    async def wait(run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent_of(source, wait).run)
            await began.wait()
            tasks.cancel_scope.cancel()
    assert job in source.releases
    assert not source.outcomes


@pytest.mark.parametrize("error", [SystemExit(1), Rude(), asyncio.CancelledError(), Mute()])
async def test_metrics_that_cannot_be_measured_cost_no_heartbeat(
    source: FakeSource, error: BaseException
) -> None:
    measured = threading.Event()

    def measure() -> AgentMetrics:
        measured.set()
        raise error

    async def succeed(run: JobRun) -> None:
        """Nothing to do."""

    agent = agent_of(source, succeed, metrics=measure, heartbeat_interval_seconds=0.01)
    async with running(agent):
        await source.until(measured.is_set)
        before = len(source.called("heartbeat"))
        await source.until(lambda: len(source.called("heartbeat")) >= before + 2)


async def test_metrics_that_break_while_the_agent_stops_do_not_break_its_stop() -> None:
    class Spoiled:
        """No metrics; the stop comes in the moment in which they are found to be wrong."""

        def __repr__(self) -> str:
            scope.cancel()
            return "spoiled"

    def measure() -> AgentMetrics:
        return Spoiled()  # type: ignore[return-value]  # the mistake

    with anyio.CancelScope() as scope:
        assert await Measuring(measure).measured(PATIENCE) is None
    assert scope.cancel_called


async def test_a_defect_of_a_driver_in_a_report_ends_no_agent(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    async def succeed(run: JobRun) -> None:
        """Nothing to do."""

    def break_once(count: int) -> None:
        if count == 1:
            raise ZeroDivisionError("in a driver")

    job = source.add()
    source.on_call("complete", break_once)
    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.ERROR
    assert "in a driver" in str(source.outcomes[job].error_message)
    assert "ZeroDivisionError" in caplog.text
