"""What a handler's answer means, and what its exception means, whatever either of them is.

Both are values of the embedder's code: reading them may run more of it, and may raise. Nothing
here raises: an answer that can't be read is an error of its job.
"""

from __future__ import annotations

import traceback
from typing import cast

from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.checks import storable
from cicd_core.model.job import Verdict
from cicd_core.model.outcome import Outcome


class JobFailed(Exception):
    """Raised by a handler: the job ran, and said no. Its verdict is ``failed``, not ``error``."""

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        """Say why, and perhaps with which exit code.

        Raises:
            InvalidInput: an exit code of 0, which is a success.
        """
        super().__init__(message)
        self.outcome = Outcome(verdict=Verdict.FAILED, exit_code=exit_code, error_message=message)


class SetupFailed(Exception):
    """Raised by a handler before its work began: this machine can't run the job, another one may.

    No space, no folder, no process: something that the next job would fail of too. The job goes
    back unused, and the agent pauses. When it happens again and again the agent is unhealthy, until
    the handler's ``probe`` returns, an async method that raises while the fault lasts; without
    one, until the next job that is tried. A handler that may have begun must not raise it.
    """


def outcome_of(returned: object, job_type: str) -> Outcome:
    """Return the outcome that a handler's answer means."""
    try:
        return _outcome_of(returned, job_type)
    except InvalidInput as refused:
        return Outcome.error(f"the handler for {job_type!r}: {refused}")
    except BaseException as error:  # noqa: BLE001 - comparing the answer runs the embedder's code
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
    """Return the outcome that an exception means: its type and message; a lone one of a group."""
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
    """Return the one exception that a group holds, or the group if it holds several."""
    lone = error
    while len(inner := _within(lone)) == 1:
        (lone,) = inner
    return lone


def _within(error: BaseException) -> tuple[BaseException, ...]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def traceback_of(error: BaseException, *, left_out: str) -> str:
    """Return what the log of the job tells of an error: our own need no traceback.

    Args:
        error: what the handler raised.
        left_out: the file whose frames at the beginning are none of the handler's.
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
    """Return why a set-up failed, in words that every store can keep."""
    name, _, message = described(failed).partition(": ")
    why = message if isinstance(failed, SetupFailed) and message else f"{name}: {message}"
    return str(storable("why", why))


def _plain(outcome: Outcome) -> Outcome:
    """Return an outcome of plain values: what follows must run no code of the embedder's."""
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
    """Return the type and the message of an exception, whatever it is."""
    name = type.__dict__["__name__"].__get__(type(error))
    try:
        return f"{name}: {error}"
    except BaseException as mute:  # noqa: BLE001 - whatever its __str__ raises
        kind = type.__dict__["__name__"].__get__(type(mute))
        return f"{name}: (no message: its __str__ raised {kind})"
