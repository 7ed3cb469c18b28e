"""How an attempt ends: with a verdict, a release, or nothing; and the report of that."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.agent.active_job import StopReason
from cicd_core.agent.retry import patiently
from cicd_core.errors import CicdError, LeaseLost, StoreError
from cicd_core.job_logs.masking import LogMasker
from cicd_core.model.checks import shorten
from cicd_core.model.outcome import Outcome
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.agent.exchanger import Exchanger
    from cicd_core.agent.logs import JobLog
    from cicd_core.job_logs.masking import LogMasks

#: Maximum number of bytes in the reason of a release.
_MAX_WHY: Final = 1024

_log = logging.getLogger("cicd_core.agent")


@frozen
class Release:
    """The job returns to the queue unfinished."""

    why: str


#: None: the lease is lost, and nothing is reported.
Ending = Outcome | Release | None


def result_of(holding: ActiveJob, said: Outcome | None) -> Ending:
    """Return how the attempt ends.

    Args:
        holding: the job; its lease, or its timeout, may be over.
        said: the handler's outcome; None if it was stopped. It counts even if the lease may be
            lost: only the control plane knows whether it is too late.
    """
    if said is not None:
        return said
    if holding.gone:
        return None
    stop = holding.first_stop
    if stop is None:
        return Outcome.error("the handler cancelled its own scope")
    if stop.reason is StopReason.CANCEL:
        return Outcome.cancelled(stop.why)
    if stop.reason is StopReason.TIMEOUT:
        return Outcome.timeout(stop.why)
    return Release(stop.why)


def with_log(ending: Ending, log: JobLog, *, tail: LogMasks | None) -> Ending:
    """Return the ending with the location of the log, unless the handler set one.

    With ``tail``, the ending also has the end of the log, masked; otherwise the log stays on this
    machine.
    """
    if not isinstance(ending, Outcome):
        return ending
    summary = ending.logs_summary
    if summary is None and tail is not None:
        summary = log.tail(partial(LogMasker(tail).feed, final=True))
    return evolve(
        ending,
        logs_url=ending.logs_url if ending.logs_url is not None else log.url,
        logs_summary=summary,
    )


async def report(
    exchanger: Exchanger,
    holding: ActiveJob,
    ending: Ending,
    *,
    in_haste: Callable[[], bool] = lambda: False,
) -> None:
    """Report how the attempt ended; repeat that until the control plane answers.

    A failed renewal does not prove that the lease is lost: perhaps no other agent has the job yet,
    and only the control plane knows. A refused report is logged and dropped.

    Args:
        exchanger: what reports to the control plane's queue.
        holding: the job.
        ending: how the attempt ended; None if there is nothing to report.
        in_haste: returns whether the agent must end. If so, and the lease can't be renewed, there
            is only one more try, as after the control plane reported the lease as lost.
    """
    if ending is None:
        stop = holding.stop
        why = "the lease is lost" if stop is None else stop.why
        _log.warning("%s: lease lost, the result is dropped: %s", holding, why)
        return
    try:
        await _tell(exchanger, holding, ending, in_haste)
    except LeaseLost as lost:
        _log.warning("%s: lease lost, the result is dropped: %s", holding, lost.reason)
    except StoreError as failed:
        _log.warning("%s: lease lost, the result could not be reported: %s", holding, failed)
    except Exception as refused:  # noqa: BLE001 - a defect of a driver must not end the agent
        await _report_refusal(exchanger, holding, ending, refused, in_haste)


async def _tell(
    exchanger: Exchanger,
    holding: ActiveJob,
    ending: Outcome | Release,
    in_haste: Callable[[], bool],
) -> None:
    def give_up() -> bool:
        return holding.gone or (holding.lost and in_haste())

    if isinstance(ending, Release):
        why = shorten(ending.why, _MAX_WHY) or "released"
        await patiently(
            lambda: exchanger.queue.release(holding.claimed, reason=why, began=holding.began),
            what=f"{holding}: the release",
            give_up=give_up,
        )
        _log.info("%s: released: %s", holding, ending.why)
        return
    await patiently(
        lambda: exchanger.complete(holding.claimed, ending),
        what=f"{holding}: the report",
        give_up=give_up,
    )
    _log.info("%s: %s", holding, _described(ending))


def _described(ending: Outcome) -> str:
    """Return how an attempt ended, and why."""
    code = "" if ending.exit_code is None else f", exit code {ending.exit_code}"
    why = shorten(" ".join((ending.error_message or "").split()), _MAX_WHY)
    return f"{ending.verdict.value}{code}{why and f': {why}'}"


async def _report_refusal(
    exchanger: Exchanger,
    holding: ActiveJob,
    ending: Outcome | Release,
    refused: Exception,
    in_haste: Callable[[], bool],
) -> None:
    """Report an error in place of a refused outcome, such as a cancel without a request."""
    _log.error("%s: the report was refused: %s", holding, refused, exc_info=_defect(refused))
    if not isinstance(ending, Outcome):
        return
    error = Outcome.error(f"its outcome was refused: {refused}")
    try:
        await _tell(exchanger, holding, error, in_haste)
    except Exception as again:  # noqa: BLE001 - as above
        _log.error("%s: its lease will expire: %s", holding, again, exc_info=_defect(again))


def _defect(error: Exception) -> Exception | None:
    """Return the error if only its traceback shows its origin."""
    return None if isinstance(error, CicdError) else error
