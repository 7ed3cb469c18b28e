"""The task of an agent that removes old logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.agent.log_folder import remove_old_logs
from cicd_core.clock import wall_micros
from cicd_core.model.amounts import amount
from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from anyio.abc import TaskStatus

    from cicd_core.job_logs.limits import LogLimits

_log = logging.getLogger("cicd_core.agent")

#: Seconds between two cleanings of the folder.
_EVERY_SECONDS: Final = 600.0


async def clean_log_dir(
    log_dir: Path,
    limits: LogLimits,
    registered_at: datetime,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Remove old logs now, and every 10 minutes until the task is cancelled.

    A log is old only if both this machine's clock and the store's clock say so: a machine that
    starts with a wrong clock removes nothing.

    Args:
        log_dir: the folder.
        limits: how much to keep, and for how long.
        registered_at: when the agent registered, on the store's clock.
        task_status: set to started after the first cleaning.
    """
    began = lease_clock()
    while True:
        now = min(wall_micros() / SECOND, registered_at.timestamp() + lease_clock() - began)
        try:
            removed = await anyio.to_thread.run_sync(remove_old_logs, log_dir, limits, now)
        except OSError as refused:
            _log.warning("old logs in %s cannot be removed: %s", log_dir, refused)
        else:
            if removed:
                _log.info("removed %s from %s", amount(len(removed), "old log"), log_dir)
        task_status.started()
        task_status = anyio.TASK_STATUS_IGNORED
        await anyio.sleep(_EVERY_SECONDS)
