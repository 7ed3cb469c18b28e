"""Mishaps beside the death of a worker: it forks a child, or a list of lanes is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.testing.crash.forking import fork_child
from cicd_core.testing.crash.plan import Mishap
from cicd_core.testing.crash.workload import POOLS
from cicd_core.testing.losses import lose_lanes

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.testing.crash.journal import Journal
    from cicd_core.testing.crash.plan import Accident

#: How often to look whether it is time, in seconds.
_LOOK: Final = 0.005


async def meet_with(accident: Accident, plane: ControlPlane, journal: Journal, name: str) -> None:
    """Let the accident of a worker happen, in the middle of what its other tasks do."""
    nursery = os.getppid()
    while journal.asked < accident.calls:  # noqa: ASYNC110 - a count, and no event says so
        await anyio.sleep(_LOOK)
    if accident.mishap is Mishap.FORK:
        journal.note(accident.mishap, child=fork_child(nursery))
        return
    pool_name = POOLS[accident.pool % len(POOLS)]
    if await lose_lanes(plane.store, pool_name, f"{name}/{accident.mishap}"):
        journal.note(accident.mishap, pool=pool_name)
