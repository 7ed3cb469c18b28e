"""Measures the machine for a heartbeat, with the embedder's code: it may raise, and may hang."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from cicd_core.agent.handlers import own_error
from cicd_core.forks import end_if_forked
from cicd_core.model.agent import checked_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.model.agent import AgentMetrics

_log = logging.getLogger("cicd_core.agent")


class Measuring:
    """Measures in a thread, one measurement at a time. Only for the renewer's event loop."""

    def __init__(self, measure: Callable[[], AgentMetrics | None] | None) -> None:
        """Take the function that measures; None: there is none."""
        self._measure = measure
        #: Whether a thread measures now, including one that timed out.
        self._at_work = False

    async def measured(self, within: float) -> AgentMetrics | None:
        """Return the metrics; None if they can't be measured, or not within so many seconds.

        A measurement that times out goes on, and no other one begins before it ends, so a function
        that hangs costs only one thread.
        """
        if self._measure is None or self._at_work:
            return None
        try:
            with anyio.move_on_after(within):
                metrics = await anyio.to_thread.run_sync(self._call, abandon_on_cancel=True)
                return None if metrics is None else checked_metrics(metrics)
        except BaseException as error:  # the embedder's code may raise anything, even at the end
            if own_error(error) is None:
                raise
            _log.exception("the metrics function failed; heartbeats have no metrics")
            return None
        _log.warning(
            "the metrics function takes over %g s; heartbeats have no metrics until it returns",
            within,
        )
        return None

    def _call(self) -> AgentMetrics | None:
        self._at_work = True
        process = os.getpid()
        try:
            metrics = None if self._measure is None else self._measure()
        except BaseException as error:
            end_if_forked(process, error)
            raise
        finally:
            self._at_work = False
        end_if_forked(process)
        return metrics
