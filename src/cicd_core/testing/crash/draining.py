"""After the storm: a few clean callers finish all that is left, so that nothing is pending."""

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

#: Who drains, in the log.
DRAINER: Final = "lab-drain"
#: How many jobs are finished at once.
_AT_ONCE: Final = 64
#: How long to wait for leases and backoffs when nothing can be claimed, in seconds.
_REST: Final = 0.05
#: What is not at rest yet.
_OPEN: Final = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)


async def drain(plane: ControlPlane, *, patience: float) -> bool:
    """Finish what can be claimed, wait for the rest to run out; False: some of it never did.

    Args:
        plane: on the store; nobody else works on it.
        patience: how long it may rest without finishing a job, in seconds. Rests are counted: a
            machine with much to do takes longer, and comes to the same answer.
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
            starting=True,
            lease_seconds=30.0,
        )
    except CicdError:  # what is broken is found by the audit
        return 0
    async with anyio.create_task_group() as tasks:
        for each in claimed:
            tasks.start_soon(_finish, plane, each)
    return len(claimed)


async def _finish(plane: ControlPlane, claimed: ClaimedJob) -> None:
    try:
        await plane.queue.complete(claimed, Outcome.success())
    except OperationRejected:  # a deadline, or a store that is broken: the audit will tell
        return
