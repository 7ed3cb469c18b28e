"""Handlers: which one runs a job type, how it is called, and what its answer means."""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.to_thread

from cicd_core.agent.answers import SetupFailed, outcome_of, outcome_of_error, traceback_of
from cicd_core.agent.lease_times import STOP_SECONDS
from cicd_core.errors import AlreadyExists, InvalidInput, TooLarge
from cicd_core.forks import end_if_forked
from cicd_core.model.checks import MAX_JOB_TYPES, check_name, check_seconds
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from cicd_core.agent.fitness import Probe
    from cicd_core.agent.job_run import JobRun

#: Modules that raise KeyboardInterrupt on Ctrl-C, wherever the event loop is at that time.
_INTERRUPTERS: Final = frozenset({"asyncio.runners", "trio._core._ki"})
#: None is a success, a number is an exit code.
Answer = Outcome | int | None
#: An async function is awaited in the agent's event loop, any other function runs in a thread.
Handler = Callable[["JobRun"], Awaitable[Answer]] | Callable[["JobRun"], Answer]


class Handlers:
    """The handlers of an agent, by job type."""

    def __init__(self) -> None:
        self._by_type: dict[str, Handler] = {}
        self._stop_seconds: dict[str, float] = {}

    def add(self, job_type: str, handler: Handler) -> None:
        """Register ``handler`` as the handler of a job type.

        Raises:
            InvalidInput: the type is not a valid name, the handler can't be called, or its
                ``stop_seconds`` is not a duration.
            AlreadyExists: the type already has a handler.
            TooLarge: there are already 256, the maximum number of lanes in a pool.
        """
        check_name("job_type", job_type)
        if not callable(handler):
            raise InvalidInput("handler", handler, "give a function that takes a JobRun")
        if job_type in self._by_type:
            advice = "a job type has one handler: choose another type, or extend that handler"
            raise AlreadyExists("handler", job_type, advice)
        if len(self._by_type) >= MAX_JOB_TYPES:
            raise TooLarge("handlers", len(self._by_type) + 1, MAX_JOB_TYPES, "job types")
        needs = getattr(handler, "stop_seconds", STOP_SECONDS)
        self._stop_seconds[job_type] = check_seconds("stop_seconds", needs)
        self._by_type[job_type] = handler

    def stop_seconds(self, job_type: str) -> float:
        """Return how long the handler of a job type may take to end after it was stopped."""
        return self._stop_seconds.get(job_type, STOP_SECONDS)

    @property
    def job_types(self) -> tuple[str, ...]:
        """The job types with a handler, sorted."""
        return tuple(sorted(self._by_type))

    @property
    def probes(self) -> list[Probe]:
        """The distinct probes of the handlers: each checks that this machine can run their jobs."""
        distinct = {id(handler): handler for handler in self._by_type.values()}
        return [probe for handler in distinct.values() if (probe := probe_of(handler)) is not None]

    def get(self, job_type: str) -> Handler:
        """Return the handler of a job type that has one."""
        return self._by_type[job_type]


async def call(
    handler: Handler, run: JobRun, threads: CapacityLimiter
) -> Outcome | SetupFailed | None:
    """Call the handler and return its answer; None: it stopped on request.

    After its scope was cancelled, the answer of an async handler counts only if it is an exit code,
    an Outcome or :class:`JobFailed`. The same applies to a handler in a thread that has read the
    request to stop. Whatever a handler raises ends the job, not the agent.

    Raises:
        BaseException: a cancellation by a scope around the handler, or Ctrl-C.
    """
    is_async = _is_async(handler)
    try:
        returned, raised = await _answer(handler, run, threads, is_async=is_async)
    except BaseException as error:  # noqa: BLE001 - judged below
        returned, raised = None, error
    if raised is not None:
        return _outcome_of_raised(raised, run, is_async=is_async)
    if returned is None and _was_asked_to_stop(run, is_async=is_async):
        return None
    return outcome_of(returned, run.job.job_type)


def _outcome_of_raised(
    raised: BaseException, run: JobRun, *, is_async: bool
) -> Outcome | SetupFailed | None:
    error = own_error(raised)
    if error is None:
        raise raised
    if isinstance(error, SetupFailed):
        return error
    outcome = outcome_of_error(error)
    if outcome.verdict is Verdict.FAILED:
        return outcome
    run.log(traceback_of(error, left_out=__file__))
    return None if _was_asked_to_stop(run, is_async=is_async) else outcome


def probe_of(handler: Handler) -> Probe | None:
    """Return the handler's ``probe``, if it is an object that has one."""
    probe: Any = getattr(handler, "probe", None)
    return cast("Probe", probe) if callable(probe) else None


def _was_asked_to_stop(run: JobRun, *, is_async: bool) -> bool:
    return run.noticed or (is_async and run.scope.cancel_called)


def _is_async(handler: Handler) -> bool:
    function: Any = handler
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    return inspect.iscoroutinefunction(function)


async def _answer(
    handler: Handler, run: JobRun, threads: CapacityLimiter, *, is_async: bool
) -> tuple[Any, BaseException | None]:
    """Return the answer, and an exception that a thread can't raise unchanged.

    A child process that the handler forks ends with its part of the handler.
    """
    process = os.getpid()

    def boxed() -> tuple[Any, BaseException | None]:
        raised: BaseException | None = None
        answer: Any = None
        try:
            answer = handler(run)
        except BaseException as error:  # noqa: BLE001 - a thread would convert StopIteration
            raised = error
        end_if_forked(process, raised)
        return answer, raised

    # A plain function may return a coroutine; trio passes it out of a thread only in a box.
    answer, raised = boxed() if is_async else await anyio.to_thread.run_sync(boxed, limiter=threads)
    if raised is None and inspect.isawaitable(answer):
        try:
            answer = await answer
        except BaseException as error:
            end_if_forked(process, error)
            raise
        end_if_forked(process)
    return answer, raised


def is_cancelled() -> bool:
    """Return whether a scope around the caller has been cancelled."""
    return anyio.current_effective_deadline() == -math.inf


def own_error(error: BaseException) -> BaseException | None:
    """Return what the embedder's code itself raised: not a cancellation by a scope, not Ctrl-C."""
    if _is_interrupt(error):
        return None
    cancelled = anyio.get_cancelled_exc_class()
    if not is_cancelled():
        return error  # the handler awaited a cancelled task, or cancelled itself
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return group.split(cancelled)[1]
    return None if isinstance(error, cancelled) else error


def _is_interrupt(error: BaseException) -> bool:
    """Return whether the event loop raised it in the middle of the handler, because of Ctrl-C."""
    trace = error.__traceback__ if isinstance(error, KeyboardInterrupt) else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") in _INTERRUPTERS
