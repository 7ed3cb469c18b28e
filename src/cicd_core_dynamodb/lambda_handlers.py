"""Handlers for AWS Lambda: maintenance, run every minute by a schedule.

The variable ``CICD_STORE`` names the store; the credentials are those of the function's role.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import asdict

from cicd_core.clock import monotonic_seconds
from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import InvalidInput, StoreError, UnsupportedCapability
from cicd_core.model.checks import check_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

#: The environment variables: the URL of the store, and for how many seconds a run sweeps.
STORE: Final = "CICD_STORE"
SECONDS: Final = "CICD_SWEEP_SECONDS"
#: The longest time of a run, in seconds: Lambda ends it after fifteen minutes.
_LONGEST: Final = 840.0
#: No counter has this prefix: a read of it updates all counters, and reads the least.
_NO_GROUP: Final = "none|"


def maintain(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Process due records repeatedly for a while: delays, deadlines, lost leases, silent agents.

    Args:
        event: from the schedule; its ``seconds`` is the time to continue, instead of the variable
            ``CICD_SWEEP_SECONDS``. 0, or neither: one sweep.
        context: Lambda's; not needed.

    Returns:
        The number of sweeps, their changes, and the number of due records (``unreadable``) that
        do not decode: the function's log names them.

    Raises:
        InvalidInput: no store is given, or the time is not a number of seconds.
        StoreError: the store cannot be opened, or no sweep succeeded.
    """
    del context
    url = os.environ.get(STORE)
    if not url:
        raise InvalidInput(STORE, url, "give the store: dynamodb://?prefix=ci-&region=eu-west-1")
    return anyio.run(_maintained, url, _seconds(event))


async def _maintained(url: str, seconds: float) -> dict[str, int]:
    sweeps, done = 0, SweepReport()
    until = monotonic_seconds() + seconds
    async with ControlPlane.open(url, maintenance=False) as plane:
        while True:
            swept = await _sweep(plane)
            if isinstance(swept, SweepReport):
                sweeps, done = sweeps + 1, done + swept
            pause = plane.settings.sweep_seconds
            if monotonic_seconds() + pause > until:
                break
            await anyio.sleep(pause)
        await _tend(plane)
    if isinstance(swept, StoreError) and not sweeps:
        raise swept
    return {"sweeps": sweeps, **asdict(done), "unreadable": len(done.unreadable)}


async def _sweep(plane: ControlPlane) -> SweepReport | StoreError:
    """Sweep once, and return the result; or the error, if it is temporary."""
    try:
        return await plane.maintenance.sweep()
    except StoreError as passing:
        if not passing.retryable:
            raise
        return passing


async def _tend(plane: ControlPlane) -> None:
    """Update the log and the counters: the processes that write may be too short-lived for it."""
    try:
        await plane.store.counters(_NO_GROUP)
    except StoreError as refused:  # there may be no log
        if not (refused.retryable or isinstance(refused, UnsupportedCapability)):
            raise
        _log.info("the log was not updated: %s", refused)


def _seconds(event: Mapping[str, Any]) -> float:
    given = event.get("seconds", os.environ.get(SECONDS, "0"))
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise InvalidInput(SECONDS, given, "give a number of seconds") from None
    return check_seconds(SECONDS, seconds, least=0.0, most=_LONGEST)
