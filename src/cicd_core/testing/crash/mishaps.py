"""Mishaps beside the death of a worker: it forks a child, or a list of lanes is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.errors import StoreError
from cicd_core.store.collections import LANES
from cicd_core.store.records import Commit, Put
from cicd_core.testing.crash.forking import fork_child
from cicd_core.testing.crash.plan import Mishap
from cicd_core.testing.crash.workload import POOLS

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
    if await lose_lanes(plane, pool_name, f"{name}/{accident.mishap}"):
        journal.note(accident.mishap, pool=pool_name)


async def lose_lanes(plane: ControlPlane, pool_name: str, commit_id: str) -> bool:
    """Let the record that lists the lanes of a pool expire, as a failover or a restore loses it.

    Returns:
        False: there was none, or the store did not answer.
    """
    store = plane.store
    try:
        record = (await store.get(LANES.name, (pool_name,))).get(pool_name)
        if record is None:
            return False
        loss = Put(
            collection=LANES.name,
            key=pool_name,
            expected=record.version,
            body=record.body,
            attributes=record.attributes,
            expires_at=(await store.now()).micros,
        )
        await store.commit((Commit(commit_id=commit_id, writes=(loss,)),))
    except StoreError:
        return False
    return True
