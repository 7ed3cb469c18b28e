"""The drain after the storm: a few healthy callers finish all remaining jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.errors import CicdError, OperationRejected
from cicd_core.model.job import JobStatus
from cicd_core.model.outcome import Outcome
from cicd_core.testing.crash.workload import POOLS

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.claim import ClaimedJob

#: The actor of the drain, in the log.
DRAINER: Final = "lab-drain"
#: Number of jobs finished at once.
_AT_ONCE: Final = 64
#: Wait for leases and backoffs if no job can be claimed, in seconds.
_REST: Final = 0.05
#: States of jobs that have not ended.
_OPEN: Final = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)


async def drain(plane: ControlPlane, *, patience: float) -> bool:
    """Finish claimable jobs, wait for the rest to expire; False: some never did.

    Args:
        plane: a control plane on the store, without other users.
        patience: how long it may wait without finishing a job, in seconds. Waits are counted, so
            a busy machine takes longer, but gets the same result.
    """
    most = rests = round(patience / _REST)
    while await _anything_open(plane):
        await plane.maintenance.sweep()
        finished = sum([await _finish_some(plane, pool) for pool in POOLS])
        if finished:
            rests = most
        elif not rests:
            return False
        else:
            rests -= 1
            await anyio.sleep(_REST)
    await plane.maintenance.sweep()
    return True


async def _anything_open(plane: ControlPlane) -> bool:
    for status in _OPEN:
        if (await plane.jobs.list(status=status, limit=1)).items:
            return True
    return False


async def _finish_some(plane: ControlPlane, pool: str) -> int:
    try:
        claimed = await plane.queue.claim(
            agent_id=DRAINER,
            pool_name=pool,
            labels=("gpu", "linux"),
            limit=_AT_ONCE,
            start=True,
            lease_seconds=30.0,
        )
    except CicdError:  # the audit finds broken records
        return 0
    async with anyio.create_task_group() as tasks:
        for item in claimed:
            tasks.start_soon(_finish, plane, item)
    return len(claimed)


async def _finish(plane: ControlPlane, claimed: ClaimedJob) -> None:
    try:
        await plane.queue.complete(claimed, Outcome.success())
    except OperationRejected:  # a deadline, or a broken store: the audit shows it
        return
