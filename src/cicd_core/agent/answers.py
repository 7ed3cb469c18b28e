"""Converts what a handler returns or raises to an outcome.

Both are values of the embedder's code: reading them may run more of that code, and may raise.
Nothing here raises: an answer that can't be read becomes an error of its job.
"""

from __future__ import annotations

import traceback
from typing import cast

from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.checks import storable
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome


class JobFailed(Exception):
    """Raised by a handler for a job that failed: its verdict is ``failed``, not ``error``."""

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        """Take the reason, and the exit code if there is one.

        Raises:
            InvalidInput: the exit code is 0, which means success.
        """
        super().__init__(message)
        self.outcome = Outcome(verdict=Verdict.FAILED, exit_code=exit_code, error_message=message)


class SetupFailed(Exception):
    """Raised by a handler before it begins the work, if this machine can't run the job.

    Use it for faults that the next job would meet too, such as a full disk, a missing folder, or a
    process that can't be started. The job returns to the queue without using an attempt, and the
    agent pauses. If that happens repeatedly, the agent becomes unhealthy until the handler's
    ``probe`` returns: an async method that raises while the fault lasts. Without a ``probe``, the
    next job is the test. Don't raise it once the work may have begun.
    """


def outcome_of(returned: object, job_type: str) -> Outcome:
    """Return the outcome that a handler's return value means."""
    try:
        return _outcome_of(returned, job_type)
    except InvalidInput as refused:
        return Outcome.error(f"the handler for {job_type!r}: {refused}")
    except BaseException as error:  # noqa: BLE001 - reading the answer runs the embedder's code
        why = described(error)
        return Outcome.error(f"the answer of the handler for {job_type!r} cannot be read: {why}")


def _outcome_of(returned: object, job_type: str) -> Outcome:
    if returned is None:
        return Outcome.success()
    if isinstance(returned, Outcome):
        return _plain(returned)
    if isinstance(returned, int) and not isinstance(returned, bool):
        return Outcome.exited(int.__int__(returned))
    return Outcome.error(
        f"the handler for {job_type!r} returned {type(returned).__name__}: "
        f"return None, an exit code or an Outcome"
    )


def outcome_of_error(error: BaseException) -> Outcome:
    """Return the outcome of an exception, or of the only exception in a group."""
    try:
        lone = alone(error)
    except BaseException:  # noqa: BLE001 - a group of the embedder's class may raise anything
        lone = error
    if not isinstance(lone, JobFailed):
        return Outcome.error(described(lone))
    try:
        return _plain(lone.outcome)
    except BaseException:  # noqa: BLE001 - likewise; its __init__ may not have called ours
        return Outcome.failed(described(lone))


def alone(error: BaseException) -> BaseException:
    """Return the only exception of a group, or the group if it holds several."""
    lone = error
    while len(inner := _within(lone)) == 1:
        (lone,) = inner
    return lone


def _within(error: BaseException) -> tuple[BaseException, ...]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def traceback_of(error: BaseException, *, left_out: str) -> str:
    """Return the traceback for the job's log; for errors of this library, only type and message.

    Args:
        error: the exception that the handler raised.
        left_out: the file whose first frames do not belong to the handler.
    """
    try:
        if isinstance(error, CicdError):
            return described(error)
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == left_out:
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # noqa: BLE001 - its text, its notes, its names: all may raise
        return described(error)


def reason_of(failed: BaseException) -> str:
    """Return why a set-up failed, as text that every store can keep."""
    name, _, message = described(failed).partition(": ")
    why = message if isinstance(failed, SetupFailed) and message else f"{name}: {message}"
    return str(storable("why", why))


def _plain(outcome: Outcome) -> Outcome:
    """Return a copy of plain values, so that later steps run no code of the embedder."""
    code = outcome.exit_code
    return Outcome(
        verdict=outcome.verdict,
        exit_code=int.__int__(code) if isinstance(code, int) else code,
        error_message=_text(outcome.error_message),
        logs_url=_text(outcome.logs_url),
        logs_summary=_text(outcome.logs_summary),
    )


def _text(text: str | None) -> str | None:
    return str.__str__(text) if isinstance(text, str) else text


def described(error: BaseException) -> str:
    """Return the type and the message of any exception."""
    name = type.__dict__["__name__"].__get__(type(error))
    try:
        return f"{name}: {error}"
    except BaseException as mute:  # noqa: BLE001 - whatever its __str__ raises
        kind = type.__dict__["__name__"].__get__(type(mute))
        return f"{name}: (no message: its __str__ raised {kind})"
