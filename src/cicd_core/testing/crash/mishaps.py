"""Mishaps besides the death of a worker: it forks a child, or a list of lanes is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.testing.crash.plan import Mishap
from cicd_core.testing.crash.workload import POOLS
from cicd_core.testing.losses import lose_lanes
from cicd_core.testing.recording.service_calls import Ending, ServiceAnswer, ServiceCall
from cicd_core.testing.workers.forking import fork_child

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.testing.crash.plan import Accident
    from cicd_core.testing.recording.recorder import CallRecorder

#: How often to check whether it is time, in seconds.
_LOOK: Final = 0.005


async def meet_with(
    accident: Accident,
    plane: ControlPlane,
    recorder: CallRecorder[ServiceCall, ServiceAnswer],
    name: str,
) -> None:
    """Inject the fault of a worker, while its other tasks run."""
    fork_server = os.getppid()
    while recorder.asked < accident.calls:  # noqa: ASYNC110 - a count, which sets no event
        await anyio.sleep(_LOOK)
    details: dict[str, Any]
    if accident.mishap is Mishap.FORK:
        details = {"child": fork_child(fork_server)}
    else:
        pool_name = POOLS[accident.pool % len(POOLS)]
        if not await lose_lanes(plane.store, pool_name, f"{name}/{accident.mishap}"):
            return
        details = {"pool": pool_name}
    asked = ServiceCall(verb=accident.mishap, details=details)
    recorder.note(name, asked, ServiceAnswer(ending=Ending.HAPPENED, details={}))
