"""Handlers: which one a type of job has, how it is called, and what its answer means."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread

from cicd_core.errors import AlreadyExists, CicdError, InvalidInput
from cicd_core.model.checks import check_name
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome

if TYPE_CHECKING:
    from anyio import CapacityLimiter

    from cicd_core.agent.job_run import JobRun

#: None is a success, a number an exit code.
Answer = Outcome | int | None
#: An async function is awaited in the agent's event loop, any other one runs in a thread.
Handler = Callable[["JobRun"], Awaitable[Answer]] | Callable[["JobRun"], Answer]


class JobFailed(Exception):
    """Raised by a handler: the job ran, and said no. Its verdict is ``failed``, not ``error``."""

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        """Say why, and perhaps with which exit code.

        Raises:
            InvalidInput: an exit code of 0, which is a success.
        """
        super().__init__(message)
        self.outcome = Outcome(verdict=Verdict.FAILED, exit_code=exit_code, error_message=message)


class Handlers:
    """The handlers of an agent, by job type."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_type: dict[str, Handler] = {}

    def add(self, job_type: str, handler: Handler) -> None:
        """Let ``handler`` do the jobs of that type.

        Raises:
            InvalidInput: the type is no name, or the handler can't be called.
            AlreadyExists: the type has a handler.
        """
        check_name("job_type", job_type)
        if not callable(handler):
            raise InvalidInput("handler", handler, "give a function that takes a JobRun")
        if job_type in self._by_type:
            raise AlreadyExists("handler", job_type)
        self._by_type[job_type] = handler

    @property
    def job_types(self) -> tuple[str, ...]:
        """The types that have one, sorted."""
        return tuple(sorted(self._by_type))

    def get(self, job_type: str) -> Handler:
        """Return the handler of a type that has one."""
        return self._by_type[job_type]


async def call(handler: Handler, run: JobRun, threads: CapacityLimiter) -> Outcome | None:
    """Call the handler and return what it said; None: it stopped, as it was told to.

    An async handler whose scope was cancelled is taken at its word only if it returns an exit code
    or an Outcome, or raises :class:`JobFailed`; a handler in a thread also if it never looked
    whether it should stop.
    """
    is_async = _is_async(handler)
    try:
        returned = await _answer(handler, run, threads, is_async=is_async)
    except JobFailed as failed:
        return failed.outcome
    except (Exception, SystemExit, anyio.get_cancelled_exc_class()) as error:
        # Whatever a handler raises ends the job, not the agent.
        if _is_cancellation(error):
            raise
        run.log(_told(error))
        return None if _told_to_stop(run, is_async=is_async) else outcome_of_error(error)
    if returned is None and _told_to_stop(run, is_async=is_async):
        return None
    return outcome_of(returned, run.job.job_type)


def outcome_of(returned: object, job_type: str) -> Outcome:
    """Return the outcome that a handler's answer means."""
    if returned is None:
        return Outcome.success()
    if isinstance(returned, Outcome):
        return returned
    if isinstance(returned, int) and not isinstance(returned, bool):
        try:
            return Outcome.exited(returned)
        except InvalidInput as refused:
            return Outcome.error(f"the handler for {job_type!r}: {refused}")
    return Outcome.error(
        f"the handler for {job_type!r} returned {type(returned).__name__}: "
        f"return None, an exit code or an Outcome"
    )


def outcome_of_error(error: BaseException) -> Outcome:
    """Return the outcome that an exception means: its type and message; a lone one of a group."""
    lone = alone(error)
    return Outcome.error(f"{type(lone).__name__}: {lone}")


def alone(error: BaseException) -> BaseException:
    """Return the one exception that a group holds, or the group if it holds several."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    inner: tuple[BaseException, ...] = group.exceptions
    return alone(inner[0]) if len(inner) == 1 else group


def _told_to_stop(run: JobRun, *, is_async: bool) -> bool:
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
) -> object:
    def boxed() -> tuple[Any]:
        return (handler(run),)

    # A plain function may return a coroutine, which trio lets out of a thread in a box only.
    (answer,) = boxed() if is_async else await anyio.to_thread.run_sync(boxed, limiter=threads)
    return await answer if inspect.isawaitable(answer) else answer


def _told(error: BaseException) -> str:
    """Return what the log of the job tells of an error: our own need no traceback."""
    if isinstance(error, CicdError):
        return f"{type(error).__name__}: {error}"
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _is_cancellation(error: BaseException) -> bool:
    """Whether it comes from a scope around the handler, not from a task that it waited for."""
    return (
        isinstance(error, anyio.get_cancelled_exc_class())
        and anyio.get_current_task().has_pending_cancellation()
    )
