"""Sends progress to the control plane: about one report per second, and always the last one."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.agent.active_job import StopReason
from cicd_core.agent.retry import CALL_SECONDS, answer_within
from cicd_core.errors import CicdError, LeaseLost
from cicd_core.model.checks import check_kind, check_number

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.agent.protocols import WorkQueue
    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")

#: Seconds between two reports of one job.
_PAUSE_SECONDS: Final = 1.0

_Report = tuple[float | None, str | None]


class ProgressPost:
    """Keeps the newest report of one job and sends it when it is due."""

    def __init__(
        self,
        holding: ActiveJob,
        queue: WorkQueue,
        run_soon: RunSoon,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
    ) -> None:
        self._holding = holding
        self._queue = queue
        self._run_soon = run_soon
        self._spawn = spawn
        self._lock = threading.Lock()
        self._newest: _Report | None = None
        self._sending = False
        self._closed = False
        self._pause: anyio.CancelScope | None = None
        self._idle = anyio.Event()
        self._idle.set()

    def post(self, percent: float | None, message: str | None) -> None:
        """Take a report; it replaces one that was not sent yet. Safe to call from any thread.

        Raises:
            InvalidInput: ``percent`` is not a number from 0 to 100, or ``message`` not a string.
        """
        if percent is not None:
            check_number("percent", percent, least=0, most=100)
        if message is not None:
            check_kind("message", message, str)
        with self._lock:
            self._newest = (percent, message)
            begin, self._sending = not self._sending, True
        if begin:
            self._run_soon(self._begin)

    def close(self) -> None:
        """Send nothing more: the attempt has ended, even if its threads still report."""
        self._closed = True

    async def finish(self) -> None:
        """Send the last unsent report at once, and nothing after it."""
        self.close()
        if self._pause is not None:
            self._pause.cancel()
        await self._idle.wait()
        await self._send_newest()

    def _begin(self) -> None:
        if not self._closed:
            self._idle = anyio.Event()
            self._spawn(self._send_all)

    async def _send_all(self) -> None:
        try:
            while not self._closed and self._something_to_send():
                await self._send_newest()
                with anyio.CancelScope() as self._pause:
                    if not self._closed:
                        await anyio.sleep(_PAUSE_SECONDS)
        finally:
            self._idle.set()

    def _something_to_send(self) -> bool:
        with self._lock:
            self._sending = self._newest is not None
            return self._sending

    async def _send_newest(self) -> None:
        with self._lock:
            report, self._newest = self._newest, None
        if report is None or self._holding.gone:
            return
        try:
            await self._send(report)
        except LeaseLost as lost:
            self._holding.lose(lost.reason)
        except CicdError as failed:
            if not failed.recoverable:
                _log.warning("%s: progress was refused: %s", self._holding, failed)
                return
            _log.info("%s: progress was not sent yet: %s", self._holding, failed)
            with self._lock:
                self._newest = self._newest or report

    async def _send(self, report: _Report) -> None:
        percent, message = report
        with answer_within(CALL_SECONDS):
            claimed = await self._queue.progress(
                self._holding.claimed, percent=percent, message=message
            )
        self._holding.claimed = claimed
        if claimed.job.cancel_requested_at is not None:
            reason = claimed.job.cancel_reason or "a cancel was requested"
            self._holding.fire(StopReason.CANCEL, reason)
